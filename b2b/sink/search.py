"""The inbox's query language → a condition on the messages table.

    invitation "get started" to:sam@contoso.com -from:woodgrove is:unread

Terms are joined by *and*. A word or a quoted phrase is looked for anywhere in the subject, the
addresses and the text, letter case aside; ``-`` in front negates any term. A name before a colon
that is no field, as in ``http://…``, is part of the word.
"""

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Integer, and_, column, not_, or_, select, table, true

from b2b.sink.tables import FULL_TEXT, messages, recipients, texts

FIELDS = ("to", "from", "cc", "subject", "is")
MAX_CHARS = 1_000
MAX_TERMS = 20

_TERM = re.compile(
    r'(?P<minus>-?)(?:(?P<field>[a-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>\S*))', re.I
)
_STATES = {"unread": False, "read": True}


class BadQuery(ValueError):
    """A query that cannot be read; ``position`` is an offset into it."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position
        self.message = message


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; ``field`` is empty for a word or phrase, ``value`` is case-folded."""

    field: str
    value: str
    negated: bool


def parse(query: str) -> list[Term]:
    """The terms of ``query``; an empty query has none and matches everything.

    Raises:
        BadQuery: a quotation mark is not closed, a field or a minus has nothing after it, ``is:``
        names
            an unknown state, or the query is longer than ``MAX_CHARS`` or ``MAX_TERMS``.
    """
    if len(query) > MAX_CHARS:
        raise BadQuery(MAX_CHARS, f"A query has at most {MAX_CHARS} characters.")
    terms: list[Term] = []
    at = 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        if len(terms) == MAX_TERMS:
            raise BadQuery(at, f"A query has at most {MAX_TERMS} terms.")
        match = _TERM.match(query, at)
        assert match is not None  # every part of the expression may be empty
        terms.append(_term(match))
        at = match.end()
    return terms


def _term(match: re.Match[str]) -> Term:
    field = (match["field"] or "").lower()
    quoted, bare = match["quoted"], match["bare"]
    if field and field not in FIELDS:
        if quoted is not None:
            raise BadQuery(match.start("field"), f"There is no field “{field}:”.")
        field, bare = "", f"{match['field']}:{bare}"
    value = normal(bare if quoted is None else quoted)
    if bare and bare.startswith('"'):
        raise BadQuery(match.start("bare"), "This quotation mark is not closed.")
    if not value:
        what = f"“{field}:”" if field else "“-”" if quoted is None else "The quotation marks"
        raise BadQuery(match.start(), f"{what} needs something to look for.")
    if field == "is" and value not in _STATES:
        raise BadQuery(match.start("field"), "“is:” is followed by “read” or “unread”.")
    return Term(field, value, bool(match["minus"]))


def normal(text: str) -> str:
    """``text`` as it is stored for search: case-folded, white space collapsed, no NUL."""
    return " ".join(text.replace("\x00", " ").casefold().split())


def condition(terms: list[Term], *, full_text: bool) -> ColumnElement[bool]:
    """The condition of ``terms`` on ``messages``; ``full_text`` where the FTS5 index exists."""
    parts = []
    for term in terms:
        part = _condition(term, full_text)
        parts.append(not_(part) if term.negated else part)
    return and_(true(), *parts)


def _condition(term: Term, full_text: bool) -> ColumnElement[bool]:
    value = term.value
    match term.field:
        case "is":
            return messages.c.is_read == _STATES[value]
        case "subject":
            return messages.c.subject_words.contains(value, autoescape=True)
        case "from":
            return messages.c.from_words.contains(_whole(value), autoescape=True)
        case "cc":
            return messages.c.cc_words.contains(_whole(value), autoescape=True)
        case "to":
            return _to(value)
        case _:
            return _anywhere(value, full_text)


def _whole(value: str) -> str:
    """An address in the *_words columns stands between angle brackets, so it can be met whole."""
    if value.startswith("@"):
        return f"{value}>"
    return f"<{value}>" if "@" in value else value


def _to(value: str) -> ColumnElement[bool]:
    """By the envelope, which says who got the mail; parts of a name by the header as well."""
    keys = select(recipients.c.message_key)
    if value.startswith("@"):
        return messages.c.key.in_(keys.where(recipients.c.domain == value[1:]))
    if "@" in value:
        return messages.c.key.in_(keys.where(recipients.c.address == value))
    return or_(
        messages.c.to_words.contains(value, autoescape=True),
        messages.c.key.in_(keys.where(recipients.c.address.contains(value, autoescape=True))),
    )


def _anywhere(value: str, full_text: bool) -> ColumnElement[bool]:
    # A mail whose text is not indexed yet is found by its headers.
    headers = (
        messages.c.subject_words,
        messages.c.from_words,
        messages.c.to_words,
        messages.c.cc_words,
    )
    waiting = and_(
        not_(messages.c.is_indexed),
        or_(*(words.contains(value, autoescape=True) for words in headers)),
    )
    if (
        full_text and len(value) >= 3
    ):  # the index is of trigrams: substrings of three characters and up
        phrase = '"' + value.replace('"', '""') + '"'
        rows = select(column("rowid", Integer)).select_from(table(FULL_TEXT))
        matching = rows.where(column(FULL_TEXT).op("MATCH")(phrase))
    else:
        matching = select(texts.c.message_key).where(texts.c.words.contains(value, autoescape=True))
    return or_(messages.c.key.in_(matching), waiting)
