"""What the store does beside keeping: the trash, what changed, tags that mails bring, retention."""

from datetime import UTC, datetime, timedelta

import pytest

from b2b import clock
from b2b.sink import maintenance, retention, trash_can
from b2b.sink.retention import Limits
from b2b.sink.store import Arrival, Store
from tests.sink.correspondents import RunningSink, StartSink, add, letter, until

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_deleted_mail_comes_back_as_it_was(store: Store) -> None:
    source = b"Subject: back\r\nX-Tags: one, two\r\n\r\ntext of it\r\n"
    first, second, third = add(
        store,
        letter("first"),
        Arrival(
            "a@b.example", ["C@d.example"], source, THEN, username="sam", conversation="C: EHLO"
        ),
        letter("third"),
    )
    store.mark(read=True, ids=[second])
    before = store.get(second)
    sums = store.counters()
    assert store.delete(ids=[second], keep=True) == 1
    assert store.get(second) is None
    assert store.count('"text of it"') == (0, 0)
    assert store.restore([second, "missing"]) == 1
    assert store.get(second) == before
    assert [mail.id for mail in store.list().messages] == [third, second, first]
    assert store.source(second) == source
    assert store.conversation(second) == "C: EHLO"
    assert store.count('"text of it"') == (1, 0)
    after = store.counters()
    assert (after.total, after.unread, after.bytes) == (sums.total, sums.unread, sums.bytes)
    assert store.restore([second]) == 0


def test_the_trash_empties_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = add(store, letter())
    store.delete(ids=[one], keep=True)
    retention.retain(store, Limits())
    assert store.restore([one]) == 1
    store.delete(ids=[one], keep=True)
    later = clock.now() + trash_can.TRASH_KEPT + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    retention.retain(store, Limits())
    assert store.restore([one]) == 0


def test_other_processes_hear_what_happens_to_mails(store: Store) -> None:
    ids = add(store, *(letter() for _ in range(3)))
    began = store.last_change()
    assert store.changes(began) == []
    store.mark(read=True, ids=[ids[0]])
    store.delete(ids=[ids[1]], keep=True)
    store.restore([ids[1]])
    told = store.changes(began)
    assert [(change.kind, change.message_id) for change in told] == [
        ("read", ids[0]), ("deleted", ids[1]), ("restored", ids[1]),
    ]  # fmt: skip
    assert store.changes(told[1].number) == told[2:]
    add(store, *(letter() for _ in range(250)))
    store.mark(read=True)
    assert store.changes(told[-1].number)[-1].kind == "many"
    store.delete()
    assert store.changes(began)[-1].kind == "all"
    assert store.counters().deleted_ever == 253


def test_a_reader_who_was_away_for_long_is_told_to_look_anew(store: Store) -> None:
    (one,) = add(store, letter())
    for turn in range(1_010):
        store.mark(read=turn % 2 == 0, ids=[one])
    assert [change.kind for change in store.changes(0)] == ["many"]


def test_mails_bring_tags_threads_and_who_sent_them(store: Store) -> None:
    begun = letter("Question", sender="Sam <Sam+Blue@Contoso.example>")
    answer = Arrival(
        "a@b.example",
        ["sam@contoso.example"],
        b"From: a@b.example\r\nMessage-ID: <two@b>\r\nReferences: <one@c> <x@y>\r\n"
        b"In-Reply-To: <x@y>\r\nX-Tags: Red, blue, r\xc3\xa9d!\r\nSubject: Re\r\n\r\n",
    )
    first, second = (store.get(one) for one in add(store, begun, answer))
    assert first is not None
    assert second is not None
    assert (first.tags, first.thread) == (("Blue",), "")
    assert (second.tags, second.thread) == (("Blue", "Red", "réd"), "one@c")


def test_files_are_counted_apart_from_pictures_of_the_html(store: Store) -> None:
    source = (
        b'Content-Type: multipart/related; boundary="b"\r\n\r\n'
        b'--b\r\nContent-Type: text/html\r\n\r\n<img src="cid:logo">\r\n'
        b"--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\n\r\nx\r\n"
        b"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n"
        b"1\r\n--b--\r\n"
    )
    (one,) = add(store, Arrival("a@b.example", ["c@d.example"], source))
    found = store.get(one)
    assert found is not None
    assert (found.attachments, found.inline_parts) == (1, 1)


class TestRetention:
    def test_the_oldest_go_when_there_are_too_many(self, store: Store) -> None:
        ids = add(store, *(letter(f"{number}") for number in range(30)))
        while retention.retain(store, Limits(mails=10)):
            pass
        assert [mail.id for mail in store.list().messages] == ids[:19:-1]

    def test_the_oldest_go_when_they_are_too_large_together(self, store: Store) -> None:
        add(store, *(letter("x", "y" * 1_000) for _ in range(10)))
        whole = store.counters().bytes
        while retention.retain(store, Limits(octets=whole // 2)):
            pass
        assert store.counters().total == 5
        assert store.counters().bytes == whole // 2

    def test_the_old_go(self, store: Store) -> None:
        old = Arrival("a@b.example", ["c@d.example"], b"Subject: old\r\n\r\n", THEN)
        add(store, old, letter("new"))
        while retention.retain(store, Limits(seconds=3_600)):
            pass
        assert [mail.subject for mail in store.list().messages] == ["new"]
        assert retention.retain(store, Limits()) == 0

    def test_a_sink_keeps_to_its_limit_while_mail_comes(self, start_sink: StartSink) -> None:
        sink: RunningSink = start_sink(keep_mails=5)
        with sink.connect().greet() as client:
            for number in range(40):
                assert client.mail(f"Subject: {number}\r\n\r\n".encode()).startswith("250 ")
        until(lambda: sink.store.counters().total == 5)
        assert [mail.subject for mail in sink.listed()] == ["39", "38", "37", "36", "35"]


class TestMaintenance:
    def test_a_sound_store_has_no_faults_and_gets_smaller(self, store: Store) -> None:
        add(store, *(letter(f"{number}", "many words " * 50) for number in range(300)))
        store.delete(query="-subject:1")
        assert maintenance.faults_of(store) == []
        before, after = maintenance.compact(store)
        assert after <= before * 1.02  # PostgreSQL adds a map of what is free
        assert maintenance.faults_of(store) == []
        assert store.count("many")[0] == store.counters().total

    def test_sums_that_do_not_fit_are_named(self, store: Store) -> None:
        add(store, letter(), letter())
        with store.writing() as connection:
            connection.exec_driver_sql("UPDATE mailbox SET unread = 7, bytes = bytes + 1")
        assert maintenance.faults_of(store) == [
            "The mailbox counts 7 unread mails; there are 2.",
            f"The mailbox counts {store.counters().bytes} octets; "
            f"there are {store.counters().bytes - 1}.",
        ]
