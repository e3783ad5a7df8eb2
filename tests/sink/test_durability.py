"""250 means kept: through kill -9, a full disk, and bytes that nobody can read."""

import itertools
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from b2b.sink.store import Arrival, Store
from tests.sink.correspondents import Client, RunningSink, SinkProcess, add, letter, until


@pytest.mark.parametrize("acknowledged", [1, 7, 30, 80])
def test_every_acknowledged_mail_survives_kill_9(
    start_process: Callable[[str], SinkProcess], tmp_path: Path, acknowledged: int
) -> None:
    """SMTP-5, REL-1: killed right after the last 250, with other mails half sent and unindexed."""
    url = f"sqlite:///{tmp_path}/mail.sqlite3"
    sink = start_process(url)
    kept = []
    with (
        Client(sink.port).greet() as first,
        Client(sink.port).greet() as second,
        Client(sink.port).greet() as unfinished,
    ):
        unfinished.envelope().say("DATA")
        unfinished.send(b"Subject: never finished\r\n")
        for number in range(acknowledged):
            client = (first, second)[number % 2]
            reply = client.mail(f"Subject: {number}\r\n\r\nBody {number}.\r\n".encode())
            kept.append(reply.rpartition(" ")[2])
        sink.process.kill()
        sink.process.wait()
    # The next start takes up what was left unindexed.
    again = start_process(url)
    store = Store.open(url)
    try:
        assert [mail.id for mail in store.list(limit=200).messages] == kept[::-1]
        for number, message_id in enumerate(kept):
            content = f"Subject: {number}\r\n\r\nBody {number}.\r\n"
            assert store.source(message_id) == content.encode()
        assert store.counters().total == acknowledged
        until(lambda: store.count('"body"')[0] == acknowledged)
        until(lambda: all(mail.is_indexed for mail in store.list(limit=200).messages))
    finally:
        store.close()
    again.process.kill()


def _flood(port: int, name: str, kept: dict[str, bytes], *, count: int) -> list[threading.Thread]:
    """Senders that go on until the sink is gone; what it acknowledges goes into ``kept``."""

    def send(sender: int) -> None:
        with suppress(OSError, AssertionError), Client(port).greet() as client:
            for number in itertools.count():
                content = f"Subject: {name} {sender} {number}\r\n\r\n.\r\n".encode()
                reply = client.mail(content)
                assert reply.startswith("250 ")
                kept[reply.rpartition(" ")[2]] = content

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(count)]
    for sender in senders:
        sender.start()
    return senders


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_kill_9_in_the_middle_of_a_flood_loses_nothing_acknowledged(
    start_process: Callable[[str], SinkProcess], tmp_path: Path, seconds: float
) -> None:
    """SMTP-5: six senders at once; the kill comes at no particular point."""
    url = f"sqlite:///{tmp_path}/mail.sqlite3"
    sink = start_process(url)
    kept: dict[str, bytes] = {}

    senders = _flood(sink.port, "mail", kept, count=6)
    until(lambda: len(kept) > 5)
    time.sleep(seconds)  # not to wait for something: this is the point in time under test
    sink.process.kill()
    for sender in senders:
        sender.join()
    store = Store.open(url)
    assert {one: store.source(one) for one in kept} == kept
    # What was stored but not yet answered may be there as well; at most one of each sender.
    assert len(kept) <= store.counters().total <= len(kept) + len(senders)
    store.close()


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.postgres)])
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty store that outlives its program can be made, of each kind."""
    if request.param == "file":
        yield f"sqlite:///{tmp_path}/mail.sqlite3"
    else:
        with request.getfixturevalue("postgres_template").fresh() as url:
            yield url


@pytest.mark.long
def test_twenty_kills_lose_nothing_acknowledged(
    start_process: Callable[[str], SinkProcess], durable_url: str
) -> None:
    """SMTP-5, REL-1: one store, killed and started again, each time behind other numbers; by turns
    right after the last 250, with another mail half sent, and while four senders are at it.
    """
    chance = random.Random(8)
    kept: dict[str, bytes] = {}
    unanswered = 0
    for kill in range(20):
        sink = start_process(durable_url)
        count = chance.randint(1, 60)
        if kill % 2:
            senders = _flood(sink.port, str(kill), kept, count=4)
            wanted = len(kept) + count
            until(lambda: len(kept) >= wanted)  # noqa: B023 – asked within this turn
            sink.process.kill()
            for sender in senders:
                sender.join()
            unanswered += len(senders)
        else:
            with Client(sink.port).greet() as client, Client(sink.port).greet() as unfinished:
                unfinished.envelope().say("DATA")
                unfinished.send(b"Subject: never finished\r\n")
                for number in range(count):
                    words = chance.randbytes(chance.randint(1, 4_000)).hex().encode()
                    content = b"Subject: %d %d\r\n\r\n%s\r\n" % (kill, number, words)
                    reply = client.mail(content)
                    assert reply.startswith("250 ")
                    kept[reply.rpartition(" ")[2]] = content
                sink.process.kill()
        sink.process.wait()
    store = Store.open(durable_url)
    try:
        assert {one: store.source(one) for one in kept} == kept
        # What was stored but not yet answered may be there as well; at most one of each sender.
        assert len(kept) <= store.counters().total <= len(kept) + unanswered
        assert store.list("subject:never").messages == ()
    finally:
        store.close()


@pytest.fixture
def room() -> Iterator[dict[str, int]]:
    """How many pages a SQLite database of this process may have, to be changed at any time."""
    pages = {"most": 2**30}

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages['most']}")

    event.listen(Engine, "begin", limit)
    yield pages
    event.remove(Engine, "begin", limit)


def test_a_full_store_answers_452_and_goes_on_when_there_is_room_again(
    room: dict[str, int], sink: RunningSink
) -> None:
    """REL-8: SQLite's own page limit stands in for the end of the disk; the error is the same."""
    noise = random.Random(1).randbytes(500_000).replace(b"\r", b"a").replace(b"\n", b"b")
    large = b"Subject: large\r\n\r\n" + noise + b"\r\n"
    with sink.connect().greet() as client:
        assert client.mail(b"Subject: before\r\n\r\n").startswith("250 ")
        until(lambda: sink.listed()[0].is_indexed)
        room["most"] = 60
        for _ in range(3):
            assert client.mail(large) == "452 4.3.1 Out of room"
        assert [mail.subject for mail in sink.listed()] == ["before"]
        room["most"] = 2**30
        assert client.mail(large).startswith("250 ")
    assert sink.store.counters().total == 2
    with closing(sqlite3.connect(str(sink.store.url.database))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_mail_whose_reading_fails_is_kept_and_does_not_hold_up_others(store: Store) -> None:
    """REL-6, SMTP-2: too many parts, too deep, no headers, nothing at all."""
    parts = b"".join(b"--x\r\n\r\npart\r\n" for _ in range(100_000))
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(1_000)
    )
    sources = [
        b'Subject: many\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n' + parts,
        b"Subject: deep\r\n" + nested,
        b"\r\n\r\n",
        b"",
        b"\x00" * 1_000,
    ]
    arrivals = [letter(), *(Arrival("a@b.example", ["c@d.example"], one) for one in sources)]
    ids = add(store, *arrivals)
    assert all(mail.is_indexed for mail in store.list().messages)
    assert [store.source(one) for one in ids[1:]] == sources
    assert store.count("many")[0] == 1
