"""Mailpit's search language in the store's words."""

import pytest
from flask.testing import FlaskClient

from b2b.sink.search import BadQuery
from b2b.web.inbox import mailpit_query
from tests.web.inbox.conftest import Mails


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("invited guest", '"invited" "guest"'),
        ('"get started"', '"get started"'),
        ("subject:Hello", 'subject:"Hello"'),
        ('subject:"two words"', 'subject:"two words"'),
        ('"subject:two words"', 'subject:"two words"'),
        ("-from:john !cc:ada", '-from:"john" -cc:"ada"'),
        ('!"not this"', '-"not this"'),
        ("IS:Unread -is:read", "is:unread -is:read"),
        ('"open', '"open"'),
        ("subject: to:", ""),
        ("has: tag: is:", ""),
        ("size:5 http://x/?a=b", '"size:5" "http://x/?a=b"'),
        ("is:odd", '"is:odd"'),
        ("- ! \"\"", ""),
    ],
)  # fmt: skip
def test_mailpits_query_in_our_words(theirs: str, ours: str) -> None:
    assert mailpit_query.translated(theirs) == ours


@pytest.mark.parametrize(
    "query", ["larger:5M", "-has:attachment", "tag:x", "is:tagged", "a !bcc:x"]
)
def test_what_the_store_cannot_find_is_refused_not_guessed(
    client: FlaskClient, mails: Mails, query: str
) -> None:
    mails.one()
    with pytest.raises(BadQuery):
        mailpit_query.translated(query)
    for method in ("GET", "DELETE"):
        response = client.open("/mail/api/v1/search", method=method, query_string={"query": query})
        assert (response.status_code, response.mimetype) == (400, "text/plain")
    assert mails.store.counters().total == 1
