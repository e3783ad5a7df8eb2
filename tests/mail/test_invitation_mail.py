"""The invitation as its reader gets it: two layouts, two languages, logos, headers, and the copy
for the cc person.
"""

import email
import email.policy
import io
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from PIL import Image
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from b2b import worker
from b2b.errors import Refused
from b2b.extensions import db
from b2b.mail import compose, source
from b2b.mail.pictures import Album
from b2b.models import InvitationLayout, OutboxMessage, PictureKind, Tenant, User
from b2b.services import branding, pictures
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.mail.test_compose import BREAKS, HEADERS, HOSTILE, TEMPLATES

SAM = "gsamoogle@gmail.com"
BOSS = "boss@partner.example"
LAYOUTS = list(InvitationLayout)
BUTTONS = {
    (InvitationLayout.CLASSIC, "en"): "Get Started",
    (InvitationLayout.CURRENT, "en"): "Accept invitation",
}


def noise(width: int, height: int, file_format: str = "PNG") -> bytes:
    """A picture that no encoder can make small."""
    out = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(out, file_format)
    return out.getvalue()


def set_tenant(session: Session, cast: Cast, **columns: Any) -> None:
    session.execute(update(Tenant).where(Tenant.id == cast.woodgrove).values(**columns))
    session.expire_all()


def put_logos(session: Session, cast: Cast, clock: Clock) -> None:
    """Both logos and the inviter's photograph, each as large as it can get."""
    digests = {}
    for name, kind in branding.LOGOS.items():
        made = pictures.make(name, kind, noise(900, 200))
        pictures.put(session, cast.woodgrove, cast.woodgrove, made, clock.now)
        digests[name] = made.digest
    photo = pictures.make("photo", PictureKind.PHOTO, noise(400, 500, "JPEG"))
    pictures.put(session, cast.woodgrove, cast.john, photo, clock.now)
    set_tenant(session, cast, branding=digests)


def of_row(row: OutboxMessage, album: Album | None = None) -> tuple[EmailMessage, bytes]:
    """The message of an outbox row, as SMTP carries it."""
    made = compose.message(
        row.template, row.context, tenant_id=row.tenant_id, recipient=row.recipient,
        message_id=row.message_id, language=row.language, pictures=album,
    )  # fmt: skip
    content = source.of(made, recipient=row.recipient, date=row.created_at)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed, content


def rows(session: Session, template: str = "invitation") -> list[OutboxMessage]:
    return list(
        session.scalars(select(OutboxMessage).where(OutboxMessage.template == template)).all()
    )


def written(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def page_of(message: EmailMessage) -> BeautifulSoup:
    return BeautifulSoup(written(message, "html"), "html5lib")


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def album(session: Session) -> Album:
    """Reads from the test's own transaction."""
    from contextlib import contextmanager

    @contextmanager
    def same() -> Iterator[Session]:
        yield session

    return Album(same)


# Layouts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_say_the_same_facts_in_both_parts(
    app: Flask, session: Session, cast: Cast, clock: Clock, layout: InvitationLayout, language: str
) -> None:
    """mail.md, 1: organisation and domain, who, why, message, link, privacy, block link."""
    set_tenant(
        session, cast, invitation_layout=layout, privacy_url="https://woodgrove.example/privacy"
    )
    invited = factories.invite(
        session, cast, clock.now, language=language, message="The drawings are ready.",
        application_ids=[cast.projects],
    )  # fmt: skip
    link = factories.link_of(session, cast.woodgrove, invited.user_id)
    message, content = of_row(rows(session)[0])
    page, plain = page_of(message), written(message, "plain")
    assert page.html is not None
    assert page.html["lang"] == language
    for text in (words(page.get_text(" ")), words(plain)):
        for fact in ("WoodGrove", "woodgrove.example", "John Doe", "john.doe@woodgrove.example",
                     "The drawings are ready.", "Projects", SAM):  # fmt: skip
            assert fact in text, fact
    assert link in plain
    hrefs = [str(a["href"]) for a in page.select("a[href]")]
    assert hrefs.count(link) == 2, "the button, and the address to copy"
    assert "https://woodgrove.example/privacy" in hrefs
    assert "https://woodgrove.example/privacy" in plain
    [block] = [href for href in hrefs if "/invitations/block?" in href]
    assert block in plain
    assert all(len(line) <= 72 or "http" in line for line in plain.splitlines())
    if language == "en":
        button = page.select_one("td.cta a")
        assert button is not None
        assert button.get_text() == BUTTONS[layout, language]
        assert f"{BUTTONS[layout, language]}:\n{link}" in plain.replace("\r\n", "\n")
    assert len(content) < 40_000
    assert not page.select("script, link, form, iframe, img")


def test_the_classic_layout_has_the_words_of_2017(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    factories.invite(session, cast, clock.now)
    message, _ = of_row(rows(session)[0])
    assert str(message["Subject"]) == "You’re invited to the WoodGrove organisation"
    assert str(message["From"]) == "John Doe from WoodGrove <invites@b2b.example>"
    assert "Get Started" in written(message, "html")
    assert "Accept invitation" not in written(message, "html")


def test_the_current_layout_warns_first_and_says_where_the_reader_will_land(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    set_tenant(session, cast, invitation_layout=InvitationLayout.CURRENT)
    factories.invite(
        session, cast, clock.now, redirect_url="https://projects.woodgrove.example/start"
    )
    message, _ = of_row(rows(session)[0])
    assert (
        str(message["Subject"])
        == "John Doe invited you to access applications within their organisation"
    )
    assert str(message["From"]) == "Invitations on behalf of WoodGrove <invites@b2b.example>"
    for text in (words(page_of(message).get_text(" ")), words(written(message, "plain"))):
        warning = "Act on this mail only if you expected an invitation from WoodGrove"
        place = "If you accept, you are led to projects.woodgrove.example."
        assert text.index(warning) < text.index("John Doe invited you to access applications at")
        assert text.index(place) < text.index("Accept invitation", text.index(place))
        assert "Get Started" not in text


def test_a_subject_made_of_a_name_stays_one_short_line(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-1, MAIL-3, in the layout whose subject names the inviter."""
    set_tenant(session, cast, invitation_layout=InvitationLayout.CURRENT)
    name = "Microsoft Security\r\nBcc: eve@evil.example, <eve@evil.example>" + "x" * 300
    session.execute(update(User).where(User.id == cast.john).values(display_name=name[:256]))
    session.expire_all()
    factories.invite(session, cast, clock.now)
    message, content = of_row(rows(session)[0])
    assert message["Bcc"] is None
    assert len(str(message["Subject"])) <= 200
    assert "eve@evil.example>" not in str(message["Subject"])
    assert b"\r\nBcc" not in content, "neither a header nor a line that looks like one"
    assert "john.doe@woodgrove.example" in written(message, "plain")


def test_whom_to_ask_when_the_inviter_has_no_address(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """mail.md, 2: no Reply-To, and a footer that says so."""
    session.execute(update(User).where(User.id == cast.john).values(mail=None))
    set_tenant(session, cast, technical_contact="help@woodgrove.example",
               privacy_contact="privacy@woodgrove.example")  # fmt: skip
    factories.invite(session, cast, clock.now)
    message, _ = of_row(rows(session)[0])
    assert message["Reply-To"] is None
    for text in (words(page_of(message).get_text(" ")), words(written(message, "plain"))):
        assert "Whoever answers questions at WoodGrove: help@woodgrove.example." in text
        assert "WoodGrove has not given a privacy statement." in text
        assert "Questions about privacy go to privacy@woodgrove.example." in text


def test_nothing_of_a_dropped_message_is_in_the_letter(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, custom message; mail.md, 2"""
    session.execute(update(User).where(User.id == cast.john).values(mail=None))
    factories.set_policy(session, cast.woodgrove, drop_unsigned_messages=True)
    factories.invite(session, cast, clock.now, message="Xylophones on Tuesday", cc_address=BOSS)
    for template in ("invitation", "invitation_copy"):
        _, content = of_row(rows(session, template)[0])
        assert b"Xylophone" not in content
        assert b"Message from" not in content


def test_a_row_from_before_the_layouts_is_still_sent(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    factories.invite(session, cast, clock.now)
    row = rows(session)[0]
    row.context = {
        name: value
        for name, value in row.context.items()
        if name not in ("layout", "privacy_contact", "technical_contact", "inviter_id")
    }
    message, _ = of_row(row)
    assert "Get Started" in written(message, "html")


# Cc ----------------------------------------------------------------------------------------------


def test_the_copy_has_no_link_and_the_guests_mail_goes_to_the_guest_alone(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """MAIL-6, through real SMTP"""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(
            session, cast, clock.now, message="See you there.", cc_address=BOSS,
            cc_name='The "Boss" <eve@evil.example>,',
        )  # fmt: skip
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
    assert mailroom.deliver().sent == 2
    [to_guest], [to_boss] = mailroom.sources(SAM), mailroom.sources(BOSS)
    assert mailroom.sources("eve@evil.example") == []
    assert len(mailroom.sources()) == 2
    guest = email.message_from_bytes(to_guest, policy=email.policy.default)
    [shown] = guest["Cc"].addresses
    assert shown.addr_spec == BOSS
    assert shown.display_name == "The Boss eve evil.example"
    copy = email.message_from_bytes(to_boss, policy=email.policy.default)
    assert isinstance(copy, EmailMessage)
    assert [a.addr_spec for a in copy["To"].addresses] == [BOSS]
    assert copy["Cc"] is None
    for name in ("X-Invitation-Id", "List-Unsubscribe"):
        assert copy[name] is None
    secret = parse_qs(urlsplit(factories.rd_of(link)).query)["ticket"][0]
    for kind in ("plain", "html"):
        text = written(copy, kind)
        for part in (secret, "/redeem", "ticket", "/invitations/block", "Get Started"):
            assert part not in text, part
        for fact in (SAM, "John Doe", "WoodGrove", "See you there."):
            assert fact in text, fact
    assert page_of(copy).select("a[href]") == []


# Pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_parts_of_the_mail_which_stays_below_100_kb(
    app: Flask, session: Session, cast: Cast, clock: Clock, album: Album, layout: InvitationLayout
) -> None:
    """mail.md, 1; nothing is fetched from anywhere (design brief, 6)."""
    put_logos(session, cast, clock)
    set_tenant(session, cast, invitation_layout=layout)
    factories.invite(session, cast, clock.now, message="가" * 2000, language="ko")
    message, content = of_row(rows(session)[0], album)
    assert len(content) < 100_000
    related = [part for part in message.walk() if part.get_content_type() == "multipart/related"]
    assert len(related) == 1
    html, *images = related[0].iter_parts()
    assert html.get_content_type() == "text/html"
    names = {str(part["Content-ID"]).strip("<>") for part in images}
    shown = page_of(message).select("img")
    assert {str(img["src"]) for img in shown} == {f"cid:{name}" for name in names}
    assert len(shown) == 2, "one logo and the photograph"
    for part in images:
        assert part.get_content_disposition() == "inline"
        assert part.get_content_type() in ("image/png", "image/jpeg")
        with Image.open(io.BytesIO(part.get_content())) as picture:
            picture.load()
    for img in shown:
        assert str(img["alt"]).strip()
        assert int(str(img["width"])) <= 245
        assert int(str(img["height"])) <= 36
    assert "http" not in " ".join(str(img["src"]) for img in shown)
    banner = "bannerlogo" in " ".join(names)
    assert banner is (layout is InvitationLayout.CLASSIC)


def test_with_pictures_off_or_none_the_name_and_initials_stand_there(
    app: Flask, session: Session, cast: Cast, clock: Clock, album: Album
) -> None:
    factories.invite(session, cast, clock.now)
    bare, _ = of_row(rows(session)[0], album)
    assert page_of(bare).select("img") == []
    assert [td.get_text() for td in page_of(bare).select("td.logo, td.face")] == ["W", "JD"]
    put_logos(session, cast, clock)
    row = rows(session)[0]
    row.context = row.context | {"branding": session.get_one(Tenant, cast.woodgrove).branding}
    dressed, _ = of_row(row, Album(album._transaction))
    assert [img["alt"] for img in page_of(dressed).select("img")] == ["WoodGrove", "JD"]
    assert "WoodGrove" in page_of(dressed).get_text()


def test_a_long_queue_asks_for_each_picture_once(
    app: Flask, session: Session, cast: Cast, clock: Clock, album: Album
) -> None:
    """scale.md: no query per letter"""
    put_logos(session, cast, clock)
    factories.invite(session, cast, clock.now)
    row = rows(session)[0]
    of_row(row, album)
    asked: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        for _ in range(50):
            of_row(row, album)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert asked == []


def test_a_new_logo_is_in_the_next_letter_though_the_old_one_is_remembered(
    app: Flask, session: Session, cast: Cast, clock: Clock, album: Album
) -> None:
    put_logos(session, cast, clock)
    factories.invite(session, cast, clock.now)
    row = rows(session)[0]
    before, _ = of_row(row, album)
    made = pictures.make("banner", PictureKind.BANNER_LOGO, noise(100, 30))
    pictures.put(session, cast.woodgrove, cast.woodgrove, made, clock.now)
    row.context = row.context | {"branding": {"banner": made.digest}}
    after, _ = of_row(row, album)
    sources = [page_of(mail).select("img")[0]["src"] for mail in (before, after)]
    assert sources[0] != sources[1]
    assert made.digest[:16] in str(sources[1])


# Headers -----------------------------------------------------------------------------------------


def test_mail_programs_can_unsubscribe_with_one_click(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """RFC 8058, 3.1: both headers, one https or http address in angle brackets."""
    factories.invite(session, cast, clock.now)
    message, content = of_row(rows(session)[0])
    assert str(message["List-Unsubscribe-Post"]) == "List-Unsubscribe=One-Click"
    found = re.search(rb"\r\nList-Unsubscribe:\s+<([!-=?-~]+)>\r\n", content)
    assert found, "the address is neither encoded nor cut"
    url = urlsplit(found[1].decode())
    assert (url.netloc, url.path) == ("localhost:5000", "/invitations/block/at-once")
    assert set(parse_qs(url.query)) == {"tenant", "invitation", "token"}


def test_the_outbox_holds_neither_link_nor_the_secret_of_the_block_link(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-5: both are derived when the letter is written."""
    factories.invite(session, cast, clock.now, cc_address=BOSS)
    message, _ = of_row(rows(session)[0])
    text = written(message, "plain")
    secrets = re.findall(r"(?:ticket%3d|token=)([\w-]{43})", text)
    assert len(secrets) == 2
    for row in [*rows(session), *rows(session, "invitation_copy")]:
        for secret in secrets:
            assert secret not in str(row.context)


def test_links_come_from_the_settings_and_never_from_a_request(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-4: whatever host was asked for, also for the block link"""
    factories.invite(session, cast, clock.now)
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    with app.test_request_context("/", base_url="http://evil.example", headers=headers):
        _, content = of_row(rows(db.session())[0])
    assert b"evil.example" not in content


def test_no_secret_of_a_letter_is_logged(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    """MAIL-7"""
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now)
    with caplog.at_level("DEBUG"):
        assert mailroom.deliver().sent == 1
    [content] = mailroom.sources(SAM)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    secrets = re.findall(r"(?:ticket%3d|token=)([\w-]{43})", written(parsed, "plain"))
    assert len(secrets) == 2
    for secret in secrets:
        assert secret not in caplog.text


# What is typed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", BREAKS, ids=repr)
@pytest.mark.parametrize("field", ["cc_name", "cc_address"])
def test_a_cc_is_refused_or_stays_one_address_in_its_header(
    app: Flask, session: Session, cast: Cast, clock: Clock, field: str, payload: str
) -> None:
    """INV-1, MAIL-6"""
    value = {"cc_name": f"Bo{payload}ss", "cc_address": f"boss{payload}@partner.example"}[field]
    try:
        factories.invite(session, cast, clock.now, **({"cc_address": BOSS} | {field: value}))
    except Refused:
        assert session.scalars(select(OutboxMessage)).all() == []
        return
    [guest], [copy] = rows(session), rows(session, "invitation_copy")
    assert (guest.recipient, copy.recipient) == (SAM, BOSS)
    for row in (guest, copy):
        message, _ = of_row(row)
        names = [name for name, _ in message.raw_items()]
        assert len(names) == len(set(names))
        assert set(names) <= HEADERS | {"Cc"}
        assert [a.addr_spec for a in message["To"].addresses] == [row.recipient]
    shown = of_row(guest)[0]["Cc"].addresses
    assert [a.addr_spec for a in shown] == [BOSS]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", ["current", "copy"])
def test_hostile_words_are_plain_text_in_every_letter(
    app: Flask, session: Session, cast: Cast, clock: Clock, where: str, text: str
) -> None:
    """MAIL-1, as for the classic layout: message, names of inviter and organisation"""
    set_tenant(session, cast, invitation_layout=InvitationLayout.CURRENT)
    template = "invitation_copy" if where == "copy" else "invitation"
    shapes = []
    for value in ("harmless", text):
        with session.begin_nested() as savepoint:
            set_tenant(session, cast, display_name=f"W {value}")
            session.execute(
                update(User).where(User.id == cast.john).values(display_name=f"J {value}")
            )
            session.expire_all()
            factories.invite(session, cast, clock.now, message=f"M {value}", cc_address=BOSS)
            message, _ = of_row(rows(session, template)[0])
            savepoint.rollback()
        page = page_of(message)
        shapes.append([(tag.name, sorted(tag.attrs)) for tag in page.find_all(True)])
        hosts = {str(a["href"]).split("/")[2] for a in page.select("a[href]")}
        assert hosts <= {"localhost:5000"}
    assert shapes[0] == shapes[1]
    shown = text.replace("\u202e", "").replace("\u200b", "")
    assert f"M {shown}" in page.get_text()
    assert f"M {shown}" in written(message, "plain")


@pytest.mark.parametrize("text", TEMPLATES)
def test_template_language_stays_literal_in_the_current_layout(
    app: Flask, session: Session, cast: Cast, clock: Clock, text: str
) -> None:
    """MAIL-2, also in the subject, which names the inviter here"""
    set_tenant(session, cast, invitation_layout=InvitationLayout.CURRENT, display_name=f"W {text}")
    session.execute(update(User).where(User.id == cast.john).values(display_name="J {{ config }}"))
    session.expire_all()
    factories.invite(session, cast, clock.now, message=f"M {text}", cc_address=BOSS)
    for row in [*rows(session), *rows(session, "invitation_copy")]:
        message, content = of_row(row)
        assert f"M {text}" in written(message, "plain")
        assert f"W {text}" in page_of(message).get_text()
        assert str(app.config["SECRET_KEY"]).encode() not in content
    subject = str(of_row(rows(session)[0])[0]["Subject"])
    assert subject == (
        "J {{ config }} invited you to access applications within their organisation"
    )
