"""Hostile and odd mails, built here: each class of MIME defect, and what attackers send."""

import base64
from collections.abc import Iterator

_HEAD = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: odd\r\nMIME-Version: 1.0\r\n"
_TREE = _HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
_PART = b"--b\r\nContent-Type: text/plain\r\n\r\npart\r\n"

CHARSETS = (
    "utf-8", "UTF8", "latin-1", "iso-8859-15", "windows-1252", "utf-16", "utf-7", "utf-32",
    "euc-kr", "ks_c_5601-1987", "iso-2022-jp", "gb2312", "big5", "koi8-r", "x-unknown",
    "punycode", "idna", "unicode_escape", "rot13", "hex", "zlib", "base64", "undefined", "",
    "a\x00b", "../../etc/passwd", "utf-8'; DROP TABLE messages", "x" * 500,
)  # fmt: skip

ENCODINGS = (
    (b"base64", b"!!!not base64!!!"),
    (b"base64", b"QUJD" * 1_000 + b"="),
    (b"base64", b"Q"),
    (b"base64", b"begin 644 a\r\n#0V%T\r\n`\r\nend"),
    (b"quoted-printable", b"=ZZ =3D= =\r\n=C3=28 ="),
    (b"quoted-printable", b"=" * 5_000),
    (b"x-uuencode", b"begin 644 a.txt\r\n#0V%T\r\n`\r\nend"),
    (b"binary", bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"")),
    (b"7bit", "안녕하세요".encode()),
    (b"8bit", b"\xff\xfe\x00\x00"),
    (b"", b"empty name"),
    (b"base64\r\nContent-Transfer-Encoding: 7bit", b"two"),
)

SUBJECTS = (
    b"=?utf-8?B?" + base64.b64encode("초대".encode()) + b"?=",
    b"=?utf-8?B?7LSI?= =?utf-8?B?64yA?=",
    b"=?utf-8?B?7LQ=?= =?utf-8?B?iA==?=",
    b"=?utf-8?Q?=41=42?==?utf-8?Q?=43?=",
    b"=?x-none?B?QUJD?=",
    b"=?utf-8?X?QUJD?=",
    b"=?utf-8?B?QUJ",
    b"=?utf-8?Q??=",
    b"=?us-ascii*en?Q?language?=",
    b"=?utf-8?Q?" + b"=0A=0DBcc:_x@y.example" + b"?=",
    b"=?utf-8?Q?=E2=80=AEgnp.exe?=",
    b"=?utf-8?B?" + b"A" * 20_000 + b"?=",
    b"=?" * 5_000,
    b"=?utf-8?Q?a?= " * 2_000,
    "raw 한국어 원문".encode(),
    b"\xff\xfe raw octets \x80",
    b"nul \x00 in it",
    b"\x1b[31mred\x1b[0m",
    b"folded\r\n\tonce\r\n twice",
    b"x" * 100_000,
    b"<script>alert(1)</script>",
    b"{{ 7*7 }} ${7*7} %s %n",
    b"'; DROP TABLE messages; --",
)

ADDRESSES = (
    b'"a, b" <a@b.example>, c@d.example',
    b"group: a@b.example, c@d.example;",
    b"undisclosed-recipients:;",
    b"(comment (nested (deep))) a@b.example",
    b"(" * 5_000,
    b'"' * 5_000,
    b"<" * 5_000,
    b"a@b@c@d.example",
    b"<>",
    b"@",
    b",,,,;;;;",
    b"a@b.example, " * 5_000,
    "김철수 <철수@예시.example>".encode(),
    b"=?utf-8?Q?a=40b?= <x@y.example>",
    b'"=?utf-8?Q?quoted?=" <x@y.example>',
    b"a@[127.0.0.1]",
    b"a@xn--hu5b25bl4e.example",
    b"a\x00b@c.example",
    b"a@b.example\r\nBcc: hidden@x.example",
)

DATES = (
    b"Mon, 99 Foo 99999 99:99:99 +9999", b"", b"yesterday", b"Thu, 1 Jan 1970 00:00:00 -0000",
    b"Fri, 31 Dec 9999 23:59:59 -2359", b"0" * 10_000, b"Sat, 21 Nov 2026 21:00:00 (x" + b"(" * 999,
)  # fmt: skip

NAMES = (
    b'filename="../../etc/passwd"', b'filename="C:\\\\windows\\\\a.exe"', b'filename="a\x00.txt"',
    b"filename*=utf-8''%ED%95%9C.txt", b"filename*=x-none''%FF%FE", b"filename*0=a; filename*1=b",
    b"filename*0*=utf-8''%41; filename*1*=%42; filename*9=z", b'filename="' + b"n" * 5_000 + b'"',
    b'filename="a\xe2\x80\xaegnp.exe"', b"filename", b"filename=", b";;;;", b'filename="unclosed',
    b'filename="con.txt"; filename="b.txt"', b'filename="<svg onload=x>.html"',
)  # fmt: skip

HTML = (
    b"<script>document.title='owned'</script>",
    b"<img src=x onerror=alert(1)>",
    b"<meta http-equiv=refresh content='0;url=http://x.example/'>",
    b"<base href=http://x.example/><a href=a>b</a>",
    b"<form action=http://x.example><input name=p><button>go</button></form>",
    b"<svg><script>1</script></svg><math><mtext></math>",
    b"<iframe srcdoc='<script>1</script>'></iframe>",
    b"<style>@import 'http://x.example/a.css';body{background:url(http://x.example/b)}</style>",
    b"<a href='java\tscript:alert(1)'>x</a><a href='data:text/html,x'>y</a>",
    b"<!--" + b"<" * 5_000,
    b"<div>" * 20_000,
    b"<a " + b"b=c " * 20_000 + b">",
    b"</p>" * 20_000,
    b"<table>" * 500 + b"<td>x",
    b"&#" + b"9" * 5_000 + b";" + b"&amp" * 5_000,
    b"<img src='cid:missing'><img src='cid:'><img src='cid:" + b"x" * 5_000 + b"'>",
    b"\xff\xfe<\x00b\x00>\x00",
    b"<plaintext><textarea><title><noscript><xmp>",
)


def mails() -> Iterator[tuple[str, bytes]]:
    """Every mail with a name; none has a bare CR or LF, which the sink refuses."""
    yield "nothing", b""
    yield "a line end", b"\r\n"
    yield "no headers", b"just text\r\n"
    yield "no body", _HEAD
    yield "empty body", _HEAD + b"\r\n"
    yield "only dots", b".\r\n..\r\n...\r\n"
    yield "nul everywhere", b"\x00" * 5_000
    yield "mbox line first", b"From a@b Sat Nov 21 2026\r\n" + _HEAD + b"\r\ntext\r\n"
    yield "a header without a colon", b"Subject odd\r\n" + _HEAD + b"\r\ntext\r\n"
    yield "a header name with blanks", b"Sub ject : x\r\n : y\r\n\r\ntext\r\n"
    yield "begins with a folded line", b" folded\r\n" + _HEAD + b"\r\ntext\r\n"
    yield "a huge header", b"X: " + b"y" * 500_000 + b"\r\n\r\ntext\r\n"
    yield "endless folding", b"Subject: a" + b"\r\n b" * 50_000 + b"\r\n\r\ntext\r\n"
    yield "many headers", b"X: y\r\n" * 50_000 + b"\r\ntext\r\n"
    yield "every header twice", _HEAD + _HEAD + b"\r\ntext\r\n"
    yield "an endless line", _HEAD + b"\r\n" + b"z" * 1_000_000 + b"\r\n"
    yield "many empty lines", _HEAD + b"\r\n" + b"\r\n" * 200_000
    yield "8-bit headers", b"X-\xff: \xfe\r\nSubject: \xe9\r\n\r\ntext\r\n"
    yield "no boundary named", _HEAD + b"Content-Type: multipart/mixed\r\n\r\n" + _PART
    yield "an empty boundary", _HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n'
    yield "end boundary missing", _TREE + _PART * 2
    yield "start boundary missing", _TREE + b"text\r\n--b--\r\n"
    yield "ended twice", _TREE + _PART + b"--b--\r\n" + _PART + b"--b--\r\n"
    yield "no parts", _TREE + b"--b--\r\n"
    yield "a boundary like another", _TREE + b"--bb\r\n\r\nno\r\n" + _PART + b"--b --\r\n"
    yield "a boundary of its parent", _TREE + _TREE + _PART + b"--b--\r\n--b--\r\n"
    yield (
        "a long boundary",
        _HEAD + b"Content-Type: multipart/x; boundary=" + b"q" * 9_000 + b"\r\n",
    )
    yield "a hundred thousand parts", _TREE + b"--b\r\n\r\n\r\n" * 100_000
    yield (
        "deeply nested",
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
            for n in range(999)
        ),
    )
    yield "mails in mails", b"Content-Type: message/rfc822\r\n\r\n" * 500
    yield "a partial", _HEAD + b"Content-Type: message/partial; number=1; total=0\r\n\r\nx\r\n"
    yield "an external body", _HEAD + b"Content-Type: message/external-body; url=http://x\r\n\r\n"
    yield "a report", _HEAD + b"Content-Type: multipart/report; boundary=b\r\n\r\n" + _PART
    yield "types repeated", _HEAD + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx"
    yield "a type of nonsense", _HEAD + b"Content-Type: ///;;;=\xff\r\n\r\ntext\r\n"
    yield "a type without end", _HEAD + b'Content-Type: text/plain; charset="utf-8\r\n\r\ntext\r\n'
    yield "html in disguise", _HEAD + b"Content-Type: image/png\r\n\r\n<script>1</script>\r\n"
    for charset in CHARSETS:
        kind = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode()
        yield f"charset {charset[:20]!r}", _HEAD + kind + b"\xec\x95\x88 \xff caf\xe9\r\n"
    for number, (encoding, body) in enumerate(ENCODINGS):
        line = b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n"
        yield f"encoding {number}", _HEAD + line + body + b"\r\n"
    for number, subject in enumerate(SUBJECTS):
        yield f"subject {number}", b"Subject: " + subject + b"\r\n\r\ntext\r\n"
    for number, people in enumerate(ADDRESSES):
        for name in (b"From", b"To"):
            yield f"{name.decode()} {number}", name + b": " + people + b"\r\n\r\ntext\r\n"
    for number, date in enumerate(DATES):
        yield f"date {number}", b"Date: " + date + b"\r\n" + _HEAD + b"\r\ntext\r\n"
    for number, name in enumerate(NAMES):
        head = b"--b\r\nContent-Disposition: attachment; " + name + b"\r\n\r\nx\r\n--b--\r\n"
        yield f"attachment {number}", _TREE + head
    for number, markup in enumerate(HTML):
        yield f"html {number}", _HEAD + b"Content-Type: text/html\r\n\r\n" + markup + b"\r\n"


BARE_ENDS = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r.\n", b"\n.\r", b"\n\n.\n\n",
    b"\r\r\n", b"\n\r", b"\n", b"\r",
)  # fmt: skip
_SECOND = b"MAIL FROM:<x@x.example>\r\nRCPT TO:<y@y.example>\r\nDATA\r\nSubject: two\r\n\r\n"


def refused_mails() -> Iterator[tuple[str, bytes]]:
    """Mails with a bare CR or LF, each with a second one behind it that must not become a mail."""
    for end in BARE_ENDS:
        yield f"end {end!r}", _HEAD + b"\r\nfirst" + end + _SECOND + b"second\r\n"
    yield "a bare LF in a header", b"Subject: a\nBcc: x@y.example\r\n\r\ntext\r\n"
    yield "a bare CR in a header", b"Subject: a\rBcc: x@y.example\r\n\r\ntext\r\n"
    yield "only LF, as programs of Unix write", _HEAD.replace(b"\r\n", b"\n") + b"\ntext\n"
