"""The inbox's query language → a condition on the messages table.

    invitation "get started" to:sam@contoso.com -from:woodgrove is:unread after:2026-11-21

Terms are joined by *and*. A word or a quoted phrase is looked for anywhere in the subject, the
addresses and the text, letter case aside; ``-`` in front negates any term. A name before a colon
that is no field, as in ``http://…``, is part of the word.

A whole address after a field of people means exactly that address, ``@`` and a domain everybody
there, anything else a part of a name or an address. A tilde makes any of them a part:
``to:~am@contoso``.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    column,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    true,
    union_all,
)

from b2b.sink.tables import FULL_TEXT, message_tags, messages, recipients, tags, texts

PEOPLE = ("to", "from", "cc", "bcc", "reply-to", "addressed", "with")
FIELDS = (
    *PEOPLE,
    *("subject", "message-id", "thread", "tag", "is", "has"),
    *("before", "after", "larger", "smaller"),
)
STATES = {"is": ("read", "unread", "tagged"), "has": ("attachment", "inline")}
MAX_CHARS = 1_000
MAX_TERMS = 20

_TERM = re.compile(
    r"(?P<minus>-?)(?:(?P<field>[a-z]+(?:-[a-z]+)?):)?(?P<part>~?)"
    r'(?:"(?P<quoted>[^"]*)"|(?P<bare>\S*))',
    re.I,
)
_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[t ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?)?z?"
)
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([km]?)b?")
_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


class BadQuery(ValueError):
    """A query that cannot be read; ``position`` is an offset into it."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position
        self.message = message


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; ``field`` is empty for a word or phrase, ``value`` is case-folded.

    ``is_part`` finds parts of addresses even where the value is a whole one.
    """

    field: str
    value: str
    negated: bool
    is_part: bool = False


def parse(query: str) -> list[Term]:
    """The terms of ``query``; an empty query has none and matches everything.

    Raises:
        BadQuery: a quotation mark is not closed, a field or a minus has nothing after it, a state,
            a date or a size cannot be read, or the query is longer than ``MAX_CHARS`` or
            ``MAX_TERMS``.
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
    quoted, bare, part = match["quoted"], match["bare"], match["part"]
    if field and field not in FIELDS:
        if quoted is not None:
            raise BadQuery(match.start("field"), f"There is no field “{field}:”.")
        field, bare, part = "", f"{match['field']}:{part}{bare}", ""
    if part and field not in PEOPLE:
        bare, part = (bare if quoted is not None else f"~{bare}"), ""
    value = normal(bare if quoted is None else quoted)
    if bare and bare.startswith('"'):
        raise BadQuery(match.start("bare"), "This quotation mark is not closed.")
    if not value:
        what = f"“{field}:”" if field else "“-”" if quoted is None else "The quotation marks"
        raise BadQuery(match.start(), f"{what} needs something to look for.")
    return Term(
        field, _checked(field, value, match.start("field")), bool(match["minus"]), bool(part)
    )


def _checked(field: str, value: str, position: int) -> str:
    """The value of a field that takes few; raises BadQuery."""
    if field in STATES:
        value = value.removesuffix("s") if field == "has" else value
        if value not in STATES[field]:
            names = [f"“{name}”" for name in STATES[field]]
            known = f"{', '.join(names[:-1])} or {names[-1]}"
            raise BadQuery(position, f"“{field}:” is followed by {known}.")
    elif field in ("before", "after") and instant(value) is None:
        raise BadQuery(position, f"“{field}:” is followed by a date such as 2026-11-21.")
    elif field in ("larger", "smaller") and octets(value) is None:
        raise BadQuery(position, f"“{field}:” is followed by a size such as 500K or 2M.")
    return value


def instant(text: str) -> datetime | None:
    """A date with or without a time of day, in UTC: 2026-11-21, 2026/11/21 09:30; None if none."""
    match = _DATE.fullmatch(text.strip().lower())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction = int((match[7] or "").ljust(6, "0"))
    try:
        return datetime(year, month, day, hour, minute, second, fraction, tzinfo=UTC)
    except ValueError:
        return None


def octets(text: str) -> int | None:
    """A size in bytes, K, KB, M or MB (powers of 1024); None where it cannot be read."""
    match = _SIZE.fullmatch(text.strip().lower())
    return None if match is None else int(float(match[1]) * _UNITS[match[2]])


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
        case "":
            return _anywhere(value, full_text)
        case "subject":
            return _subject(value, full_text)
        case "message-id":
            return func.lower(messages.c.message_id).contains(value, autoescape=True)
        case "thread":
            return func.lower(messages.c.thread) == value
        case "tag":
            return messages.c.key.in_(_tagged().where(tags.c.folded == value))
        case "is" if value == "tagged":
            return exists().where(message_tags.c.message_key == messages.c.key)
        case "is":
            return messages.c.is_read == (value == "read")
        case "has" if value == "inline":
            return messages.c.inline_parts > 0
        case "has":
            return messages.c.attachments > 0
        case "before" | "after" | "larger" | "smaller":
            return _measured(term.field, value)
        case _:
            return _people(term)


def _measured(field: str, value: str) -> ColumnElement[bool]:
    if field == "larger":
        return messages.c.size > (octets(value) or 0)
    if field == "smaller":
        return messages.c.size < (octets(value) or 0)
    at = instant(value)
    if field == "after":
        return messages.c.received_at >= at
    return messages.c.received_at <= at


def _tagged() -> Select[Any]:
    return select(message_tags.c.message_key).join(tags, tags.c.id == message_tags.c.tag_id)


_WORDS = {
    "from": messages.c.from_words,
    "to": messages.c.to_words,
    "cc": messages.c.cc_words,
    "bcc": messages.c.bcc_words,
    "reply-to": messages.c.reply_to_words,
}


def _people(term: Term) -> ColumnElement[bool]:
    value = term.value
    is_address = "@" in value and not term.is_part
    match term.field:
        case "to" if is_address:
            return _received_by(value)
        case "to":
            return or_(_named("to", term), _received_by(value, is_part=True))
        case "bcc":
            return or_(_named("bcc", term), _blind(value, term.is_part))
        case "addressed":
            return or_(
                *(_named(name, term) for name in _WORDS),
                _received_by(value, is_part=not is_address),
            )
        case "with" if is_address and not value.startswith("@"):
            return or_(messages.c.sender_address == value, _received_by(value))
        case "with":
            return or_(_named("from", term), _received_by(value, is_part=not is_address))
        case _:
            return _named(term.field, term)


def _named(field: str, term: Term) -> ColumnElement[bool]:
    value = term.value
    if "@" in value and not term.is_part:
        # An address in the *_words columns stands between angle brackets, so it can be met whole.
        value = f"{value}>" if value.startswith("@") else f"<{value}>"
    return _WORDS[field].contains(value, autoescape=True)


def _received_by(value: str, *, is_part: bool = False) -> ColumnElement[bool]:
    """By the envelope, which says who got the mail."""
    keys = select(recipients.c.message_key)
    if is_part:
        return messages.c.key.in_(keys.where(recipients.c.address.contains(value, autoescape=True)))
    if value.startswith("@"):
        return messages.c.key.in_(keys.where(recipients.c.domain == value[1:]))
    return messages.c.key.in_(keys.where(recipients.c.address == value))


def _blind(value: str, is_part: bool) -> ColumnElement[bool]:
    """Somebody of the envelope whom neither To nor Cc names."""
    whole = literal("%<", String) + _like(recipients.c.address) + literal(">%", String)
    hidden = and_(
        recipients.c.message_key == messages.c.key,
        not_(messages.c.to_words.like(whole, escape="\\")),
        not_(messages.c.cc_words.like(whole, escape="\\")),
    )
    if "@" in value and not is_part:
        match = (
            recipients.c.domain == value[1:]
            if value.startswith("@")
            else recipients.c.address == value
        )
    else:
        match = recipients.c.address.contains(value, autoescape=True)
    return exists().where(hidden, match)


def _like(words: ColumnElement[str]) -> ColumnElement[str]:
    """A column's value as a literal part of a LIKE pattern with the escape character ``\\``."""
    for mark in ("\\", "%", "_"):
        words = func.replace(words, mark, "\\" + mark)
    return words


def _subject(value: str, full_text: bool) -> ColumnElement[bool]:
    here = messages.c.subject_words.contains(value, autoescape=True)
    # The index holds subjects as well, so that few are left to be looked at one by one.
    return and_(_anywhere(value, full_text), here) if _is_indexable(value, full_text) else here


def _is_indexable(value: str, full_text: bool) -> bool:
    """The index is of trigrams: three characters and up."""
    return full_text and len(value) >= 3


def _anywhere(value: str, full_text: bool) -> ColumnElement[bool]:
    # A mail whose text is not indexed yet is found by its headers.
    headers = (
        messages.c.subject_words,
        messages.c.from_words,
        messages.c.to_words,
        messages.c.cc_words,
    )
    waiting = select(messages.c.key).where(
        messages.c.is_indexed == false(),
        or_(*(words.contains(value, autoescape=True) for words in headers)),
    )
    matching: Select[Any]
    if _is_indexable(value, full_text):
        phrase = '"' + value.replace('"', '""') + '"'
        rows = select(column("rowid", Integer)).select_from(table(FULL_TEXT))
        matching = rows.where(column(FULL_TEXT).op("MATCH")(phrase))
    else:
        matching = select(texts.c.message_key).where(texts.c.words.contains(value, autoescape=True))
    # One list of keys: with an OR the database would look at every mail.
    return messages.c.key.in_(union_all(matching, waiting.correlate(None)))
