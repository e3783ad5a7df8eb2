"""Whoever steals the database, or yesterday's backup, finds no secret that works."""

from pathlib import Path
from uuid import UUID

from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from b2b import keys, worker
from b2b.extensions import db
from b2b.models import SetupLink
from b2b.services import tenants
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.letters import code_in, link_in
from tests.pages import Browser

SAM = "gsamoogle@gmail.com"


def dump(app: Flask) -> bytes:
    """The files of a SQLite database, write-ahead log included; a plain dump of a server's."""
    with app.app_context():
        engine = db.engine
        if engine.dialect.name == "sqlite":
            assert engine.url.database is not None
            path = Path(engine.url.database)
            files = [Path(f"{path}{suffix}") for suffix in ("", "-wal")]
            assert all(file.stat().st_size > 0 for file in files)
            return b"".join(file.read_bytes() for file in files)
        with engine.connect() as connection:
            rows = [
                repr(tuple(row))
                for table in inspect(engine).get_table_names()
                for row in connection.execute(text(f'SELECT * FROM "{table}"'))
            ]
        return "\n".join(rows).encode()


def test_a_dump_of_a_busy_database_holds_no_live_link_code_session_or_password(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """DB-2, MAIL-5"""
    john = Browser(app).sign_in("john.doe@woodgrove.example", cast.password)
    for address in (SAM, "eve@partner.example"):
        john.get("/admin/users/invite").submit("/invite", addresses=address, message="Hello")
        mailroom.deliver()
    links = [link_in(mailroom.sources(address)[0]) for address in (SAM, "eve@partner.example")]
    page = john.get("/admin/users/invite").submit("/invite", addresses="waits@partner.example")
    page.submit("/link")
    sam, eve = Browser(app), Browser(app)
    codes = []
    for browser, link, address in ((sam, links[0], SAM), (eve, links[1], "eve@partner.example")):
        page = browser.get(link).submit("/redeem/start")
        mailroom.deliver()
        codes.append(code_in(mailroom.sources(address)[-1]))
    page = sam.get("/signin/code").submit("/signin/code", code=codes[0])
    page.submit("/signin/account", given_name="Sam", password="a long phrase for Sam")
    with app.app_context(), worker.transaction() as session:
        secret = _setup_secret(session, clock)
    browser_secrets = []
    for browser in (sam, eve, john):
        with browser.client.session_transaction(base_url="http://localhost:5000") as kept:
            browser_secrets += [kept[name] for name in ("browser", "csrf_token") if name in kept]
    sessions = [
        found.value
        for browser in (sam, john)
        if (found := browser.client.get_cookie("b2b_session", domain="localhost"))
    ]
    secrets = {
        **{f"ticket {n}": link.partition("ticket%3d")[2][:43] for n, link in enumerate(links)},
        **{f"code {n}": code.replace(" ", "") for n, code in enumerate(codes)},
        **{f"code {n} as mailed": code for n, code in enumerate(codes)},
        **{f"session {n}": value for n, value in enumerate(sessions)},
        **{f"browser {n}": value for n, value in enumerate(browser_secrets)},
        "set-up link": secret,
        "password": cast.password,
        "new password": "a long phrase for Sam",
        "cookie key": str(app.config["SECRET_KEY"]),
        "root key": Path(app.config["DATA_DIR"] / "keys.json").read_text().split('"')[3],
    }
    assert len(secrets) >= 15
    assert all(len(value) >= 8 for value in secrets.values())
    content = dump(app)
    assert SAM.encode() in content, "it is the right file"
    assert [name for name, value in secrets.items() if value.encode() in content] == []


def _setup_secret(session: Session, clock: Clock) -> str:
    """A set-up link as `init` makes it, beside the organisations that are there."""
    secret = keys.new_secret()
    session.add(
        SetupLink(
            secret_hash=keys.digest(secret), tenant_id=UUID(int=1), user_id=UUID(int=1),
            expires_at=clock.now + tenants.SETUP_LIFE,
        )
    )  # fmt: skip
    return secret
