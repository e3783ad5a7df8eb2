"""docs/testing.md: every snippet is run, as a reader would run it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from config import SETTINGS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The snippets of one language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.long
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    found = blocks("python")
    assert len(found) >= 6
    # A fixture of its own for the whole run: in a file, and a process, of its own.
    https = [block for block in found if "def b2b_settings" in block]
    plain = [block for block in found if block not in https]
    run_tests(tmp_path / "plain", plain)
    run_tests(tmp_path / "https", ["import pytest", *https])


def run_tests(folder: Path, found: list[str]) -> None:
    folder.mkdir()
    (folder / "test_page.py").write_text("\n\n".join(found))
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "b2b.testing.plugin", "-p", "no:cacheprovider",
         "-p", "no:xdist"],
        cwd=folder,
        env=environment(NO_PROXY="localhost", no_proxy="localhost"),
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tests = sum(block.count("def test_") for block in found)
    assert f"{tests} passed" in done.stdout


@pytest.mark.long
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 13
    env = environment(DATA_DIR=str(tmp_path), TEST_DOUBLE="1", PASSWORD_HASHING="weak")
    for line in ["flask --app app migrate", *lines]:
        words = shlex.split(line)
        assert words[0] == "flask"
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}: {done.stderr[-2000:]}"


def test_every_fixture_and_request_of_the_page_exists() -> None:
    fixtures = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    source = (ROOT / "b2b" / "testing" / "plugin.py").read_text("utf-8")
    defined = re.findall(r"^def (\w+)\(", source, re.MULTILINE)
    assert sorted(fixtures) == sorted(defined)
