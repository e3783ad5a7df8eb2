"""The inbox's store, filled by hand: an app's own, on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from b2b.sink.store import Arrival, Store
from b2b.web.inbox import mailbox
from tests.databases import SQLiteTemplate
from tests.web.inbox.letters import letter


class Mails:
    """Puts mails into the store that the app reads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, *sources: bytes, to: tuple[str, ...] = ("sam@contoso.example",)) -> list[str]:
        """Keep and index sources in this order; their ids."""
        arrivals = [Arrival("john@woodgrove.example", to, source) for source in sources]
        ids = self.store.add(arrivals)
        while self.store.index():
            pass
        return ids

    def one(self, subject: str = "Hello", text: str = "Good morning.", **more: str) -> str:
        """Keep one plain mail; its id."""
        return self.add(letter(subject, text, **more))[0]

    def is_read(self, message_id: str) -> bool:
        row = self.store.get(message_id)
        assert row is not None
        return row.is_read


@pytest.fixture
def database_url(sqlite_template: SQLiteTemplate, tmp_path: Path) -> Iterator[str]:
    """The directory's database plays no part here, so one kind is enough."""
    with sqlite_template.fresh(tmp_path) as url:
        yield url


@pytest.fixture
def mails(app: Flask) -> Iterator[Mails]:
    store = Store.open(app.config["MAIL_STORE_URL"])
    yield Mails(store)
    store.close()
    mailbox.close(app)
