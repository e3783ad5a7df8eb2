"""A mail made of a JSON object, put into the mailbox without SMTP; and one handed to a real server.

The shapes are those of Mailpit's send request.
"""

import base64
import binascii
import mimetypes
import re
import smtplib
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from b2b import clock
from b2b.sink import rows
from b2b.sink.rows import Arrival
from b2b.sink.tagging import clean_name

MAX_BYTES = 50 * 1024 * 1024
"""Of one request; base64 makes attachments a third larger."""
TIMEOUT = 15.0
"""Seconds for each answer of the server that mail is released to."""

_ADDRESS = re.compile(
    r"[^\s@<>()\[\],;:\"\\\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\"\\\x00-\x1f]{1,253}"
)
_RESERVED = frozenset(
    ("to", "from", "cc", "bcc", "reply-to", "date", "subject", "content-type", "mime-version")
)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,120}", re.ASCII)


class NotSendable(ValueError):
    """What was asked for is no mail; the text says why."""


def arrival(asked: dict[str, Any], username: str = "") -> Arrival:
    """The mail of a send request (keys in lower case) with its envelope. Raises NotSendable."""
    mail = EmailMessage(policy=SMTP)
    sender = _person(asked.get("from"), "From")
    to, cc = _people(asked, "to"), _people(asked, "cc")
    blind = [_address(one, "Bcc") for one in _list(asked, "bcc")]
    try:
        mail["From"] = _written([sender])
        for name, people in (("To", to), ("Cc", cc), ("Reply-To", _people(asked, "replyto"))):
            if people:
                mail[name] = _written(people)
        mail["Subject"] = " ".join(_text(asked, "subject").split())
        mail["Date"] = format_datetime(clock.now())
        _add_fields(mail, asked)
        if "Message-ID" not in mail:
            mail["Message-ID"] = f"<{rows.new_id()}@inbox.invalid>"
        _add_content(mail, asked)
        source = mail.as_bytes()
    except NotSendable:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotSendable(str(error)[:300]) from error
    recipients = [address for _, address in (*to, *cc)] + blind
    return Arrival(sender[1], recipients, source, username=username)


def _add_fields(mail: EmailMessage, asked: dict[str, Any]) -> None:
    fields = asked.get("headers") or {}
    names = [clean_name(name) for name in _list(asked, "tags") if isinstance(name, str)]
    if not isinstance(fields, dict):
        raise NotSendable("Headers is not an object.")
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name) or not isinstance(value, str):
            raise NotSendable(f"“{name[:80]}” is not a header with a text.")
        if name.lower() in _RESERVED or (name.lower() == "x-tags" and names):
            raise NotSendable(f"The header {name} is set by the other fields.")
        mail[name] = value
    if names:
        mail["X-Tags"] = ", ".join(names)


def _add_content(mail: EmailMessage, asked: dict[str, Any]) -> None:
    text, html = _text(asked, "text"), _text(asked, "html")
    if text or not html:
        mail.set_content(text)
    if html and text:
        mail.add_alternative(html, subtype="html")
    elif html:
        mail.set_content(html, subtype="html")
    attachments = [_attachment(one) for one in _list(asked, "attachments")]
    for one in attachments:
        if one.content_id and html:
            parts = list(mail.walk())
            holder = next(part for part in parts if part.get_content_type() == "text/html")
            if mail.get_content_type() == "multipart/alternative":
                inner = mail.get_payload()
                if isinstance(inner, list) and isinstance(inner[-1], EmailMessage):
                    holder = inner[-1]
            elif mail.get_content_type() == "multipart/related":
                holder = mail
            holder.add_related(
                one.content,
                one.maintype,
                one.subtype,
                cid=f"<{one.content_id}>",
                filename=one.name or None,
                disposition="inline",
            )
    for one in attachments:
        if not (one.content_id and html):
            mail.add_attachment(
                one.content, one.maintype, one.subtype, filename=one.name or "attachment"
            )


class _File(NamedTuple):
    content: bytes
    maintype: str
    subtype: str
    name: str
    content_id: str


def _attachment(asked: Any) -> _File:
    if not isinstance(asked, dict):
        raise NotSendable("An attachment is not an object.")
    lower = {str(key).lower(): value for key, value in asked.items()}
    name, content_id = _text(lower, "filename"), _text(lower, "contentid").strip("<> ")
    encoded = _text(lower, "content").rpartition(",")[2]
    try:
        content = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotSendable(f"The attachment {name} is not base64: {error}") from error
    kind = _text(lower, "contenttype") or mimetypes.guess_type(name)[0] or _sniffed(content)
    if not _TYPE.fullmatch(kind) or kind.startswith("multipart/"):
        kind = "application/octet-stream"
    maintype, _, subtype = kind.partition("/")
    return _File(content, maintype, subtype, name, content_id)


def _sniffed(content: bytes) -> str:
    for start, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"%PDF-", "application/pdf"),
    ):
        if content.startswith(start):
            return kind
    return "application/octet-stream"


def _list(asked: dict[str, Any], name: str) -> list[Any]:
    found = asked.get(name) or []
    if not isinstance(found, list):
        raise NotSendable(f"{name} is not a list.")
    return found


def _text(asked: dict[str, Any], name: str) -> str:
    found = asked.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise NotSendable(f"{name} is not a text.")
    return found


def _people(asked: dict[str, Any], name: str) -> list[tuple[str, str]]:
    return [_person(one, name) for one in _list(asked, name)]


def _person(asked: Any, where: str) -> tuple[str, str]:
    if not isinstance(asked, dict):
        raise NotSendable(f"{where} is missing or not an object.")
    lower = {str(key).lower(): value for key, value in asked.items()}
    return " ".join(_text(lower, "name").split()), _address(lower.get("email"), where)


def _address(asked: Any, where: str) -> str:
    if not isinstance(asked, str) or not _ADDRESS.fullmatch(asked.strip()):
        raise NotSendable(f"{where} has an address that cannot be used: {str(asked)[:200]}")
    return asked.strip()


def _written(people: Sequence[tuple[str, str]]) -> Any:
    if all(address.isascii() for _, address in people):
        return [Address(name, addr_spec=address) for name, address in people]
    return ", ".join(formataddr(person) for person in people)


# To a real server --------------------------------------------------------------------------------


class NotReleased(Exception):
    """The mail did not go out; the text says why."""


def release(server: str, source: bytes, sender: str, recipients: Sequence[str]) -> None:
    """Hand a captured mail, unchanged, to *server*: ``smtp(s)://[user:password@]host[:port]``.

    TLS is verified: from the first byte with ``smtps``, by STARTTLS where the server offers it.

    Raises:
        NotReleased: nothing is configured, nobody is named, or the server does not take it.
    """
    if not server:
        raise NotReleased("Mail is not released from here: no server is configured.")
    people = [_released_to(one) for one in recipients]
    if not people:
        raise NotReleased("Name somebody to release the mail to.")
    parts = urlsplit(server)
    trust = ssl.create_default_context()
    try:
        with _connected(parts.scheme, parts.hostname or "", parts.port, trust) as smtp:
            if parts.username:
                smtp.login(unquote(parts.username), unquote(parts.password or ""))
            refused = smtp.sendmail(sender, people, source)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotReleased(f"The server did not take it: {error}"[:500]) from error
    if refused:
        raise NotReleased(f"The server refused {', '.join(refused)}.")


def _connected(scheme: str, host: str, port: int | None, trust: ssl.SSLContext) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT, context=trust)
    smtp = smtplib.SMTP(host, port or 587, timeout=TIMEOUT)
    smtp.ehlo()
    if smtp.has_extn("starttls"):
        smtp.starttls(context=trust)
    return smtp


def _released_to(address: str) -> str:
    if not _ADDRESS.fullmatch(address.strip()):
        raise NotReleased(f"{address[:200]} is no address.")
    return address.strip()
