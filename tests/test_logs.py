"""Logs: one JSON object a line whatever is logged, and no secret in any of them."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from flask import Flask

from b2b import logs
from tests.cast import Cast
from tests.conftest import Mailroom
from tests.letters import code_in, link_in
from tests.pages import ORIGIN, Browser

SAM = "gsamoogle@gmail.com"


class Written:
    """What the program's own handler has written."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    """Logging as the program sets it up, at its most talkative."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    capture = Written()
    logs.configure("web", "debug")
    [handler] = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(capture.stream)
    yield capture
    root.handlers = handlers
    root.setLevel(level)


FORGED = [
    'x\n{"levelname": "ERROR", "message": "forged"}', "a\r\nb", "\x1b[31mred\x1b[0m", "a\u2028b",
    "a\x85b", "a\x00b", "\x07", "김민준", '"quoted" \\ back', "%s %d", "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED, ids=lambda name: repr(name)[:24])
def test_a_forged_name_stays_within_its_line(written: Written, name: str) -> None:
    """LOG-1: the line count is exact; control characters are escaped; fields are capped"""
    log = logging.getLogger("b2b.test")
    log.warning("signed in: %s", name, extra={"who": name})
    log.error("and then")
    raw = written.text
    assert raw.count("\n") == 2
    assert len(written.lines) == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", raw)
    first, second = written.lines
    assert str(first["message"]).startswith("signed in: ")
    assert first["who"] == name[:2000]
    assert len(str(first["message"])) <= 2000
    assert second["message"] == "and then"
    assert {"at", "levelname", "name", "message", "part"} <= set(first)


def test_a_traceback_is_one_line_too(written: Written) -> None:
    """LOG-1"""
    try:
        raise ValueError("first\nsecond\x1b[31m")
    except ValueError:
        logging.getLogger("b2b.test").exception("failed")
    [line] = written.lines
    assert "ValueError: first" in str(line["exc_info"])


@pytest.mark.parametrize(
    "text",
    [
        "GET /redeem?rd=http%3a%2f%2fx%2fredeem%2f%3fticket%3dSECRETSECRET HTTP/1.1",
        "http://x/redeem/?tenant=1&ticket=SECRETSECRET&ver=2.0",
        "Authorization: SECRETSECRET",
        '{"password": "SECRETSECRET"}',
        "code=SECRETSECRET",
        "token: SECRETSECRET",
        "/setup/SECRETSECRET",
        "Cookie: SECRETSECRET",
        "secret=SECRETSECRET; x",
    ],
)
def test_known_places_of_secrets_are_blanked(text: str) -> None:
    """MAIL-7"""
    assert "SECRETSECRET" not in logs.redact(text)
    assert "[redacted]" in logs.redact(text)


def test_the_main_job_leaves_no_secret_in_the_log_even_at_debug(
    written: Written, app: Flask, cast: Cast, mailroom: Mailroom
) -> None:
    """MAIL-7: run the flow at DEBUG and look for every secret that was in play"""
    app.extensions["mail"].username = None
    john = Browser(app).sign_in("john.doe@woodgrove.example", cast.password)
    john.get("/admin/users/invite").submit("/invite", addresses=SAM, message="Hi Sam")
    mailroom.deliver()
    link = link_in(mailroom.sources(SAM)[0])
    sam = Browser(app)
    page = sam.get(link).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(SAM)[-1])
    page = page.submit("/signin/code", code="0000 0000")
    page = page.submit("/signin/code", code=code)
    page = page.submit("/signin/account", given_name="Sam", password="a long phrase for Sam")
    page = page.submit("/redeem/accept")
    assert page.path == "/profile"
    assert Browser(app).get("/signin").submit(address=SAM).submit(password="a wrong phrase").errors

    def broken() -> str:
        raise RuntimeError(f"could not open {link}")

    app.view_functions["home.index"] = broken
    assert sam.client.get("/", base_url=ORIGIN).status_code == 500
    text = written.text
    assert "could not open" in text, "and yet faults are told"
    assert {line["levelname"] for line in written.lines} >= {"INFO", "ERROR"}
    ticket = link.partition("ticket%3d")[2].partition("%26")[0]
    cookies = [
        browser.client.get_cookie("b2b_session", domain="localhost") for browser in (john, sam)
    ]
    secrets = {
        "ticket": ticket,
        "code": code.replace(" ", ""),
        "code as mailed": code,
        "password": cast.password,
        "new password": "a long phrase for Sam",
        "wrong password": "a wrong phrase",
        "key of cookies": str(app.config["SECRET_KEY"]),
        **{f"session {n}": found.value for n, found in enumerate(cookies) if found},
    }
    assert len(secrets) == 9
    assert [name for name, secret in secrets.items() if secret in text] == []
