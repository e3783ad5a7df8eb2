"""Every snippet of docs/inbox.md is run as it stands, but for the ports."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clients
from tests.journeys.program import ROOT, Program, is_free, until
from tests.journeys.test_inbox_clients import send

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("tmp_path")]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
SNIPPETS = _FENCE.findall((ROOT / "docs" / "inbox.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def mailer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    # No mail but ours: the snippets read the latest.
    running = Program(tmp_path_factory.mktemp("docs"), DEMO="0").start()
    until(lambda: not is_free(int(running.settings["SMTP_PORT"])))
    link = f"{running.url}/redeem?rd=http%3a%2f%2flocalhost"
    text = f"Follow this link:\n\n{link}\n\nYour code: 482917\n"
    send(running, "You are invited to WoodGrove", "guest@tests.mailbox.example", text)
    yield running
    running.stop()


def run(mailer: Program, command: list[str], folder: Path) -> str:
    environment = {**os.environ, **mailer.settings, "BASE_URL": mailer.url}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_page_runs(mailer: Program, tmp_path: Path, number: int) -> None:
    kind, code = SNIPPETS[number]
    code = code.replace("http://localhost:5000", mailer.url)
    if kind == "sh":
        for line in code.splitlines():
            command = shlex.split(line)
            if command[0] == "flask":
                command = [sys.executable, "-m", *command]
            assert run(mailer, command, ROOT).strip(), line
    elif kind == "js":
        script = clients.FOLDER / "node_modules" / f"inbox-docs-{number}.mjs"
        script.write_text(code, "utf-8")
        try:
            run(mailer, [str(clients.NODE), str(script)], tmp_path)
        finally:
            script.unlink()
    else:
        assert kind == "python"
        name = "test_invitation.py" if "def test_" in code else "snippet.py"
        (tmp_path / name).write_text(code, "utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
        command = [sys.executable, name]
        if name.startswith("test_"):
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
            command += ["--mailpit-url", f"{mailer.url}/mail"]
        run(mailer, command, tmp_path)


def test_the_page_has_snippets_of_every_kind() -> None:
    assert {kind for kind, _ in SNIPPETS} == {"sh", "python", "js"}
