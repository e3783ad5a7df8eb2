"""Reading mails: the usual, the odd, and whatever else bytes can be."""

import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2b.sink import markup, message, mime
from b2b.sink.headers import Address
from b2b.sink.markup import Link


def invitation() -> EmailMessage:
    """A mail as our own delivery sends it, with a picture inside and a file attached."""
    mail = EmailMessage()
    mail["Subject"] = "John Doe invited you to WoodGrove"
    mail["From"] = Address("John Doe via WoodGrove", "invites@woodgrove.example").address
    mail["To"] = '"Oogle, Sam" <sam@contoso.example>'
    mail["Cc"] = "김철수 <kim@contoso.example>"
    mail["Date"] = "Fri, 02 Jan 2026 10:00:00 +0900"
    mail["Message-ID"] = "<abc@woodgrove.example>"
    mail.set_content("Get started:\nhttps://localhost/redeem?rd=a%3Fb&x=(1).\n")
    mail.add_alternative(
        '<p>Hello <img src="cid:logo@x" alt="WoodGrove"></p>'
        '<a href="https://localhost/redeem?rd=a%3Fb&amp;x=(1)"><b>Get</b> Started</a>',
        subtype="html",
    )
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG", "image", "png", cid="<logo@x>", disposition="inline")
    mail.add_attachment(
        b"%PDF", maintype="application", subtype="pdf", filename="..\\..\\Größe\u202efdp.pdf"
    )
    return mail


def test_an_invitation_reads_as_a_person_would_read_it() -> None:
    mail = message.read(invitation().as_bytes())
    assert mail.subject == "John Doe invited you to WoodGrove"
    assert mail.to == (Address("Oogle, Sam", "sam@contoso.example"),)
    assert mail.cc == (Address("김철수", "kim@contoso.example"),)
    assert mail.date is not None
    assert mail.date.isoformat() == "2026-01-02T01:00:00+00:00"
    assert mail.message_id == "abc@woodgrove.example"
    assert mail.text.startswith("Get started:\n")
    assert mail.links == (Link("https://localhost/redeem?rd=a%3Fb&x=(1)", "Get Started"),)
    picture, file = mail.attachments
    assert (picture.part_id, picture.is_inline, picture.content_id) == ("1.2.2", True, "logo@x")
    assert (file.part_id, file.name, file.size) == ("2", "Größe fdp.pdf", 4)
    assert mail.part("2") == b"%PDF"
    assert mail.part("9.9") is None
    assert mail.part_type("2") == "application/pdf"
    assert [field.name for field in mail.headers][:3] == ["Subject", "From", "To"]
    shown = mail.safe_html(lambda part_id: f"/part/{part_id}")
    assert '<img src="/part/1.2.2" alt="WoodGrove">' in shown
    assert 'src="/part/1.2.2"' in mail.html_as_sent(lambda part_id: f"/part/{part_id}")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your code is 482917.", ("482917",)),
        ("Your passcode:\n\n    4829 1706\n\nIt ends in 30 minutes.", ("48291706",)),
        ("482-917 is your verification number", ("482917",)),
        ("Ihr Einmalcode lautet 4829", ("4829",)),
        ("인증번호는 48291706 입니다", ("48291706",)),
        ("인증 코드는 4829 1706입니다.", ("48291706",)),
        ("認証コードは482917です", ("482917",)),
        ("您的验证码482917，请勿告诉他人", ("482917",)),
        ("코드는 2026년까지, 5000원", ()),
        ("コード：2026年、5000円", ()),
        ("Hello\n\n48291706\n\nBye", ("48291706",)),
        ("code 111111 or code 222222", ("111111", "222222")),
        ("The year 2026 was good", ()),
        ("Call +82 10 1234 5678 for your code", ()),
        ("See https://x.example/code/123456", ()),
        ("Code expires 2026-01-02", ()),
        ("Price 1234.50 with code", ()),
        ("Order 1234567890123 code", ()),
    ],
)
def test_one_time_codes_are_recognised(text: str, codes: tuple[str, ...]) -> None:
    assert message.codes(text) == codes


DANGEROUS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--><img src=1 onerror=alert(1)>">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<base href="https://evil.example/">',
    '<form action="https://evil.example"><input name=a><button>Go</button></form>',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<object data="https://evil.example/x.swf"></object><embed src=x>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java\nscript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<img src="https://evil.example/pixel.gif" srcset="https://evil.example/2.gif 2x">',
    '<img src="data:image/svg+xml;base64,PHN2Zz4=">',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<video src="https://evil.example/x.mp4" autoplay></video>',
    "<style></style><script>alert(1)</script></style>",
    '<style><img src="</style><img src=x onerror=alert(1)>"></style>',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "<p/onclick=alert(1)>x</p>",
    '<div title="<script>alert(1)</script>" onmouseover="alert(1)">x</div>',
    "<scr<!-- -->ipt>alert(1)</script>",
    "<textarea><script>alert(1)</script></textarea>",
    '<a href="/admin/users">relative</a>',
]


@pytest.mark.parametrize("dangerous", DANGEROUS)
def test_nothing_that_acts_gets_into_the_preview(dangerous: str) -> None:
    """BOX-1: read again by an independent parser."""
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in markup._TAGS
            for name, value in attrs:
                assert not name.startswith("on")
                assert name not in ("srcset", "srcdoc", "action", "background", "ping")
                if name in ("src", "href"):
                    assert (value or "").startswith(("https://ok.example", "/part/"))

    shown = markup.safe(f"<p>before</p>{dangerous}<p>after</p>", lambda one: f"/part/{one}")
    Reader().feed(shown)
    assert "<p>before</p>" in shown
    assert "alert(1)</script" not in shown


def test_looks_are_kept() -> None:
    source = (
        "<html><head><style>.b{color:red}</style></head><body>"
        '<table width="600" cellpadding=4><tr><td align=center style="padding:4px">'
        '<a class="b" href="https://ok.example/?a=1&b=2" style="color:#fff">Go &rarr;</a>'
        "</td></tr></table><p>one<p>two<ul><li>a<li>b</ul></body></html>"
    )
    shown = markup.safe(source, lambda _: None)
    assert "<style>.b{color:red}</style>" in shown
    assert 'style="padding:4px"' in shown
    assert 'href="https://ok.example/?a=1&amp;b=2"' in shown
    assert "<p>one</p><p>two</p><ul><li>a</li><li>b</li></ul>" in shown
    text, links = markup.read(source)
    assert text == "Go →\n\none\ntwo\n\na\nb"
    assert links == [Link("https://ok.example/?a=1&b=2", "Go →")]


SOUP = st.lists(
    st.sampled_from(
        [
            f"<{tag}>"
            for tag in ("b", "p", "font size=7", "table", "tr", "td", "li", "ul", "a href=x")
        ]
        + [f"</{tag}>" for tag in ("b", "p", "font", "table", "tr", "td", "li", "ul", "a")]
        + ["x", "<", "<!--", "-->", "<style>", "</style>", '<div title="', '">', "'", "="]
    ),
    max_size=60,
)


@given(SOUP)
def test_any_soup_of_tags_stays_about_as_long_as_it_was(pieces: list[str]) -> None:
    """SMTP-2: a parser that recovers as browsers do can multiply unclosed formatting."""
    source = "".join(pieces)
    shown = markup.safe(source, lambda _: None)
    longest = '<a target="_blank" rel="noopener noreferrer"></a><tbody></tbody>'
    assert len(shown) <= len(source) + len(pieces) * len(longest)
    markup.read(source)


@pytest.mark.parametrize(
    "piece",
    [
        "<font size=1><p>",
        "<div>",
        "<b id=1>",
        "<table><b>",
        "<!--",
        "<a ",
        '<a b="',
        "<",
        "<p",
        "&",
    ],
)
def test_hostile_markup_is_read_in_linear_time(piece: str) -> None:
    """SMTP-2: half a MiB each; what is not linear takes minutes."""
    source = piece * (512 * 1024 // len(piece))
    started = time.process_time()
    shown = markup.safe(source, lambda _: None)
    markup.read(source)
    assert time.process_time() - started < 6
    assert len(shown) < 8 * len(source)


CORPUS = {
    "empty": b"",
    "only a line end": b"\r\n",
    "no header": b"just text\r\nand more\r\n",
    "header without body": b"Subject: alone",
    "folded without end": b"Subject: a\r\n b\r\n\tc",
    "nul bytes": b"Subject: a\x00b\r\n\r\n\x00\x00",
    "eight bit header": b"Subject: Gr\xfc\xdfe\r\n\r\n",
    "broken encoded word": b"Subject: =?utf-8?B?////?= =?x?Q?=ZZ?= =?utf-8?q?a\r\n\r\n",
    "unknown charset": b"Content-Type: text/plain; charset=klingon\r\n\r\n\xe9",
    "codec that is no charset": b"Content-Type: text/plain; charset=zlib\r\n\r\nabc",
    "charset with nul": b'Content-Type: text/plain; charset="a\x00b"\r\n\r\nabc',
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!a===b",
    "bad quoted printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz=\r\n=",
    "unknown encoding": b"Content-Transfer-Encoding: magic\r\n\r\nabc",
    "multipart without boundary": b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\na\r\n--x--",
    "empty boundary": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\na\r\n----',
    "boundary never met": b"Content-Type: multipart/mixed; boundary=x\r\n\r\nabc",
    "boundary never closed": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nabc",
    "boundary met twice at once": (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n--x--"
    ),
    "same boundary inside": (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n--x--"
    ),
    "boundary of special characters": (
        b'Content-Type: multipart/mixed; boundary="(.*)+[\\\\"\r\n\r\n--(.*)+[\\\r\n\r\na'
    ),
    "bad parameters": b"Content-Type: text/plain; name*0*=x''%; name*9=; =; ;;\r\n\r\na",
    "parameter bomb": b"Content-Type: text/plain" + b"; a*1*=b" * 2_000 + b"\r\n\r\n",
    "no type": b"Content-Type: ;;;\r\nContent-Disposition: \r\n\r\na",
    "comments in an address": b"To: " + b"(" * 5_000 + b"a@b\r\n\r\n",
    "group address": b"To: undisclosed-recipients:;\r\nFrom: ,,,<>@\r\n\r\n",
    "quotes in an address": b'From: "a\\"b" <a@b>, "open <c@d>\r\n\r\n',
    "date of nonsense": b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\n\r\n",
    "date out of range": b"Date: Fri, 31 Dec 9999 23:59:59 -2359\r\n\r\n",
    "many headers": b"X-A: b\r\n" * 50_000 + b"\r\nbody",
    "one long header": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nbody",
    "mbox line": b"From someone Fri\r\nSubject: a\r\n\r\nb",
    "bare carriage returns": b"Subject: a\rX: b\r\r\nbody",
    "surrogates": b"Content-Type: text/html; charset=utf-7\r\n\r\n+2AA-<a href='+2AA-'>",
    "utf-16 without mark": b"Content-Type: text/plain; charset=utf-16\r\n\r\nabc",
    "attached mail": (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?in/side?=\r\n\r\na\r\n--x--"
    ),
}


def look_at_everything(source: bytes) -> message.Message:
    mail = message.read(source)
    mail.safe_html(lambda part_id: part_id)
    mail.html_as_sent(lambda part_id: part_id)
    for attachment in mail.attachments:
        assert attachment.name
        assert not set(attachment.name) & set('/\\\r\n\x00<>"')
        content = mail.part(attachment.part_id)
        assert content is not None
        assert len(content) == attachment.size
    for field in mail.headers:
        assert "\n" not in field.value
    f"{mail.subject}{mail.snippet}{mail.text}{mail.html}{mail.links}{mail.codes}".encode()
    return mail


SHOWN = {
    "no header": ("", "just text\nand more\n"),
    "header without body": ("alone", ""),
    "folded without end": ("a b c", ""),
    "nul bytes": ("a b", ""),
    "eight bit header": ("Grüße", ""),
    "broken encoded word": ("ÿÿÿ=ZZ =?utf-8?q?a", ""),
    "unknown charset": ("", "é"),
    "codec that is no charset": ("", "abc"),
    "charset with nul": ("", "abc"),
    "bad base64": ("", "i"),
    "bad quoted printable": ("", "a=zz"),
    "unknown encoding": ("", "abc"),
    "boundary never closed": ("", "abc"),
    "same boundary inside": ("", "a"),
    "boundary of special characters": ("", "a"),
    "bad parameters": ("", "a"),
    "no type": ("", "a"),
    "many headers": ("", "body"),
    "one long header": ("x" * 16_384, "body"),
    "mbox line": ("a", "b"),
    "bare carriage returns": ("a X: b", "body"),
    "surrogates": ("", "?"),
    "utf-16 without mark": ("", "abc"),
}
"""Subject and text of what can be saved; of the others nothing can."""


@pytest.mark.parametrize("name", CORPUS)
def test_malformed_mails_are_opened_and_show_what_can_be_saved(name: str) -> None:
    """SMTP-2: whatever arrives can be looked at."""
    mail = look_at_everything(CORPUS[name])
    assert (mail.subject, mail.text) == SHOWN.get(name, ("", ""))
    assert mail.notes == ()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_cut_and_shuffled_mails_are_opened_without_an_error(data: st.DataObject) -> None:
    pool = [*CORPUS.values(), invitation().as_bytes()]
    pieces = data.draw(st.lists(st.sampled_from([one[:3_000] for one in pool]), max_size=3))
    noise = data.draw(st.binary(max_size=50))
    at = data.draw(st.integers(0, 3_000))
    source = b"".join(pieces)
    mail = look_at_everything(source[:at] + noise + source[at:])
    assert len(mail.snippet) <= message.SNIPPET_CHARS + len("...")
    assert not set(mail.subject) & set("\r\n\x00")


def test_a_mail_within_a_mail_is_named_after_its_subject() -> None:
    assert message.read(CORPUS["attached mail"]).attachments[0].name == "side.eml"


MULTIPART = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"


@pytest.mark.parametrize(
    "source",
    [
        b"Subject: s\r\n" + MULTIPART % (1, 1) + b"\r\na\r\n--b1\r\n" * 300,
        b"Subject: s\r\n" + b"".join(MULTIPART % (n, n) for n in range(30)),
    ],
    ids=["parts", "depth"],
)
def test_too_many_parts_leave_headers_and_source(source: bytes) -> None:
    """SMTP-2: 200 parts, depth 20."""
    mail = look_at_everything(source)
    assert mail.notes == (message.TOO_MANY_PARTS,)
    assert (mail.subject, mail.text, mail.attachments) == ("s", "", ())
    with pytest.raises(mime.TooManyParts):
        mime.parse(source)


def test_a_large_mail_is_read_quickly_and_in_part() -> None:
    """SMTP-2: ten MiB of empty lines."""
    started = time.process_time()
    mail = message.read(b"Subject: s\r\n\r\n" + b"\r\n" * (5 * 1024 * 1024))
    assert mail.notes == (message.TEXT_CUT,)
    assert time.process_time() - started < 3
