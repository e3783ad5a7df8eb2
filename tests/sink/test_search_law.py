"""The query language by its law: generated queries over generated mail.

What a query means is written here a second time, over plain values, without SQL and without the
parser; docs/inbox.md is the source of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b2b.sink import tags
from b2b.sink.search import BadQuery
from b2b.sink.store import Arrival, Store

# Mail ---------------------------------------------------------------------------------------------

WORDS = (
    "invited", "started", "started-get", "Grüße", "STRASSE", "초대장을", "招待状", "100%",
    "snake_case", "snakeXcase", "back\\slash", "o'neil", 'in"ch', "note:this", "~tilde",
    "a", "is", "دعوة",
)  # fmt: skip
NAMES = ("John Doe", "Sam Oogle", "Ørsted", "홍길동", "")
ADDRESSES = (
    "sam@contoso.example", "am@contoso.example", "Sam@Sub.Contoso.example", "eve@other.example",
    "o_neil@contoso.example", "oxneil@contoso.example", "100%@per.example",
    "sam@contoso.example.org",
)  # fmt: skip
FILES = ("report.pdf", "Rechnung_1.txt")
TAGS = ("blue", "Two Words", "Öl", "100")
PICTURE = "squirrel.png"
DAY = datetime(2026, 11, 21, tzinfo=UTC)
MINUTES = (-2880, -1441, -1440, -1, 0, 1, 555, 1440)

People = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mail:
    """What one mail is, in plain values."""

    sender: tuple[str, str]
    to: People
    cc: People
    bcc: People
    reply_to: People
    envelope: tuple[str, ...]
    subject: str
    text: str
    files: tuple[str, ...]
    has_picture: bool
    padding: int
    number: int
    answers: int | None
    minutes: int
    is_read: bool
    tags: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its files and its picture."""
        return (*self.files, PICTURE) if self.has_picture else self.files

    @property
    def received_at(self) -> datetime:
        return DAY + timedelta(minutes=self.minutes)

    @property
    def message_id(self) -> str:
        return f"Mail-{self.number}@woodgrove.example"

    @property
    def thread(self) -> str:
        return self.message_id if self.answers is None else f"Mail-{self.answers}@woodgrove.example"

    def source(self) -> bytes:
        mail = EmailMessage(policy=SMTPUTF8.clone(max_line_length=10_000))
        for name, people in (
            ("From", (self.sender,)), ("To", self.to), ("Cc", self.cc), ("Bcc", self.bcc),
            ("Reply-To", self.reply_to),
        ):  # fmt: skip
            if people:
                mail[name] = ", ".join(f"{who} <{address}>".strip() for who, address in people)
        mail["Subject"] = self.subject
        mail["Message-ID"] = f"<{self.message_id}>"
        if self.answers is not None:
            mail["In-Reply-To"] = f"<{self.thread}>"
        mail["X-Padding"] = "x" * self.padding
        mail.set_content(self.text)
        if self.has_picture:
            mail.add_alternative(f"<p>{len(self.text)}</p><img src='cid:logo'>", subtype="html")
            parts = mail.get_payload()
            assert isinstance(parts, list)
            html = parts[1]
            assert isinstance(html, EmailMessage)
            html.add_related(
                b"\x89PNG", "image", "png", cid="<logo>", disposition="inline", filename=PICTURE
            )
        for name in self.files:
            mail.add_attachment(b"content", maintype="text", subtype="plain", filename=name)
        return bytes(mail)


people = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(ADDRESSES)), max_size=2, unique=True
).map(tuple)
sentences = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
mails = st.builds(
    Mail,
    sender=st.tuples(st.sampled_from(NAMES), st.sampled_from(ADDRESSES)),
    to=people,
    cc=people,
    bcc=people,
    reply_to=people,
    envelope=st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True).map(tuple),
    subject=sentences,
    text=sentences,
    files=st.lists(st.sampled_from(FILES), max_size=2, unique=True).map(tuple),
    has_picture=st.booleans(),
    padding=st.sampled_from((0, 600, 3000)),
    number=st.integers(1, 99),
    answers=st.none() | st.integers(1, 5),
    minutes=st.sampled_from(MINUTES),
    is_read=st.booleans(),
    tags=st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
)
mailboxes = st.lists(mails, min_size=2, max_size=7)


# What a term means --------------------------------------------------------------------------------

Holds = Callable[[Mail], bool]


@dataclass(frozen=True)
class Term:
    """One condition: as somebody types it, and what it means."""

    text: str
    holds: Holds


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def part_of(value: str, *texts: str) -> bool:
    return any(folded(value) in folded(text) for text in texts)


def part_of_people(value: str, persons: People) -> bool:
    return any(part_of(value, name, address) for name, address in persons)


def is_meant(value: str, address: str) -> bool:
    """Whether an address is the whole one, or in the domain, of *value*."""
    address, value = folded(address), folded(value)
    return address.endswith(value) if value.startswith("@") else address == value


def anywhere(value: str, mail: Mail) -> bool:
    persons = (mail.sender, *mail.to, *mail.cc, *mail.bcc, *mail.reply_to)
    return part_of_people(value, persons) or part_of(value, mail.subject, mail.text, *mail.names)


def of_people(field: str, value: str, is_part: bool, mail: Mail) -> bool:
    """What a field of people finds."""
    named: dict[str, People] = {
        "from": (mail.sender,), "to": mail.to, "cc": mail.cc, "bcc": mail.bcc,
        "reply-to": mail.reply_to,
    }  # fmt: skip

    def header(name: str) -> bool:
        if is_part:
            return part_of_people(value, named[name])
        return any(is_meant(value, address) for _, address in named[name])

    def receives(address: str) -> bool:
        return part_of(value, address) if is_part else is_meant(value, address)

    got = [address for address in mail.envelope if receives(address)]
    match field:
        case "to":
            return bool(got) or (is_part and header("to"))
        case "bcc":
            seen = {folded(address) for _, address in (*mail.to, *mail.cc)}
            return header("bcc") or any(folded(address) not in seen for address in got)
        case "addressed":
            return bool(got) or any(header(name) for name in named)
        case "with":
            return bool(got) or header("from")
        case _:
            return header(field)


def typed(value: str, field: str = "", quoted: bool = False) -> str:
    """A value as it is typed: in quotation marks where it needs them, or where somebody likes."""
    needs = " " in value or (not field and value.startswith("-")) or not value
    return f'{field}"{value}"' if (quoted and '"' not in value) or needs else f"{field}{value}"


# Queries ------------------------------------------------------------------------------------------


@st.composite
def pieces(draw: st.DrawFn, of: Sequence[str]) -> str:
    """A piece of a word, in letters of any case, that can be typed."""
    word = draw(st.sampled_from(of))
    start = draw(st.integers(0, len(word) - 1))
    piece = word[start : draw(st.integers(start + 1, len(word)))].lstrip('"').strip()
    return draw(st.sampled_from((str, str.upper, str.swapcase)))(piece) or "invited"


@st.composite
def words(draw: st.DrawFn) -> Term:
    if draw(st.booleans()):
        value = draw(pieces((*WORDS, *ADDRESSES, *FILES, "John", "Oogle", "홍길동")))
    else:
        value = f"{draw(st.sampled_from(WORDS))} {draw(st.sampled_from(WORDS))}".replace('"', "")
    text = typed(value, quoted=draw(st.booleans()))
    return Term(text, lambda mail: anywhere(value, mail))


@st.composite
def subjects(draw: st.DrawFn) -> Term:
    value = draw(pieces(WORDS))
    text = typed(value, "subject:", draw(st.booleans()))
    return Term(text, lambda mail: part_of(value, mail.subject))


@st.composite
def persons(draw: st.DrawFn) -> Term:
    field = draw(st.sampled_from(("to", "from", "cc", "bcc", "reply-to", "addressed", "with")))
    kind = draw(st.sampled_from(("whole", "domain", "part", "tilde")))
    address = draw(st.sampled_from(ADDRESSES))
    if kind == "whole":
        value = draw(st.sampled_from((address, address.upper())))
    elif kind == "domain":
        value = f"@{draw(st.sampled_from((address.partition('@')[2], 'example', 'contoso')))}"
    else:
        value = draw(pieces((*ADDRESSES, "John", "Oogle", "홍길동", "Ørsted")))
    is_part = kind == "tilde" or "@" not in value
    name = draw(st.sampled_from((field, field.upper(), field.title())))
    text = typed(value, f"{name}:{'~' * (kind == 'tilde')}", draw(st.booleans()))
    return Term(text, lambda mail: of_people(field, value, is_part, mail))


@st.composite
def instants(draw: st.DrawFn) -> Term:
    at = DAY + timedelta(minutes=draw(st.sampled_from(MINUTES)))
    text, meant = draw(
        st.sampled_from(
            (
                (f"{at:%Y-%m-%d}", at.replace(hour=0, minute=0)),
                (f"{at:%Y/%m/%d}", at.replace(hour=0, minute=0)),
                (f'"{at:%Y-%m-%d %H:%M}"', at),
                (f"{at:%Y-%m-%dT%H:%M:%S}Z", at),
            )
        )
    )
    if draw(st.booleans()):
        return Term(f"after:{text}", lambda mail: mail.received_at >= meant)
    return Term(f"before:{text}", lambda mail: mail.received_at <= meant)


@st.composite
def sizes(draw: st.DrawFn) -> Term:
    text, octets = draw(
        st.sampled_from((("900", 900), ("1K", 1024), ("2kb", 2048), ("1.5K", 1536)))
    )
    if draw(st.booleans()):
        return Term(f"larger:{text}", lambda mail: len(mail.source()) > octets)
    return Term(f"smaller:{text}", lambda mail: len(mail.source()) < octets)


STATES = (
    Term("is:read", lambda mail: mail.is_read),
    Term("is:unread", lambda mail: not mail.is_read),
    Term("is:tagged", lambda mail: bool(mail.tags)),
    Term("has:attachment", lambda mail: bool(mail.files)),
    Term("has:attachments", lambda mail: bool(mail.files)),
    Term("HAS:inline", lambda mail: mail.has_picture),
)


@st.composite
def labels(draw: st.DrawFn) -> Term:
    kind = draw(st.sampled_from(("tag", "message-id", "thread")))
    if kind == "tag":
        tag = draw(st.sampled_from((*TAGS, "blu", "two")))
        text = typed(draw(st.sampled_from((tag, tag.upper()))), "tag:")
        return Term(text, lambda mail: folded(tag) in map(folded, mail.tags))
    value = f"mail-{draw(st.integers(1, 9))}"
    if kind == "message-id":
        return Term(f"message-id:{value}", lambda mail: part_of(value, mail.message_id))
    value += "@woodgrove.example"
    return Term(f"thread:{value}", lambda mail: folded(mail.thread) == value)


def without(term: Term) -> Term:
    return Term(f"-{term.text}", lambda mail: not term.holds(mail))


plain = st.one_of(
    words(), words(), subjects(), persons(), persons(), instants(), sizes(), labels(),
    st.sampled_from(STATES),
)  # fmt: skip
terms = plain | plain.map(without)
queries = st.lists(terms, min_size=1, max_size=2)


# The law ------------------------------------------------------------------------------------------


def fill(store: Store, kept: Sequence[Mail]) -> dict[str, Mail]:
    """The mails by their ids in an otherwise empty store."""
    store.delete()
    arrivals = [
        Arrival("bounces@woodgrove.example", mail.envelope, mail.source(), mail.received_at)
        for mail in kept
    ]
    ids = store.add(arrivals)
    while store.index():
        pass
    for message_id, mail in zip(ids, kept, strict=True):
        if mail.tags:
            tags.replace(store, [message_id], list(mail.tags))
    store.mark(read=True, ids=[one for one, mail in zip(ids, kept, strict=True) if mail.is_read])
    return dict(zip(ids, kept, strict=True))


def found(store: Store, query: str) -> list[str]:
    """Every mail that a query finds, in pages of two."""
    ids: list[str] = []
    before: int | None = None
    while True:
        page = store.list(query, before=before, limit=2)
        ids += [row.id for row in page.messages]
        before = page.before
        if before is None:
            return ids


def keeps_the_law(store: Store, kept: Sequence[Mail], asked: Sequence[Sequence[Term]]) -> None:
    known = fill(store, kept)
    for query in asked:
        text = " ".join(term.text for term in query)
        right = [
            message_id
            for message_id, mail in reversed(known.items())
            if all(term.holds(mail) for term in query)
        ]
        assert found(store, text) == right, text
        unread = sum(not known[message_id].is_read for message_id in right)
        assert store.count(text) == (len(right), unread), text


@settings(max_examples=10, deadline=None)
@given(kept=mailboxes, asked=st.lists(queries, min_size=8, max_size=8))
def test_a_query_finds_what_it_says(kept: Sequence[Mail], asked: Sequence[Sequence[Term]]) -> None:
    store = Store.open("sqlite://")
    try:
        keeps_the_law(store, kept, asked)
    finally:
        store.close()


@pytest.mark.long
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kept=mailboxes, asked=st.lists(queries, min_size=10, max_size=10))
def test_a_query_finds_what_it_says_in_every_kind_of_store(
    store: Store, kept: Sequence[Mail], asked: Sequence[Sequence[Term]]
) -> None:
    keeps_the_law(store, kept, asked)


# Queries that cannot be read ----------------------------------------------------------------------

MALFORMED = (
    # what is typed, how far into it the mistake is, whether anything may follow
    ("to:", 0, True),
    ("-subject:", 0, True),
    ("-", 0, True),
    ('""', 0, True),
    ('-""', 0, True),
    ('tag:""', 0, True),
    ("from:~", 0, True),
    ("is:starred", 0, True),
    ("-is:starred", 1, True),
    ("has:wings", 0, True),
    ("after:yesterday", 0, True),
    ("-before:2026-13-01", 1, True),
    ('after:"2026-02-30 10:00"', 0, True),
    ("larger:big", 0, True),
    ("-smaller:-5", 1, True),
    ('shape:"round"', 0, True),
    ('-shape:"round"', 1, True),
    ('"open', 0, False),
    ('-"open', 1, False),
    ('subject:"open', 8, False),
    ('-to:~"open', 5, False),
)


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(terms, max_size=5),
    wrong=st.sampled_from(MALFORMED),
    after=st.lists(terms, max_size=5),
    space=st.sampled_from((" ", "  ", "\t", "\u3000")),
)
def test_a_malformed_query_says_where_wherever_it_is(
    before: Sequence[Term], wrong: tuple[str, int, bool], after: Sequence[Term], space: str
) -> None:
    text, offset, is_closed = wrong
    start = space.join([*(term.text for term in before), ""])
    end = space.join(["", *(term.text for term in after)]) if is_closed else ""
    if not is_closed:
        end = end.replace('"', "")
    with pytest.raises(BadQuery) as error:
        EMPTY.list(f"{start}{text}{end}")
    assert error.value.position == len(start) + offset
    assert error.value.message.endswith(".")


EMPTY = Store("sqlite://")
"""Asked for nothing but what it refuses."""
