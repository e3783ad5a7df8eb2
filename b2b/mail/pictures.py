"""Logos and photographs for letters, kept in memory so that a long queue asks for each but once."""

import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from b2b.models.picture import Picture, PictureKind

FRESH = 60.0
"""Seconds for which a picture is taken from memory without asking whether it has changed."""
_MOST = 512

_SHOWN = {
    PictureKind.BANNER_LOGO: (245, 36),
    PictureKind.SQUARE_LOGO: (36, 36),
    PictureKind.PHOTO: (32, 32),
}
"""Largest width and height in a letter, in CSS pixels."""


@dataclass(frozen=True)
class Inline:
    """A picture as a part of the letter itself; `width` and `height` are those it is shown at."""

    cid: str
    media_type: str
    encoded: str = field(repr=False)
    """Base64 in lines, as MIME wants it."""
    width: int
    height: int

    @property
    def data_url(self) -> str:
        """For a page that shows the letter where no other part can be reached."""
        return f"data:{self.media_type};base64,{self.encoded.replace(chr(10), '')}"


Pictures = Callable[[UUID, UUID, PictureKind, str | None], Inline | None]
"""Tenant, owner, kind and the digest that is expected if one is known → the picture, if any."""


class Drawn(Protocol):
    """What a letter needs of a picture; rows have it, and pictures that are not kept yet."""

    @property
    def kind(self) -> PictureKind: ...
    @property
    def media_type(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def digest(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


def inline(picture: Drawn) -> Inline:
    """*picture* fit for a letter; sharp on screens of double density."""
    widest, highest = _SHOWN[picture.kind]
    scale = max(1.0, picture.width / widest, picture.height / highest)
    return Inline(
        cid=f"{picture.kind.value.lower()}.{picture.digest[:16]}@b2b",
        media_type=picture.media_type,
        encoded=base64.encodebytes(picture.data).decode().rstrip("\n"),
        width=max(1, round(picture.width / scale)),
        height=max(1, round(picture.height / scale)),
    )


class Album:
    """Pictures from the database, read at most once a minute each.

    *transaction* opens a short transaction; it is not opened while the memory is fresh.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Session]]) -> None:
        self._transaction = transaction
        self._known: OrderedDict[
            tuple[UUID, UUID, PictureKind], tuple[float, str | None, Inline | None]
        ] = OrderedDict()

    def __call__(
        self, tenant_id: UUID, owner_id: UUID, kind: PictureKind, digest: str | None
    ) -> Inline | None:
        """The picture as it is now, or None where there is none (any more)."""
        key = (tenant_id, owner_id, kind)
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and now - known[0] < FRESH and digest in (None, known[1]):
            self._known.move_to_end(key)
            return known[2]
        with self._transaction() as session:
            row = session.get(Picture, key)
            found = (now, row.digest if row else digest, inline(row) if row else None)
        self._known[key] = found
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found[2]
