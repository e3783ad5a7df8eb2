"""Root keys in use: a new one in front, an old one retired, all of them revoked after a theft."""

import hmac
import json
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from b2b import create_app, jose, worker
from b2b.extensions import db
from b2b.models import OutboxMessage, SigningKey
from b2b.services import signing_keys
from config import Config
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.factories import SAM
from tests.letters import code_in, link_in
from tests.pages import Browser
from tests.web.inbox.conftest import Mails, mails
from tests.web.inbox.test_inbox_v2 import ask
from tests.web.inbox.test_webhooks import Hooked, hooked, tell

__all__ = ["hooked", "mails"]

Restart = Callable[[], Flask]
LANDING = "John Doe invites you to WoodGrove"


def run(app: Flask, *words: str, **more: Any) -> Result:
    with app.app_context():
        try:
            return app.test_cli_runner().invoke(args=["keys", *words], **more)
        finally:
            db.session.remove()


def done(app: Flask, *words: str) -> str:
    result = run(app, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(app: Flask, *words: str) -> str:
    result = run(app, *words)
    assert result.exit_code == 1, result.output
    return result.stderr.removeprefix("b2b: ").strip()


def key_file(app: Flask) -> list[str]:
    return list(json.loads((app.config["DATA_DIR"] / "keys.json").read_text())["keys"])


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"PORT": 5998, "BASE_URL": "http://localhost:5000"}


@pytest.fixture
def restart(app: Flask, settings: dict[str, Any]) -> Iterator[Restart]:
    """Starts the program anew, with the keys of now; mail goes where it went."""
    made: list[Flask] = []

    def again() -> Flask:
        fresh = create_app(Config(**settings))
        fresh.config["MAIL_PORT"] = fresh.extensions["mail"].port = app.config["MAIL_PORT"]
        made.append(fresh)
        return fresh

    yield again
    for one in made:
        with one.app_context():
            db.session.remove()
            db.engine.dispose()


def moved(browser: Browser, app: Flask) -> Browser:
    """The same browser, cookies and all, at the program that was started anew."""
    other = Browser(app)
    for name in ("b2b_session", "b2b_browser"):
        cookie = browser.client.get_cookie(name, domain="localhost")
        if cookie is not None:
            other.client.set_cookie(name, cookie.value, domain="localhost")
    return other


def invited(john: Browser, mailroom: Mailroom, address: str = SAM) -> str:
    """The link in the mail to somebody whom John has just invited."""
    john.get("/admin/users/invite").submit("/invite", addresses=address)
    mailroom.deliver()
    return link_in(mailroom.sources(address)[0])


def test_a_rotated_key_leaves_links_codes_sessions_and_forms_good(
    app: Flask, john: Browser, mailroom: Mailroom, restart: Restart
) -> None:
    """REL-9: everything begun before the rotation is finished after it"""
    link = invited(john, mailroom)
    sam = Browser(app)
    waiting = sam.get(link).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(SAM)[-1])
    form = john.get("/admin/users/invite")
    [first] = key_file(app)
    said = done(app, "rotate")
    newer, kept = key_file(app)
    assert kept == first
    assert newer != first
    assert stat.S_IMODE((app.config["DATA_DIR"] / "keys.json").stat().st_mode) == 0o600
    assert "as soon as web and worker are restarted" in said
    # Until then what runs knows the old key and is not disturbed.
    assert Browser(app).get(link).h1 == LANDING
    after = restart()
    assert Browser(after).get(link).h1 == LANDING
    form.browser = moved(john, after)
    sent = form.submit("/invite", addresses="new@partner.example")
    assert "Invited new@partner.example." in sent.text
    waiting.browser = moved(sam, after)
    page = waiting.browser.get("/signin/code").submit("/signin/code", code=code)
    assert page.errors == []
    assert "/signin/account" in page.path or page.h1.startswith("Review")


def test_a_retired_key_takes_its_links_with_it_and_nothing_else(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom, restart: Restart
) -> None:
    """REL-9: John stays signed in, tokens go on being good, and sending again mends the link"""
    link = invited(john, mailroom)
    with app.app_context(), worker.transaction() as session:
        signer = signing_keys.signer(session, now=clock.now)
        token = signer.sign({"sub": "x"})
    mail = john.get("/admin/users/invite").submit("/invite", addresses="waits@partner.example")
    assert mail.status == 200
    done(app, "rotate")
    after = restart()
    listed = done(after, "list").splitlines()
    assert [" ".join(line.split()[1:]) for line in listed] == [
        "makes new links 0 open invitations 0 waiting mails 0 signing keys",
        "only checks 2 open invitations 1 waiting mails 2 signing keys",
    ]
    asked = run(after, "retire", input="n\n")
    assert asked.exit_code == 1
    assert "The links of 2 open invitations stop working" in asked.output
    assert len(key_file(app)) == 2
    assert Browser(after).get(link).h1 == LANDING
    assert "Retired: " in done(after, "retire", "--yes")
    assert len(key_file(app)) == 1
    last = restart()
    dead = Browser(last).get(link)
    assert dead.h1 != LANDING
    assert "This link cannot be used" in dead.text
    again = moved(john, last)
    assert again.get("/admin/users").status == 200
    with last.app_context():
        session = db.session()
        assert signing_keys.signer(session, now=clock.now).kid == signer.kid
        jwk = signing_keys.find(session, signer.kid, now=clock.now)
        assert jwk is not None
        assert jose.verified(token, {signer.kid: jwk}.get)["sub"] == "x"
        [held] = session.scalars(
            select(OutboxMessage).where(OutboxMessage.recipient == "waits@partner.example")
        )
        assert (str(held.state), held.last_error) == (
            "failed",
            "The key of its link was retired. Send the invitation again: it gets a new link.",
        )
        db.session.remove()
    again.get("/admin/users/invite").submit("/invite", addresses=SAM)
    clock.advance(minutes=6)
    again.get("/admin/users/invite").submit("/invite", addresses=SAM)
    Mailroom.deliver(_room(last, mailroom))
    fresh = link_in(mailroom.sources(SAM)[-1])
    assert fresh != link
    assert Browser(last).get(fresh).h1 == LANDING


def _room(app: Flask, mailroom: Mailroom) -> Mailroom:
    return Mailroom(app, mailroom._url)


def test_webhooks_are_signed_as_before_once_their_key_is_retired(
    app: Flask, cast: Cast, restart: Restart, mails: Mails, hooked: Hooked
) -> None:
    """REL-9"""
    made = ask(app.test_client(), "/webhooks", "POST", json={"url": hooked.url})[1]
    mails.one("First")
    done(app, "rotate")
    after = restart()
    assert tell(after, mails) == 1
    done(after, "retire", "--yes")
    mails.one("Second")
    assert tell(restart(), mails) == 1
    assert hooked.subjects() == ["First", "Second"]
    for headers, body in hooked.got:
        said = dict(part.split("=") for part in headers["X-Inbox-Signature"].split(","))
        signed = f"{said['t']}.".encode() + body
        assert said["v1"] == hmac.new(made["secret"].encode(), signed, "sha256").hexdigest()


def test_after_a_theft_webhooks_are_made_anew(
    app: Flask, cast: Cast, mails: Mails, hooked: Hooked
) -> None:
    """REL-9: whoever has read the secrets could sign as this inbox"""
    ask(app.test_client(), "/webhooks", "POST", json={"url": hooked.url})
    assert "The inbox’s webhooks are deleted: make them anew." in done(app, "revoke", "--yes")
    assert ask(app.test_client(), "/webhooks")[1] == {"webhooks": []}
    mails.one()
    assert tell(app, mails) == 0


def test_a_store_that_cannot_be_read_keeps_the_old_key(
    app: Flask, cast: Cast, restart: Restart
) -> None:
    done(app, "rotate")
    (app.config["DATA_DIR"] / "mail.sqlite3").write_text("This is no database." * 100)
    assert refusal(restart(), "retire", "--yes").startswith(
        "The store of captured mail does not answer"
    )
    assert len(key_file(app)) == 2


def test_after_a_theft_everything_made_with_the_old_keys_is_dead(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom, restart: Restart
) -> None:
    """REL-9, OIDC-6: links, codes, sessions and tokens at once; the audit log says so"""
    link = invited(john, mailroom)
    sam = Browser(app)
    sam.get(link).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(SAM)[-1])
    with app.app_context(), worker.transaction() as session:
        old = signing_keys.signer(session, now=clock.now).kid
    [stolen] = key_file(app)
    assert run(app, "revoke", input="n\n").exit_code == 1
    assert key_file(app) == [stolen]
    done(app, "revoke", "--yes")
    [fresh] = key_file(app)
    assert fresh != stolen
    after = restart()
    assert Browser(after).get(link).h1 != LANDING
    assert moved(john, after).get("/admin/users").path == "/signin"
    page = moved(sam, after).get("/signin/code")
    if page.soup.select_one("form[action$='/signin/code']"):
        assert page.submit("/signin/code", code=code).errors
    with after.app_context():
        session = db.session()
        assert signing_keys.find(session, old, now=clock.now) is None
        assert signing_keys.are_complete(session, now=clock.now)
        assert old not in set(session.scalars(select(SigningKey.kid)))
        db.session.remove()
    again = Browser(after).sign_in("john.doe@woodgrove.example", cast.password)
    assert "All keys revoked" in again.get("/admin/audit").text


def test_what_cannot_be_done_is_one_sentence(app: Flask, cast: Cast) -> None:
    assert refusal(app, "retire") == (
        "There is one key only; run  flask --app app keys rotate  first."
    )
    [line] = done(app, "list").splitlines()
    assert refusal(app, "retire", line.split()[0]) == (
        "The first key makes what is new; run  flask --app app keys rotate  first."
    )
    assert refusal(app, "retire", "0123456789ab") == "There is no key 0123456789ab."


def test_keys_of_the_environment_are_changed_there(
    settings: dict[str, Any], clock: Clock, restart: Restart, cast: Cast
) -> None:
    settings["SECRET_KEYS"] = ["the only root key, of forty characters or so"]
    app = restart()
    assert refusal(app, "rotate") == (
        "The keys of this installation come from SECRET_KEYS: put a new one in front there."
    )
    assert refusal(app, "revoke", "--yes") == "Put a new key in front of SECRET_KEYS first."
    settings["SECRET_KEYS"].insert(0, "another root key, put in front by the operator")
    app = restart()
    assert "Now take the older ones out of SECRET_KEYS." in done(app, "revoke", "--yes")
