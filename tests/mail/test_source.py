"""The bytes of a message: read back by the standard library, and fit for any mail server."""

import email
import email.policy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from b2b.mail import source
from b2b.mail.source import UnfitHeader

DATE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@dataclass
class Logo:
    cid: str = "logo@b2b"
    media_type: str = "image/png"
    encoded: str = "iVBORw0KGgo=\n"


@dataclass
class Letter:
    """What there is to send."""

    subject: str = "Hello"
    sender: str = "invites@b2b.example"
    reply_to: str | None = None
    body: tuple[str, ...] = ("Hello.\n",)
    html: tuple[str, ...] | None = ("<p>Hello.</p>\n",)
    message_id: str = "<1@b2b.example>"
    extra_headers: dict[str, str] = field(default_factory=dict)
    inline: list[Logo] = field(default_factory=list)


def made(letter: Letter, recipient: str = "sam@gmail.com") -> tuple[bytes, EmailMessage]:
    content = source.of(letter, recipient=recipient, date=DATE)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    assert all(part.defects == [] for part in parsed.walk())
    assert content.isascii()
    lines = content.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines), "bare CR or LF"
    assert max(map(len, lines)) <= 998
    return content, parsed


@pytest.mark.parametrize(
    "text",
    [
        "Hello.\n",
        "",
        "no line end",
        ".\n..\n.hidden\n",
        "From here on\n",
        "spaces at the end   \ntab\t\n",
        "Zoë’s café = 100 %\n",
        "안녕하세요, 초대합니다.\n" * 40,
        "x" * 5000 + "\n",
        "\r\nmixed\rline\nends\r\n",
        "--=_alternative_\n",
    ],
)
def test_texts_come_back_as_they_were(text: str) -> None:
    _, parsed = made(Letter(body=(text,), html=(f"<p>{text}</p>",)))
    plain, html = parsed.iter_parts()
    expected = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == expected
    assert html.get_content().strip().startswith("<p>")
    assert plain.get_content_type() == "text/plain"
    assert html.get_content_type() == "text/html"


@pytest.mark.parametrize("text", ["Zoë’s café = 100 % , 3 < 4 \n" * 12, "x" * 400, "안녕 " * 90])
@pytest.mark.parametrize("every", [1, 2, 5, 37, 75, 76, 77, 150])
def test_pieces_come_back_as_one_text(text: str, every: int) -> None:
    pieces = tuple(text[start : start + every] for start in range(0, len(text), every))
    content, parsed = made(Letter(body=pieces, html=None))
    assert parsed.get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    assert max(map(len, content.split(b"\r\n"))) <= 76  # RFC 2045, 6.7 (5)


@pytest.mark.parametrize(
    "subject",
    [
        "Hello",
        "You’re invited to the WoodGrove organisation",
        "우드그로브 조직에 초대되었습니다 " * 6,
        "a long plain subject " * 9,
        "y" * 200,
    ],
)
def test_subjects_come_back_in_short_lines(subject: str) -> None:
    content, parsed = made(Letter(subject=subject))
    assert parsed["Subject"].split() == subject.split()
    if " " in subject:
        assert max(len(line) for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n")) <= 78


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("invites@b2b.example", ""),
        ("John Doe from WoodGrove <invites@b2b.example>", "John Doe from WoodGrove"),
        ('"Doe. John" <invites@b2b.example>', "Doe. John"),
        ("=?utf-8?b?6rmA66+87KSA?= <invites@b2b.example>", "김민준"),
        (
            "Somebody With A Rather Long Name from An Organisation With One <invites@b2b.example>",
            "Somebody With A Rather Long Name from An Organisation With One",
        ),
    ],
)
def test_names_of_senders_come_back_beside_their_address(sender: str, name: str) -> None:
    _, parsed = made(Letter(sender=sender, reply_to=sender))
    for header in ("From", "Reply-To"):
        [mailbox] = parsed[header].addresses
        assert (mailbox.display_name, mailbox.addr_spec) == (name, "invites@b2b.example")


def test_every_header_is_there_once_and_links_stay_whole() -> None:
    url = f"<https://b2b.example/block?{'x' * 300}>"
    headers = {"Auto-Submitted": "auto-generated", "List-Unsubscribe": url, "Cc": "Ada <a@b.co>"}
    content, parsed = made(Letter(extra_headers=headers))
    assert sorted(parsed.keys()) == sorted(
        ["Subject", "From", "To", "Date", "Message-ID", "MIME-Version", "Content-Type", *headers]
    )
    assert parsed["To"] == "sam@gmail.com"
    assert parsed["Date"].datetime == DATE
    assert parsed["Message-ID"] == "<1@b2b.example>"
    assert url.encode() in content


def test_pictures_belong_to_the_html_alone() -> None:
    _, parsed = made(Letter(inline=[Logo(), Logo(cid="face@b2b", media_type="image/jpeg")]))
    assert parsed.get_content_type() == "multipart/alternative"
    plain, related = parsed.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert related.get_content_type() == "multipart/related"
    html, logo, face = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert (logo["Content-ID"], face["Content-ID"]) == ("<logo@b2b>", "<face@b2b>")
    assert logo.get_content() == b"\x89PNG\r\n\x1a\n"


def test_a_letter_without_html_is_plain_text() -> None:
    _, parsed = made(Letter(html=None))
    assert parsed.get_content_type() == "text/plain"
    assert parsed.get_content().rstrip() == "Hello."


@pytest.mark.parametrize("evil", ["a\r\nBcc: eve@evil.example", "a\nb", "a\rb", "a\0b", "a\x7fb"])
@pytest.mark.parametrize(
    "where", ["subject", "sender", "reply_to", "message_id", "header", "recipient"]
)
def test_a_control_makes_no_header(where: str, evil: str) -> None:
    """INV-1, MAIL-1"""
    letter, recipient = Letter(), "sam@gmail.com"
    if where == "recipient":
        recipient = f"{evil}@gmail.com"
    elif where == "header":
        letter = replace(letter, extra_headers={"X-Invitation-Id": evil})
    elif where in ("sender", "reply_to"):
        letter = replace(letter, **{where: f"{evil} <a@b.example>"})
    else:
        letter = replace(letter, **{where: evil})
    with pytest.raises(UnfitHeader):
        source.of(letter, recipient=recipient, date=DATE)


def test_an_address_outside_ascii_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        source.of(Letter(), recipient="sämi@gmail.com", date=DATE)
