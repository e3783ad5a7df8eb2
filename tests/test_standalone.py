"""The sink alone with its inbox, and who may open an inbox where somebody said who."""

import json
import os
import smtplib
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from b2b import create_app, sink_process
from b2b.errors import StartRefused
from bench.programs import free_port
from config import SETTINGS, Config
from tests.sink.correspondents import until
from tests.web.inbox.test_webhooks import Hooked, hooked

__all__ = ["hooked"]

ROOT = Path(__file__).parent.parent
MAIL = b"Subject: Alone\r\n\r\nGood morning.\r\n"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text("sam:a long phrase\n")
    return file


def test_one_command_catches_mail_shows_and_tells_it_without_a_directory(
    tmp_path: Path, hooked: Hooked
) -> None:
    port, smtp = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
        "SMTP_PORT": str(smtp),
        "MAIL_STORE_URL": "sqlite://",
        "WEB_WORKERS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "sink", "--standalone"],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(4)]
        assert f"Read it at        http://localhost:{port}/mail\n" in "".join(told)
        base = f"http://localhost:{port}"
        hook = json.dumps({"url": hooked.url}).encode()
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{base}/mail/api/v2/webhooks", hook, kind)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 201
        with smtplib.SMTP("127.0.0.1", smtp, timeout=10) as client:
            client.sendmail("a@b.example", ["c@d.example"], MAIL)
        with urllib.request.urlopen(f"{base}/mail/api/v1/messages", timeout=10) as answer:
            assert [mail["Subject"] for mail in json.load(answer)["messages"]] == ["Alone"]
        with urllib.request.urlopen(f"{base}/", timeout=10) as answer:
            assert answer.url == f"{base}/mail/"
            assert "Alone" in answer.read().decode()
        for path in ("/signin", "/admin", "/v1.0/users", "/readyz"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{base}{path}", timeout=10)
        until(lambda: hooked.got)
        assert hooked.subjects() == ["Alone"]
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert sorted(file.name for file in (tmp_path / "data").iterdir()) == ["keys.json"]


@pytest.fixture
def guarded(tmp_path: Path, users: Path) -> Config:
    return Config.from_environment(
        {
            "DATA_DIR": str(tmp_path / "data"),
            "DEMO": "0",
            "SINK_USERS": str(users),
            "MAIL_STORE_URL": f"sqlite:///{tmp_path}/mail.sqlite3",
        }
    )


def test_the_inbox_asks_for_a_name_where_users_are_named(guarded: Config) -> None:
    """BOX-5"""
    app = create_app(guarded)
    client = app.test_client()
    for path in ("/mail/", "/mail/api/v1/messages", "/mail/api/v1/info"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="Login"'
        assert client.get(path, auth=("sam", "wrong")).status_code == 401
        assert client.get(path, auth=("max", "")).status_code == 401
        assert client.get(path, auth=("sam", "a long phrase")).status_code == 200
    assert client.get("/mail/livez").status_code == 200
    assert client.get("/healthz").status_code == 200


def test_a_users_file_that_cannot_be_read_stops_the_start(guarded: Config, users: Path) -> None:
    users.write_text("no colon\n")
    with pytest.raises(StartRefused, match="line 1"):
        create_app(guarded)
    users.unlink()
    with pytest.raises(StartRefused, match="cannot be read"):
        create_app(guarded)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, "unless SINK_IN_PRODUCTION=1"),
        ({"SINK_IN_PRODUCTION": True}, None),
        ({"SINK_IN_PRODUCTION": True, "SMTP_HOST": "0.0.0.0"}, "needs SINK_USERS"),
        ({"SINK_IN_PRODUCTION": True, "HOST": "192.0.2.1"}, "needs SINK_USERS"),
        ({"SINK_IN_PRODUCTION": True, "TRUSTED_PROXIES": 1}, "needs SINK_USERS"),
        ({"SINK_IN_PRODUCTION": True, "SMTP_HOST": "0.0.0.0", "SINK_USERS": "users"}, None),
    ],
)
def test_production_catches_nothing_unasked_and_nothing_from_strangers(
    changes: dict[str, object], refused: str | None
) -> None:
    """SMTP-4, BOX-5"""
    settings: dict[str, object] = {
        "PRODUCTION": True, "SINK_IN_PRODUCTION": False, "SMTP_HOST": "127.0.0.1",
        "HOST": "127.0.0.1", "TRUSTED_PROXIES": 0, "SINK_USERS": "",
    }  # fmt: skip
    settings |= changes
    if refused is None:
        sink_process.require_allowed(settings)
        return
    with pytest.raises(StartRefused, match=refused):
        sink_process.require_allowed(settings)


def test_a_store_in_memory_is_shared_and_goes_with_the_processes() -> None:
    settings = {"MAIL_STORE_URL": "sqlite://"}
    with sink_process.shared_memory(settings):
        file = Path(settings["MAIL_STORE_URL"].removeprefix("sqlite:///"))
        assert file.parent.is_dir()
    assert not file.parent.exists()
    settings = {"MAIL_STORE_URL": "sqlite:////srv/mail.sqlite3"}
    with sink_process.shared_memory(settings):
        assert settings["MAIL_STORE_URL"] == "sqlite:////srv/mail.sqlite3"
