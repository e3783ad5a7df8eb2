"""One's own photograph: set, shown to its owner and in letters, and removed."""

import email
import email.policy
import io
from email.message import EmailMessage

from flask import Flask
from PIL import Image
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, Picture
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.pages import ORIGIN, Browser


def photograph() -> tuple[io.BytesIO, str]:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(out, "JPEG")
    return io.BytesIO(out.getvalue()), "me.jpg"


def test_a_photograph_is_in_the_letters_of_its_owner(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    """mail.md, 1: profile picture, or a generated icon with the inviter's initials"""
    page = john.get("/profile/photo")
    assert "No photo yet" in page.text
    page = page.submit("/profile/photo", photo=photograph())
    assert "Saved." in page.text
    shown = page.soup.select_one("main img")
    assert shown is not None
    response = john.client.get(str(shown["src"]), base_url=ORIGIN)
    assert (response.status_code, response.mimetype) == (200, "image/jpeg")
    assert response.headers["Cache-Control"] == "no-store"
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now)
    assert mailroom.deliver().sent == 1
    mail = email.message_from_bytes(mailroom.sources()[-1], policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    [part] = [part for part in mail.walk() if part.get_content_maintype() == "image"]
    assert part.get_content() == response.data
    page = john.get("/profile/photo").submit("/remove")
    assert "No photo yet" in page.text
    with app.app_context():
        assert db.session.scalars(select(Picture)).all() == []
        changed = [
            change["property"]
            for event in db.session.scalars(
                select(AuditEvent).where(AuditEvent.actor_id == cast.john)
            )
            for change in event.changes
        ]
    assert changed.count("Photo") == 2


def test_what_is_no_photograph_is_refused_beside_the_field(cast: Cast, adele: Browser) -> None:
    page = adele.get("/profile/photo").submit(
        "/profile/photo", photo=(io.BytesIO(b"<svg/>"), "me.png")
    )
    assert page.errors == ["This file is not a PNG or JPEG picture."]
    page = adele.get("/profile/photo").submit("/profile/photo", photo=None)
    assert page.errors == ["Choose a picture."]


def test_nobody_sees_somebody_elses_photograph(
    app: Flask, cast: Cast, john: Browser, adele: Browser
) -> None:
    """ADM-3"""
    john.get("/profile/photo").submit("/profile/photo", photo=photograph())
    shown = john.get("/profile/photo").soup.select_one("main img")
    assert shown is not None
    url = str(shown["src"])
    assert adele.client.get(url, base_url=ORIGIN).status_code == 404
    assert app.test_client().get(url, base_url=ORIGIN).status_code == 303
