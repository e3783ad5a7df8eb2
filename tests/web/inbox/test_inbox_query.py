"""Mailpit's search language in the store's words."""

import pytest
from flask.testing import FlaskClient

from b2b.web.inbox import mailpit_query
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import letter, with_files


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("invited guest", '"invited" "guest"'),
        ('"get started"', '"get started"'),
        ("subject:Hello", 'subject:"Hello"'),
        ('subject:"two words"', 'subject:"two words"'),
        ('"subject:two words"', 'subject:"two words"'),
        ("-from:john !cc:ada", '-from:~"john" -cc:~"ada"'),
        ("to:sam@contoso.com to:sam@con", 'to:"sam@contoso.com" to:~"sam@con"'),
        ("addressed:x bcc:y reply-to:z", 'addressed:~"x" bcc:~"y" reply-to:~"z"'),
        ("message-id:one@x tag:Blue", 'message-id:"one@x" tag:"Blue"'),
        ('!"not this"', '-"not this"'),
        ("IS:Unread -is:read is:tagged", "is:unread -is:read is:tagged"),
        ("has:attachments -has:inline", "has:attachment -has:inline"),
        ("larger:5M !smaller:1.5KB", 'larger:"5M" -smaller:"1.5KB"'),
        ("larger:big", '"larger:big"'),
        ("after:2026/11/21", "after:2026-11-21T00:00:00.000000Z"),
        ("before:11/21/2026", "before:2026-11-21T00:00:00.000000Z"),
        ('-after:"2026-11-21 09:30"', "-after:2026-11-21T09:30:00.000000Z"),
        ("after:2026-11-21T09:30:00+02:00", "after:2026-11-21T07:30:00.000000Z"),
        ('before:"21 Nov 2026"', "before:2026-11-21T00:00:00.000000Z"),
        ("before:soon after:2026-02-31", ""),
        ('"open', '"open"'),
        ("subject: to:", ""),
        ("has: tag: is:", ""),
        ("size:5 http://x/?a=b", '"size:5" "http://x/?a=b"'),
        ("is:odd", '"is:odd"'),
        ("<a@b.example>,(x)", '"a@b.example x"'),
        ("- ! \"\"", ""),
    ],
)  # fmt: skip
def test_mailpits_query_in_our_words(theirs: str, ours: str) -> None:
    assert mailpit_query.translated(theirs) == ours


@pytest.mark.parametrize(
    ("tz", "utc"),
    [
        ("Asia/Seoul", "2026-11-20T15:00:00"),
        ("America/New_York", "2026-11-21T05:00:00"),
        ("", "2026-11-21T00:00:00"),
        ("Nowhere/Land", "2026-11-21T00:00:00"),
        ("../etc/passwd", "2026-11-21T00:00:00"),
    ],
)
def test_dates_are_meant_in_the_zone_that_is_named(tz: str, utc: str) -> None:
    assert mailpit_query.translated("after:2026-11-21", tz) == f"after:{utc}.000000Z"


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("has:attachment", ["Files"]),
        ("!has:attachments", ["Hello", "Second"]),
        ("larger:400 has:attachment", ["Files"]),
        ("after:2026-11-21 before:2026-11-22 hello", ["Hello"]),
        ("before:2026-11-20", []),
        ("to:sam@contoso.example second", ["Second"]),
        ("to:m@contoso", ["Files", "Hello", "Second"]),
        ("message-id:second@", ["Second"]),
        ("reply-to:answers", ["Second"]),
        ("bcc:blind", ["Hello"]),
        ("addressed:answers@x.example", ["Second"]),
    ],
)
def test_the_whole_language_finds(
    client: FlaskClient, mails: Mails, clock: object, query: str, subjects: list[str]
) -> None:
    second = {"reply_to": "answers@x.example", "message_id": "<second@woodgrove.example>"}
    mails.add(letter("Second", **second), to=("sam@contoso.example",))
    mails.add(letter("Hello"), to=("sam@contoso.example", "blind@contoso.example"))
    mails.add(with_files({"a.txt": ("text/plain", b"x" * 500)}))
    found = client.get("/mail/api/v1/search", query_string={"query": query}).json
    assert found is not None
    assert sorted(mail["Subject"] for mail in found["messages"]) == subjects
    assert found["messages_count"] == len(subjects)
