"""Whoever steals the database, or yesterday's backup, finds no secret that works."""

import base64
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session

from b2b import keys, links, worker
from b2b.extensions import db
from b2b.models import SetupLink, SigningKey
from b2b.services import tenants
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.letters import code_in, link_in
from tests.pages import ORIGIN, Browser
from tests.relying_party import answered, register

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


def test_a_dump_holds_no_signing_key_no_code_and_no_token(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """DB-2, OIDC-3, OIDC-6: neither with the database nor with the keys of the folder alone"""
    with app.app_context(), worker.transaction() as session:
        party = register(session, cast.woodgrove, cast.projects, clock.now, cast.adele)
    adele = Browser(app).sign_in("adele.vance@woodgrove.example", cast.password)
    codes = [
        answered(adele.client.get(party.authorize_path(), base_url=ORIGIN))["code"]
        for _ in range(2)
    ]
    issued = party.exchange(app.test_client(), codes[0]).json or {}
    content = dump(app)
    assert b"authorization_codes" in content or app.config["DATABASE_URL"].startswith("postgresql")
    for secret in (*codes, issued["access_token"], issued["id_token"]):
        signature = secret.rpartition(".")[2]
        assert signature.encode() not in content
    with app.app_context():
        session = db.session()
        rows = session.scalars(select(SigningKey)).all()
        assert len(rows) == 2
        for row in rows:
            plain = links.keyring().unseal(row.private_key, "signing key", row.kid)
            # PKCS #8 begins alike for every key; what follows is the key's own.
            assert row.private_key not in plain
            for start in range(64, len(plain) - 32, 32):
                modulus = base64.urlsafe_b64decode(row.public_jwk["n"] + "==")
                piece = plain[start : start + 16]
                if piece not in modulus:
                    assert piece not in content
                    assert piece.hex().encode() not in content
                    assert base64.b64encode(piece)[:16] not in content
    folder = Path(app.config["DATA_DIR"])
    assert [file.name for file in folder.rglob("*") if b"PRIVATE KEY" in file.read_bytes()] == []
    thief = keys.Keyring.from_secrets(["a thief’s own root key, long enough to be one"])
    with pytest.raises(KeyError):
        thief.unseal(rows[0].private_key, "signing key", rows[0].kid)


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
