"""The tree of parts of a mail, found on the bytes themselves.

The standard library's parser works line by line: ten MiB of empty lines cost it 300 MB and many
seconds. Here a boundary is one search over a slice, so time is at most size times depth and nothing
is copied.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message as HeaderReader

from b2b.sink import headers
from b2b.sink.headers import Field

MAX_PARTS = 200
MAX_DEPTH = 20

# Trailing white space after a boundary is allowed by RFC 2046 section 5.1.1.
_AFTER_MARK = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_PATH = re.compile(r"^.*[/\\]")
_RESERVED = re.compile(r'[<>:"|?*]')


class TooManyParts(Exception):
    """The mail has more than ``MAX_PARTS`` parts or is nested deeper than ``MAX_DEPTH``."""


@dataclass(slots=True)
class Part:
    """One node. ``id`` counts as Mailpit does: children of the root are 1, 2 …, deeper ones 1.1."""

    id: str
    fields: list[Field]
    content_type: str
    charset: str
    disposition: str
    name: str
    content_id: str
    transfer_encoding: str
    body: memoryview
    children: list["Part"] = field(default_factory=list)

    @property
    def is_multipart(self) -> bool:
        return bool(self.children)

    def content(self, limit: int | None = None) -> bytes:
        """The decoded bytes, of at most about ``limit`` encoded bytes."""
        encoded = bytes(self.body[:limit])
        if self.transfer_encoding == "base64":
            return headers.from_base64(encoded)
        if self.transfer_encoding == "quoted-printable":
            return binascii.a2b_qp(encoded)
        return encoded

    def text(self, limit: int) -> str:
        """The content as text with ``\\n`` line ends, of at most about ``limit`` bytes."""
        text = headers.to_text(self.content(limit), self.charset)
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        return text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates further on

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(source: bytes) -> Part:
    """The tree of ``source``, any bytes.

    Raises:
        TooManyParts: over ``MAX_PARTS`` or ``MAX_DEPTH``.
    """
    return _Parser(source).part("0", 0, len(source), depth=0)


class _Parser:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.view = memoryview(source)
        self.count = 0

    def part(self, part_id: str, start: int, end: int, depth: int) -> Part:
        self.count += 1
        if self.count > MAX_PARTS or depth > MAX_DEPTH:
            raise TooManyParts
        found, body = headers.fields(self.source, start, end)
        part, boundary = _described(part_id, found, self.view[body:end])
        if boundary:
            prefix = "" if part_id == "0" else f"{part_id}."
            for number, (a, b) in enumerate(self.between(boundary, body, end), 1):
                part.children.append(self.part(f"{prefix}{number}", a, b, depth + 1))
        return part

    def between(self, boundary: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Offsets of the parts delimited by ``boundary``; the closing mark may be missing."""
        mark = b"--" + boundary.encode("utf-8", "replace")
        opened: int | None = None
        at = self.source.find(mark, start, end)
        while at >= 0:
            rest = _AFTER_MARK.match(self.source, at + len(mark), end)
            if rest and (at == 0 or self.source[at - 1] == 10):  # at the start of a line
                if opened is not None:
                    yield opened, max(opened, self.before_line_end(at))
                if rest[1]:
                    return
                opened = rest.end()
            at = self.source.find(mark, at + len(mark), end)
        if opened is not None:
            yield opened, end

    def before_line_end(self, at: int) -> int:
        at -= self.source[at - 1 : at] == b"\n"
        return at - (self.source[at - 1 : at] == b"\r")


def _described(part_id: str, found: list[Field], body: memoryview) -> tuple[Part, str]:
    """The part without children, and its boundary if it is a multipart."""
    content_type, charset, boundary, disposition, name = "text/plain", "", "", "", ""
    reader = HeaderReader()
    for wanted in ("content-type", "content-disposition"):
        if value := headers.first(found, wanted):
            reader[wanted] = value
    try:
        content_type = reader.get_content_type()
        charset = str(reader.get_content_charset() or "")
        disposition = reader.get_content_disposition() or ""
        name = headers.decode_words(reader.get_filename() or "")
        if content_type.startswith("multipart/"):
            boundary = str(reader.get_boundary() or "")
    except Exception:  # parameters of RFC 2231 can fail in a dozen ways; the bytes are still shown
        disposition = disposition or "attachment"
    encoding = headers.first(found, "content-transfer-encoding").lower()
    part = Part(
        id=part_id,
        fields=found,
        content_type=headers.one_line(content_type),
        charset=charset,
        disposition=disposition,
        name=clean_name(name),
        content_id=headers.one_line(headers.first(found, "content-id")).strip("<> "),
        transfer_encoding=encoding.split(";")[0].strip(),
        body=body,
    )
    return part, boundary


def clean_name(name: str) -> str:
    """A file name fit for saving: no folder, no control or direction marks, 120 characters."""
    name = _RESERVED.sub("_", _PATH.sub("", headers.one_line(name))).strip(". ")
    if len(name) <= 120:
        return name
    stem, dot, ending = name.rpartition(".")
    return f"{stem[: 119 - len(ending)]}.{ending}" if dot and len(ending) <= 20 else name[:120]
