"""Mailpit's search language → the store's own.

Mailpit tolerates everything, which suits a search box and not a test that deletes what it finds.
What Mailpit reads as words is words here, an open quotation mark or an unknown ``field:`` included;
a date that cannot be read is left out, as there.

One difference is meant: a whole address, such as ``to:sam@contoso.com``, finds exactly that
address, where Mailpit would also find ``adsam@contoso.com``. A part of one finds what Mailpit does.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from b2b.sink import search

_TERM = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+')
_OPERATOR = re.compile(r"([a-z-]+):(.*)", re.IGNORECASE | re.DOTALL)
_PEOPLE = frozenset(("to", "from", "cc", "bcc", "reply-to", "addressed"))
_WHOLE_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]{2,}")
# Mailpit reads these as white space in free text.
_SPACES = re.compile(r'[<>",;()]')
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(.*)")
_ZONE = re.compile(r"(?<=\d)(?:(z)|([+-])(\d{2}):?(\d{2}))$", re.IGNORECASE)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH_NAME = re.compile(r"(?:(\d{1,2})\s+)?([a-z]{3})[a-z]*\.?\s+(?:(\d{1,2}),?\s+)?(\d{4})(.*)")


def translated(query: str, tz: str = "") -> str:
    """The query for ``Store.list``; empty when there is no term left in *query*.

    *tz* is the IANA name of the zone that dates are meant in; UTC for none and for an unknown one.
    """
    terms = []
    for match in _TERM.finditer(query):
        term = _translated(match[0].replace('"', ""), tz)
        if term:
            terms.append(term)
    return " ".join(terms)


def _translated(term: str, tz: str) -> str:
    minus = "-" if term.startswith(("-", "!")) else ""
    word = term[1:] if minus else term
    operator = _OPERATOR.fullmatch(word)
    if operator is None:
        return _words(minus, word)
    name, value = operator[1].lower(), operator[2].strip()
    if name in _PEOPLE:
        is_whole = _WHOLE_ADDRESS.fullmatch(value)
        return _quoted(minus, f"{name}:" if is_whole else f"{name}:~", value)
    if name in ("subject", "message-id", "tag"):
        return _quoted(minus, f"{name}:", value)
    if name in ("before", "after"):
        at = moment(value, tz)
        return f"{minus}{name}:{at:%Y-%m-%dT%H:%M:%S.%fZ}" if at else ""
    if name in ("larger", "smaller"):
        is_size = search.octets(value) is not None
        return f'{minus}{name}:"{value}"' if is_size else _words(minus, word if value else "")
    if name in search.STATES:
        state = value.lower()
        known = state.removesuffix("s") if name == "has" else state
        if known in search.STATES[name]:
            return f"{minus}{name}:{known}"
        return _words(minus, word) if value else ""
    return _words(minus, word)


def _words(minus: str, words: str) -> str:
    return _quoted(minus, "", " ".join(_SPACES.sub(" ", words).split()))


def _quoted(minus: str, field: str, value: str) -> str:
    value = value.replace("\x00", " ").strip()
    return f'{minus}{field}"{value}"' if value else ""


def moment(text: str, tz: str) -> datetime | None:
    """A date, with or without a time, in the zone *tz*; None where it cannot be read.

    Read are yyyy-mm-dd, yyyy/mm/dd, mm/dd/yyyy and the month by its English name.
    """
    text = " ".join(text.lower().split())
    zone = _zone(tz)
    if said := _ZONE.search(text):
        sign = -1 if said[2] == "-" else 1
        minutes = 0 if said[1] else sign * (int(said[3]) * 60 + int(said[4]))
        text = text[: said.start()]
        offset = timedelta(minutes=minutes)
    read = search.instant(_written(text))
    try:
        if said:
            return None if read is None else read - offset
        return None if read is None else read.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def _zone(tz: str) -> ZoneInfo:
    try:
        return ZoneInfo(tz)
    except Exception:  # a name that is none can raise half a dozen errors
        return ZoneInfo("UTC")


def _written(text: str) -> str:
    if american := _AMERICAN.fullmatch(text):
        return f"{american[3]}-{american[1]}-{american[2]}{american[4]}"
    if named := _MONTH_NAME.fullmatch(text):
        day = named[1] or named[3]
        if day and named[2] in _MONTHS:
            return f"{named[4]}-{_MONTHS.index(named[2]) + 1}-{day}{named[5]}"
    return text
