"""The query language: what it finds, and where it says a query is wrong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2b.sink import search
from b2b.sink.search import BadQuery, Term
from b2b.sink.store import Store
from tests.sink.correspondents import add, letter


@pytest.fixture
def filled(store: Store) -> Store:
    add(
        store,
        letter("You are invited", "WoodGrove asks you to get started. 초대장을 보냅니다"),
        letter(
            "Your passcode",
            "Code 4829 1706",
            to="Sam Oogle <sam@contoso.example>",
            envelope=("sam@contoso.example",),
        ),
        letter("Reminder 100%", 'Snake_case "quoted" text', to="samantha@other.example"),
        letter("Grüße", "From Otto", sender="Otto <otto@contoso.example>"),
    )
    store.mark(read=True, query="subject:reminder")
    return store


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("", ["Grüße", "Reminder 100%", "Your passcode", "You are invited"]),
        ("invited", ["You are invited"]),
        ("INVIT", ["You are invited"]),
        ('"get started"', ["You are invited"]),
        ('"started get"', []),
        ("started get", ["You are invited"]),
        ("초대장", ["You are invited"]),
        ("초대", ["You are invited"]),
        ("GRÜSSE", ["Grüße"]),
        ("e_c", ["Reminder 100%"]),
        ("0%", ["Reminder 100%"]),
        ("%", ["Reminder 100%"]),
        ("to:sam@contoso.example", ["Grüße", "Your passcode", "You are invited"]),
        ("to:@other.example", ["Reminder 100%"]),
        ("to:sam", ["Grüße", "Reminder 100%", "Your passcode", "You are invited"]),
        ("to:oogle", ["Your passcode"]),
        ("to:am@contoso.example", []),
        ("from:otto@contoso.example", ["Grüße"]),
        ("from:tto@contoso.example", []),
        ("from:@contoso.example", ["Grüße"]),
        ("from:john -to:samantha subject:you", ["Your passcode", "You are invited"]),
        ("is:read", ["Reminder 100%"]),
        ("-is:read is:unread grüße", ["Grüße"]),
        ("-subject:you", ["Grüße", "Reminder 100%"]),
        ('-"get started" -code -otto', ["Reminder 100%"]),
        ("cc:anyone", []),
        ("to:~am@contoso", ["Grüße", "Your passcode", "You are invited"]),
        ("from:~tto@", ["Grüße"]),
        ("with:otto@contoso.example", ["Grüße"]),
        ("with:sam@contoso.example -subject:you", ["Grüße"]),
        ("addressed:samantha@other.example", ["Reminder 100%"]),
        ("is:tagged", []),
        ("tag:blue", []),
        ("has:attachments", []),
        ("has:inline", []),
        ("larger:1M", []),
        ("smaller:1M subject:grüße", ["Grüße"]),
        ("before:2020-01-01", []),
        ("after:2020/01/01 subject:grüße", ["Grüße"]),
        ("~", []),
        ('subject:"are invited"', ["You are invited"]),
        ("http://nowhere", []),
        ("' OR 1=1 --", []),
    ],
)
def test_a_query_finds(filled: Store, query: str, subjects: list[str]) -> None:
    assert [mail.subject for mail in filled.list(query).messages] == subjects
    assert filled.count(query)[0] == len(subjects)


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ('"open', 0),
        ('word "open', 5),
        ('subject:"open', 8),
        ("to:", 0),
        ("word -", 5),
        ('""', 0),
        ("is:starred", 0),
        ("has:wings", 0),
        ("hello before:yesterday", 6),
        ("after:2026-13-01", 0),
        ("larger:big", 0),
        ("-is:", 0),
        ('shape:"round"', 0),
        ("x" * 1_001, 1_000),
        ("x " * 21, 40),
    ],
)
def test_a_malformed_query_says_where_it_is_wrong(query: str, position: int) -> None:
    with pytest.raises(BadQuery) as error:
        search.parse(query)
    assert error.value.position == position
    assert error.value.message.endswith(".")


def test_terms_keep_field_value_and_negation() -> None:
    assert search.parse('hello -To:Sam@X.example "two  words" -"a b" http://x') == [
        Term("", "hello", False),
        Term("to", "sam@x.example", True),
        Term("", "two words", False),
        Term("", "a b", True),
        Term("", "http://x", False),
    ]
    assert search.parse("-to:~am@ Reply-To:x ~y") == [
        Term("to", "am@", True, is_part=True),
        Term("reply-to", "x", False),
        Term("", "~y", False),
    ]


def test_a_query_finds_by_what_only_some_mails_have(store: Store) -> None:
    blind = letter("Blind", to="Sam <sam@contoso.example>", envelope=("eve@hidden.example",))
    named = letter("Answer me")
    answers = b"Reply-To: Help <help@woodgrove.example>\r\n" + named.source
    add(store, blind, replace(named, source=answers), letter("Plain"))
    for query, subjects in [
        ("bcc:eve@hidden.example", ["Blind"]),
        ("bcc:@hidden.example", ["Blind"]),
        ("bcc:eve", ["Blind"]),
        ("bcc:sam", []),
        ("reply-to:help@woodgrove.example", ["Answer me"]),
        ("reply-to:~elp@wood", ["Answer me"]),
        ("addressed:eve@hidden.example", ["Blind"]),
        ("-bcc:eve -reply-to:help", ["Plain"]),
    ]:
        assert [mail.subject for mail in store.list(query).messages] == subjects, query


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_a_bad_query(query: str) -> None:
    try:
        terms = search.parse(query)
    except BadQuery as error:
        terms, position = [], error.position
    else:
        position = 0
    assert 0 <= position <= len(query)
    assert all(term.value for term in terms)
    search.condition(terms, full_text=True)
