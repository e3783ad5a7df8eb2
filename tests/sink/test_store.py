"""The store: paging, recipients, marks, deletion, counters, migrations; on every database."""

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from b2b.sink import schema, tables
from b2b.sink.store import Arrival, Store, StoreIsNewer
from tests.sink.correspondents import RunningSink, add, letter, until


def test_pages_go_from_newest_to_oldest_and_meet_every_mail_once(store: Store) -> None:
    ids = add(store, *(letter(f"Number {number}") for number in range(25)))
    seen: list[str] = []
    before = None
    while True:
        page = store.list(before=before, limit=10)
        seen += [mail.id for mail in page.messages]
        if page.before is None:
            break
        before = page.before
        add(store, letter("Comes in between"))  # must not shift the pages
    assert seen == ids[::-1]
    assert [mail.id for mail in store.list(offset=2 + 5, limit=3).messages] == ids[::-1][5:8]
    newest = store.list(after=store.list(offset=2, limit=1).messages[0].key)
    assert [mail.subject for mail in newest.messages] == ["Comes in between"] * 2


def test_a_page_that_ends_with_the_last_mail_has_no_next(store: Store) -> None:
    add(store, *(letter() for _ in range(10)))
    assert store.list(limit=10).before is None
    assert store.list(limit=9).before is not None
    assert store.list(recipient="nobody@contoso.example").messages == ()


def test_mails_to_one_recipient_are_found_by_the_envelope_alone(store: Store) -> None:
    add(store, letter("Other", to="samantha@contoso.example"))
    hidden = add(
        store, letter("Blind copy", envelope=("adele@woodgrove.example", "SAM@contoso.example"))
    )
    found = store.list(recipient=" Sam@Contoso.Example ").messages
    assert [mail.id for mail in found] == hidden
    assert found[0].envelope_recipients == ("adele@woodgrove.example", "sam@contoso.example")


def test_a_row_shows_decoded_people_and_a_snippet(store: Store) -> None:
    source = (
        b"From: =?utf-8?B?6rmA7LKg7IiY?= <kim@contoso.example>\r\n"
        b'To: "Doe, John" <john@woodgrove.example>, adele@woodgrove.example\r\n'
        b"Cc: copy@woodgrove.example\r\nReply-To: desk@contoso.example\r\n"
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?iso-8859-1?Q?_an_alle?=\r\n"
        b"Message-ID: <one@contoso.example>\r\n\r\n" + b"word " * 100
    )
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    add(store, Arrival("kim@contoso.example", ["john@woodgrove.example"], source, at))
    (mail,) = store.list().messages
    assert mail.subject == "Grüße an alle"
    assert mail.sender == ("김철수", "kim@contoso.example")
    assert mail.to == (("Doe, John", "john@woodgrove.example"), ("", "adele@woodgrove.example"))
    assert mail.cc[0].address == "copy@woodgrove.example"
    assert mail.reply_to[0].address == "desk@contoso.example"
    assert mail.message_id == "one@contoso.example"
    assert mail.received_at == at
    assert mail.snippet.startswith("word word")
    assert len(mail.snippet) == 253
    assert len(mail.id) == 22
    assert mail.id.isascii()
    assert mail.id.isalnum()
    assert store.get(mail.id) == mail
    assert store.get("missing") is None
    assert store.source("missing") is None


def test_a_mail_is_listed_with_its_subject_before_it_is_indexed(store: Store) -> None:
    store.add([letter("Invitation", "A secret word")])
    (mail,) = store.list("invitation from:john").messages
    assert not mail.is_indexed
    assert store.count("secret") == (0, 0)
    assert store.index() == 1
    assert store.count("secret") == (1, 1)


def test_marks_change_the_unread_count_once(store: Store) -> None:
    one, two, three = add(store, letter("One"), letter("Two"), letter("Three"))
    assert store.counters().unread == 3
    assert store.mark(read=True, ids=[one, one, "missing"]) == 1
    assert store.mark(read=True, ids=[one]) == 0
    assert store.counters().unread == 2
    assert store.mark(read=True, query="two") == 1
    assert [mail.id for mail in store.list("is:unread").messages] == [three]
    assert store.count("is:read") == (2, 0)
    assert store.mark(read=True) == 1
    assert store.mark(read=False) == 3
    assert store.counters().unread == 3
    assert store.get(two).is_read is False  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="not both"):
        store.mark(read=True, ids=[one], query="two")


def test_deleting_takes_every_trace_of_a_mail(store: Store) -> None:
    one, two, three, four = add(
        store, *(letter(word, f"text{word}") for word in ("alpha", "beta", "gamma", "delta"))
    )
    store.mark(read=True, ids=[one])
    assert store.delete(ids=[one, "missing"]) == 1
    assert store.delete(query="textbeta") == 1
    assert store.delete(ids=[]) == 0
    assert store.get(one) is None
    assert store.source(two) is None
    assert store.count("alpha") == store.count("textbeta") == (0, 0)
    assert store.count("textgamma") == (1, 1)
    assert (store.counters().total, store.counters().unread) == (2, 2)
    assert store.neighbours(three) == (four, None)
    assert store.delete() == 2
    assert store.counters().total == store.counters().unread == 0
    with store.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            rows = connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar()
            if table.name != "mail_changes":  # says that they went, and nothing of what they were
                assert rows == (table.name == "mailbox"), table.name
    (again,) = add(store, letter("alpha"))
    assert [mail.id for mail in store.list("alpha").messages] == [again]


def test_deleting_many_goes_in_slices_and_the_index_stays_sound(store: Store) -> None:
    add(store, *(letter(f"Number {number}", "many words") for number in range(1_200)))
    assert store.mark(read=True, query="many") == 1_200
    sevens = sum("7" in str(number) for number in range(1_200))
    assert store.delete(query="-subject:7") == 1_200 - sevens
    assert store.count("many") == store.count() == (sevens, 0)
    if store.full_text:
        with store.writing() as connection:
            connection.execute(
                text("INSERT INTO texts_index (texts_index, rank) VALUES ('integrity-check', 1)")
            )


def test_every_change_moves_the_number_that_pages_poll(store: Store) -> None:
    numbers = [store.counters().latest_change]

    def moved() -> bool:
        numbers.append(store.counters().latest_change)
        return numbers[-1] > numbers[-2]

    (one,) = store.add([letter()])
    assert moved()
    store.index()
    assert moved()
    store.mark(read=True, ids=[one])
    assert moved()
    store.delete(ids=[one])
    assert moved()
    store.list()
    store.counters()
    assert not moved()


def test_neighbours_follow_the_search(store: Store) -> None:
    a, _, c, _, e = add(store, *(letter(word) for word in ("x a", "y", "x c", "y", "x e")))
    assert store.neighbours(c, "subject:x") == (e, a)
    assert store.neighbours(e, "subject:x") == (None, c)
    assert store.neighbours("missing") == (None, None)


def test_writers_in_many_threads_lose_nothing(store: Store) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            (one, two) = store.add([letter(f"From {number}"), letter(f"From {number}")])
            store.mark(read=True, ids=[one])
            store.index(2)
            store.delete(ids=[two])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = store.counters()
    assert (counters.total, counters.unread) == (40, 0)
    assert store.count("is:read") == (40, 0)
    assert len({mail.key for mail in store.list(limit=100).messages}) == 40


def test_reading_goes_on_while_mail_comes_in(sink: RunningSink) -> None:
    with sink.connect().greet() as client:
        for number in range(50):
            client.mail(f"Subject: {number}\r\n\r\n".encode())
            assert sink.store.list(limit=1).messages[0].subject == str(number)
    until(lambda: all(mail.is_indexed for mail in sink.listed()))


def test_the_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """DB-2"""
    path = tmp_path / "new" / "mail.sqlite3"
    store = Store.open(f"sqlite:///{path}")
    add(store, letter())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_commits_are_flushed_to_disk(tmp_path: Path) -> None:
    """SMTP-5"""
    store = Store.open(f"sqlite:///{tmp_path}/mail.sqlite3")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_a_store_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    """REL-14"""
    url = f"sqlite:///{tmp_path}/mail.sqlite3"
    store = Store.open(url)
    add(store, letter())
    with schema.writing(store.engine) as connection:
        connection.execute(text("UPDATE mail_store_version SET version_num = '2999_later'"))
    store.close()
    with pytest.raises(StoreIsNewer, match="2999_later"):
        Store.open(url)
    again = Store(url)
    assert again.counters().total == 1
    again.close()


def test_migrations_make_the_tables_and_take_them_away(tmp_path: Path) -> None:
    """REL-14: up, no drift, down, up again; the head is the schema the code knows."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    store = Store.open(f"sqlite:///{tmp_path}/mail.sqlite3")
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == tables.SCHEMA
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": tables.VERSION_TABLE,
                "include_name": lambda name, kind, _: (
                    kind != "table" or not name.startswith(tables.FULL_TEXT)
                ),
            },
        )
        assert compare_metadata(context, tables.metadata) == []
    with schema.writing(store.engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(store.engine).get_table_names() == [tables.VERSION_TABLE]
    store.migrate()
    assert add(store, letter())
    store.close()


def test_two_programs_that_start_at_once_agree(tmp_path: Path) -> None:
    """BOOT-1, for the store's tables."""
    opened: list[Store] = []
    threads = [
        threading.Thread(
            target=lambda: opened.append(Store.open(f"sqlite:///{tmp_path}/mail.sqlite3"))
        )
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 5
    for store in opened:
        store.close()
