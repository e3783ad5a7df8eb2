"""The program from outside: real processes, started as an operator starts them."""

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from config import SETTINGS
from tests.journeys.program import Program, free_port, until

ROOT = Path(__file__).parent.parent
INIT = ("init", "--organisation", "Fabrikam", "--domain", "fabrikam.example",
        "--admin", "ada@fabrikam.example")  # fmt: skip
ONE_SENTENCE = re.compile(r"b2b: [^\n]+\n")

EVERY_START = [
    ["up"],
    *(pytest.param(words, marks=pytest.mark.long) for words in (["web"], ["worker"], ["migrate"])),
    INIT,
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of an installation of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return kept | {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(free_port()),
        "SMTP_PORT": str(free_port()),
        "PASSWORD_HASHING": "weak",
        "WEB_WORKERS": "1",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "app", *arguments]


def flask(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, env=environment, text=True, capture_output=True,
        timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def refusal(environment: dict[str, str], *arguments: str) -> str:
    """The one sentence with which a command refuses to start."""
    done = flask(environment, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert ONE_SENTENCE.fullmatch(done.stderr), done.stderr
    return done.stderr.removeprefix("b2b: ").strip()


@contextlib.contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A part of the program, stopped by SIGTERM afterwards; it must end by itself and well."""
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            said, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "Traceback" not in said, said


def answers(port: str, path: str = "/healthz") -> bool:
    with contextlib.suppress(OSError):
        url = f"http://localhost:{port}{path}"
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    return False


class Visitor:
    """A browser without scripts, over real HTTP."""

    def __init__(self) -> None:
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def open(self, url: str, **data: str) -> tuple[int, str, BeautifulSoup]:
        body = urllib.parse.urlencode(data).encode() if data else None
        try:
            with self._opener.open(url, body, timeout=10) as response:
                soup = BeautifulSoup(response.read(), "html5lib")
                return response.status, response.url, soup
        except urllib.error.HTTPError as error:
            with error:
                return error.code, url, BeautifulSoup(error.read(), "html5lib")

    def submit(self, url: str, soup: BeautifulSoup, **data: str) -> tuple[int, str, BeautifulSoup]:
        token = soup.select_one("main input[name=csrf_token]")
        assert token is not None
        return self.open(url, csrf_token=str(token["value"]), **data)


def setup_link(said: str) -> str:
    [link] = re.findall(r"http://localhost:\d+/setup/[\w-]{43}", said)
    return str(link)


# Without the demo --------------------------------------------------------------------------------


def test_init_makes_the_first_organisation_and_its_link_sets_a_password_once(
    environment: dict[str, str],
) -> None:
    """BOOT-1, BOOT-2: nothing works before, nobody gets in afterwards"""
    made = flask(environment, *INIT)
    assert made.returncode == 0, made.stderr
    assert "Fabrikam is made." in made.stdout
    link = setup_link(made.stdout)
    assert refusal(environment, *INIT) == (
        "This installation is set up already; administrators add organisations."
    )
    port = environment["PORT"]
    with running(environment, "web"):
        until(lambda: answers(port), 20)
        ada = Visitor()
        status, _, page = ada.open(link)
        assert status == 200
        assert "ada@fabrikam.example" in page.get_text()
        chosen = {"password": "a long phrase", "password_again": "a long phrase"}
        status, url, page = ada.submit(link, page, **chosen)
        assert url.startswith(f"http://localhost:{port}/signin")
        assert Visitor().open(link)[0] == 404
        status, url, page = ada.submit(url, page, address="ada@fabrikam.example")
        status, url, page = ada.submit(url, page, password="a long phrase")
        assert url == f"http://localhost:{port}/admin", page.get_text()
        assert status == 200
    assert not (Path(environment["DATA_DIR"]) / "demo.json").exists()


def test_of_two_first_organisations_made_at_once_one_stays(environment: dict[str, str]) -> None:
    """BOOT-1, BOOT-2: race on setup: one winner"""
    others = ("init", "--organisation", "Evil", "--domain", "evil.example",
              "--admin", "eve@evil.example")  # fmt: skip
    with ThreadPoolExecutor(4) as pool:
        done = list(
            pool.map(lambda words: flask(environment, *words), [INIT, others, INIT, others])
        )
    assert sorted(process.returncode for process in done) == [0, 1, 1, 1]
    for process in done:
        if process.returncode:
            assert ONE_SENTENCE.fullmatch(process.stderr), process.stderr
    with contextlib.closing(
        sqlite3.connect(Path(environment["DATA_DIR"]) / "directory.sqlite3")
    ) as database:
        [(count,)] = database.execute("SELECT count(*) FROM tenants WHERE kind = 'organisation'")
    assert count == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--domain": "no domain"}, "Enter a domain name, such as example.com."),
        ({"--admin": "ada"}, "Enter one e-mail address, such as name@example.com."),
        ({"--admin": "ada@elsewhere.example"}, "must lie in the organisation’s domain"),
        ({"--organisation": "  "}, "Enter the name of the organisation."),
    ],
)
def test_init_refuses_nonsense_and_makes_nothing(
    environment: dict[str, str], change: dict[str, str], sentence: str
) -> None:
    words = list(INIT)
    for option, value in change.items():
        words[words.index(option) + 1] = value
    assert sentence in refusal(environment, *words)
    assert flask(environment, *INIT).returncode == 0, "and the next try is the first one"


# Refusals at the start ---------------------------------------------------------------------------


def test_a_port_in_use_is_named_with_the_setting_that_changes_it(
    environment: dict[str, str],
) -> None:
    assert flask(environment, "migrate").returncode == 0
    for setting, words in (
        ("PORT", [["web"], ["up"]]),
        ("SMTP_PORT", [["sink"], ["up"]]),
    ):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", int(environment[setting])))
            taken.listen()
            for arguments in words:
                said = refusal(environment, *arguments)
                assert environment[setting] in said, said
                assert "in use" in said, said


@pytest.mark.parametrize("arguments", EVERY_START)
def test_a_folder_that_cannot_be_made_is_one_sentence(
    environment: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    said = refusal(environment | {"DATA_DIR": str(tmp_path / "file" / "data")}, *arguments)
    assert str(tmp_path / "file" / "data") in said


def test_a_folder_that_is_a_file_is_one_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(
        environment | {"DATA_DIR": str(tmp_path / "file")}, "up"
    )


@pytest.mark.long
@pytest.mark.parametrize("arguments", EVERY_START)
def test_a_newer_database_is_one_sentence_and_stays_as_it_is(
    environment: dict[str, str], arguments: list[str]
) -> None:
    """REL-14"""
    assert flask(environment, "migrate").returncode == 0
    path = Path(environment["DATA_DIR"]) / "directory.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'from the future'")
        database.commit()
    assert "made by a newer version of this program" in refusal(environment, *arguments)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [
            ("from the future",)
        ]


@pytest.mark.parametrize("part", ["web", "worker"])
def test_a_part_alone_does_not_start_on_an_old_schema(
    environment: dict[str, str], part: str
) -> None:
    assert refusal(environment, part) == (
        "The database is not up to date; run  flask --app app migrate  first."
    )


@pytest.mark.parametrize(
    ("settings", "arguments", "sentence"),
    [
        ({"PRODUCTION": "1"}, ["web"], "In production BASE_URL must be an https address."),
        (
            {"PRODUCTION": "1", "BASE_URL": "https://b.example", "PASSWORD_HASHING": "strong",
             "RATE_LIMITS": "off"},
            ["web"], "RATE_LIMITS=off is refused in production.",
        ),
        (
            {"PRODUCTION": "1", "BASE_URL": "https://b.example"},
            ["web"], "PASSWORD_HASHING=weak is refused in production.",
        ),
        (
            {"PRODUCTION": "1", "BASE_URL": "https://b.example", "PASSWORD_HASHING": "strong",
             "SECRET_KEYS": "dev"},
            ["web"], "Each of SECRET_KEYS must be random text of at least 32 characters.",
        ),
        (
            {"PRODUCTION": "1", "BASE_URL": "https://b.example", "PASSWORD_HASHING": "strong"},
            ["sink"], "The mail sink does not run in production unless SINK_IN_PRODUCTION=1.",
        ),
        ({"HOST": "0.0.0.0"}, ["up"], "The demo is not made on 0.0.0.0"),
        ({"LOG_LEVEL": "loud"}, ["web"], "LOG_LEVEL must be one of"),
        ({"PORT": "http"}, ["web"], "PORT must be a number, not 'http'."),
    ],
)  # fmt: skip
def test_settings_that_are_not_safe_are_refused(
    environment: dict[str, str], settings: dict[str, str], arguments: list[str], sentence: str
) -> None:
    """BOOT-1, BOX-5, HTTP-3"""
    assert refusal(environment | settings, *arguments).startswith(sentence)


def test_a_broken_key_file_is_one_sentence(environment: dict[str, str]) -> None:
    """BOOT-1"""
    folder = Path(environment["DATA_DIR"])
    folder.mkdir()
    (folder / "keys.json").write_text("{}")
    assert "cannot be read as keys" in refusal(environment, "migrate")


def test_an_old_python_is_told_from_a_new_one_before_anything_is_made(tmp_path: Path) -> None:
    """Make asks the interpreter first; here one that says it is 3.9."""
    old = tmp_path / "python3.9"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c "
        "'import sys; sys.version_info = (3, 9, 18); exec(sys.argv[2])' \"$@\"\n"
    )
    old.chmod(0o755)
    target = str(tmp_path / "venv" / "bin" / "python")
    made = subprocess.run(
        ["make", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", target],
        cwd=ROOT, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode != 0
    assert "Python 3.11 or newer is needed, this is 3.9." in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "venv").exists()


# The demo ----------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_the_demo_and_the_second_keeps_everything(tmp_path: Path) -> None:
    """BOOT-1, DB-2, REL-9: signed in as before"""
    program = Program(tmp_path)
    data = tmp_path / "data"
    try:
        program.start()
        demo = program.demo
        assert mode(data) == 0o700
        for name in ("demo.json", "keys.json", "directory.sqlite3"):
            assert mode(data / name) == 0o600, name
        assert set(demo) == {"baseUrl", "mailUrl", "tenants", "users", "applications"}
        assert demo["baseUrl"] == program.url
        assert demo["mailUrl"] == f"{program.url}/mail"
        assert [t["displayName"] for t in demo["tenants"]] == ["WoodGrove", "Contoso"]
        assert {"id", "displayName", "initialDomain"} == set(demo["tenants"][0])
        people = {user["userPrincipalName"]: user for user in demo["users"]}
        assert people["john.doe@woodgrove.example"]["roles"] == ["Global Administrator"]
        assert people["adele.vance@woodgrove.example"]["roles"] == []
        assert {user["tenantId"] for user in demo["users"]} == {t["id"] for t in demo["tenants"]}
        passwords = {user["password"] for user in demo["users"]}
        assert len(passwords) == len(people)
        assert all(re.fullmatch(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", word) for word in passwords)
        john = Visitor()
        _, url, page = john.open(f"{program.url}/signin?next=/admin/users")
        _, url, page = john.submit(url, page, address="john.doe@woodgrove.example")
        _, url, page = john.submit(
            url, page, password=program.password("john.doe@woodgrove.example")
        )
        before = page.select_one("main")
        assert url == f"{program.url}/admin/users"
        assert before is not None
        keys = (data / "keys.json").read_bytes()
        assert program.terminate() < 10
        program.start()
        assert program.demo == demo
        assert (data / "keys.json").read_bytes() == keys
        status, url, page = john.open(f"{program.url}/admin/users")
        assert (status, url) == (200, f"{program.url}/admin/users"), "still signed in"
        for name in ("김민준", "Eva Nováková", "이서연", "Martina Weber", "Priya Raman"):
            assert name in page.get_text(), name
        assert program.faults == []
    finally:
        program.stop()


def test_sigterm_ends_everything_with_status_0_and_frees_the_ports(
    environment: dict[str, str],
) -> None:
    """REL-10"""
    with running(environment, "up") as process:
        until(lambda: answers(environment["PORT"]), 30)
    assert process.returncode == 0
    for setting in ("PORT", "SMTP_PORT"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(environment[setting])))


@pytest.mark.long
def test_reset_asks_and_then_empties_the_installation(environment: dict[str, str]) -> None:
    assert flask(environment, *INIT).returncode == 0
    data = Path(environment["DATA_DIR"])
    asked = flask(environment, "reset")
    assert asked.returncode == 1
    assert (data / "directory.sqlite3").exists()
    done = flask(environment, "reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (data / "directory.sqlite3").exists()
    assert not (data / "keys.json").exists()
    assert flask(environment, *INIT).returncode == 0


# Several processes -------------------------------------------------------------------------------


@pytest.mark.long
def test_two_web_processes_and_two_workers_share_one_database(
    environment: dict[str, str], database_url: str
) -> None:
    """REL-3, REL-9, REL-13: one directory, each mail once, signed in at both"""
    settings = environment | {
        "DATABASE_URL": database_url,
        "BASE_URL": f"http://localhost:{environment['PORT']}",
        "DELIVERY_BATCH": "3",
    }
    second = settings | {"PORT": str(free_port())}
    link = setup_link(flask(settings, *INIT).stdout)
    ports = [settings["PORT"], second["PORT"]]
    with contextlib.ExitStack() as stack:
        for words, variables in (
            (["sink"], settings), (["web"], settings), (["web"], second),
            (["worker"], settings), (["worker"], second),
        ):  # fmt: skip
            stack.enter_context(running(variables, *words))
        for port in ports:
            until(lambda port=port: answers(port, "/readyz"), 30)  # type: ignore[misc]
        ada = Visitor()
        _, _, page = ada.open(link)
        _, url, page = ada.submit(
            link, page, password="a long phrase", password_again="a long phrase"
        )
        _, url, page = ada.submit(url, page, address="ada@fabrikam.example")
        _, url, page = ada.submit(url, page, password="a long phrase")
        for number, port in enumerate(ports * 5):
            form = f"http://localhost:{port}/admin/users/invite"
            status, _, page = ada.open(form)
            assert status == 200, "signed in at both"
            addresses = " ".join(f"guest{number}.{n}@partner.example" for n in range(4))
            status, url, page = ada.submit(form, page, addresses=addresses, language="")
            assert "/admin/users" in url, page.get_text()

        def mails() -> list[dict[str, Any]]:
            api = f"http://localhost:{ports[0]}/mail/api/v1/messages?limit=200"
            with urllib.request.urlopen(api, timeout=10) as response:
                return list(json.load(response)["messages"])

        until(lambda: len(mails()) >= 40, 30)
        found = mails()
        assert len(found) == len({mail["To"][0]["Address"] for mail in found}) == 40


@pytest.mark.long
def test_the_workers_and_the_sink_end_in_order_too(environment: dict[str, str]) -> None:
    """REL-10"""
    assert flask(environment, "migrate").returncode == 0
    path = Path(environment["DATA_DIR"]) / "directory.sqlite3"

    def planned() -> bool:
        with contextlib.closing(sqlite3.connect(path)) as database:
            return bool(database.execute("SELECT count(*) FROM jobs").fetchone()[0])

    with running(environment, "worker"):
        until(planned, 20)
    with running(environment, "sink"):
        until(lambda: _listens(int(environment["SMTP_PORT"])), 20)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_the_tools_that_these_tests_need_are_there() -> None:
    assert shutil.which("make"), "the Makefile is part of the product"
