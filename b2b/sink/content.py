"""A mail on its way in: where it ends, what of it is kept, and what is wrong with it."""

import zlib
from typing import Protocol

from b2b.sink import rows

END_MARK = b"\r\n.\r\n"
_DOT = b"\r\n."

OVERRUN = 64 * 1024
"""How far beyond the size limit a mail is read to its end, to be refused politely."""

PACKED_AT = 32 * 1024
"""Octets in hand from which on they are packed at once, whatever comes next."""


FLUSHED = 4 * 1024
MAX_PIECES = 256


class Room(Protocol):
    """What all connections share."""

    held_bytes: int


class Content:
    """Takes octets as they come, without the doubled dots, in pieces that hold no bound.

    The end is CRLF.CRLF and nothing else, also at the very start (its CRLF is that of DATA). What
    is held counts against the room that all connections share.
    """

    __slots__ = (
        "_begun",
        "_packed",
        "_packer",
        "_rest",
        "_room",
        "_unpacked",
        "_waiting",
        "held",
        "held_limit",
        "is_bare",
        "limit",
        "pieces",
        "refused",
        "size",
        "total",
    )

    def __init__(self, room: Room, *, limit: int, held_limit: int) -> None:
        self._room = room
        self.limit = limit
        self.held_limit = held_limit
        self.total = 0
        """Octets on the wire."""
        self.size = 0
        """Octets kept; those over the limit are counted and dropped."""
        self.held = 0
        self.refused = False
        """There was no room for it."""
        self.is_bare = False
        """There is a CR or LF without the other."""
        self.pieces: list[bytes] = []
        # What may belong to the end mark, or to a CRLF and its dot.
        self._rest = b"\r\n"
        self._begun = False
        self._packer: zlib._Compress | None = None
        self._packed: list[bytes] = []
        self._unpacked = 0  # index of the first piece that is not packed yet
        self._waiting = 0  # octets in those pieces

    @property
    def is_endless(self) -> bool:
        """It has gone on beyond all bounds: reading to its end is pointless."""
        return self.total > self.limit + OVERRUN

    @property
    def is_too_large(self) -> bool:
        """It is over the limit."""
        return self.size > self.limit

    def take(self, octets: bytes) -> bytes | None:
        """The next octets from the wire; what follows the end mark, or None as long as it lacks."""
        rest = self._rest
        octets = rest + octets
        # One look finds the end mark and tells whether there are dots to unstuff; most mails have
        # none.
        dot = octets.find(_DOT)
        at = octets.find(END_MARK, dot) if dot >= 0 else -1
        if at >= 0:
            end = at + len(END_MARK)
            self.total += end - len(rest)
            # The CRLF before the dot belongs to the mail, unless it was that of DATA.
            self._keep(octets[: at + 2], stuffed=dot < at)
            self._rest = b""
            return octets[end:]
        self.total += len(octets) - len(rest)
        cut = max(0, len(octets) - len(END_MARK) + 1)
        if octets[cut - 1 : cut] == b"\r":
            cut -= 1
        elif octets[max(0, cut - 2) : cut] == b"\r\n":
            cut -= 2
        if cut > 0:
            self._keep(octets[:cut], stuffed=dot >= 0)
            octets = octets[cut:]
        self._rest = octets
        return None

    def _keep(self, octets: bytes, *, stuffed: bool) -> None:
        ends = octets.count(b"\r\n")
        if octets.count(b"\n") != ends or octets.count(b"\r") != ends:
            self.is_bare = True
        if stuffed:
            octets = octets.replace(_DOT, b"\r\n")
        if not self._begun:
            octets = octets[2:]  # the CRLF of DATA
            self._begun = True
        if not octets:
            return
        self.size += len(octets)
        if self.refused or self.size > self.limit:
            return
        if self._room.held_bytes + len(octets) > self.held_limit:
            self.release()
            self.refused = True
            return
        self.held += len(octets)
        self._room.held_bytes += len(octets)
        self.pieces.append(octets)
        self._waiting += len(octets)
        if self._waiting > PACKED_AT:
            self.pack()
        elif len(self.pieces) - self._unpacked > MAX_PIECES:
            self._join()

    def pack(self) -> None:
        """Pack what is in hand, so that less is left to do when the end comes."""
        if not self._waiting:
            return
        if self._packer is None:
            self._packer = rows.packer()
        self._join()
        self._packed.append(self._packer.compress(self.pieces[-1]))
        if self._waiting > FLUSHED:  # else zlib keeps it for the end, when the client waits
            self._packed.append(self._packer.flush(zlib.Z_PARTIAL_FLUSH))
        self._unpacked = len(self.pieces)
        self._waiting = 0

    def _join(self) -> None:
        """An octet alone takes as much memory as forty together."""
        self.pieces[self._unpacked :] = [b"".join(self.pieces[self._unpacked :])]

    def source(self) -> bytes:
        """The mail, once its end has come."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    def packed(self) -> bytes:
        """The same as it is kept. Packed here, it is done while the mails before it are written."""
        if self._packer is None:
            return rows.packed(self.source())
        if self._waiting:
            self._join()
            self._packed.append(self._packer.compress(self.pieces[-1]))
            self._unpacked, self._waiting = len(self.pieces), 0
        self._packed.append(self._packer.flush())
        return b"".join(self._packed)

    def start(self, length: int) -> bytes:
        """The first octets of what is in hand, for a mail that is refused."""
        found = b""
        for piece in self.pieces:
            found += piece[: length - len(found)]
            if len(found) >= length:
                break
        return found

    def release(self) -> None:
        """Give the room back and forget the mail."""
        self._room.held_bytes -= self.held
        self.held = 0
        self.pieces = []
        self._packed = []
        self._packer = None
        self._unpacked = self._waiting = 0
