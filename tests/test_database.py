"""Connections: durable from the first one on, also when many processes make the file at once."""

import threading
import time
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from b2b import database
from b2b.models import new_id


def test_every_connection_is_durable_and_minds_foreign_keys(tmp_path: Path) -> None:
    """REL-1, threats.md, 2: WAL with synchronous=FULL"""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'x.sqlite3'}", **database.engine_options("sqlite", 1)
    )
    database.prepare(engine)
    for _ in range(2):
        with engine.connect() as connection:
            told = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert told == ["wal", 2, 1, 1000]
    engine.dispose()


def test_connecting_first_at_once_fails_for_nobody(tmp_path: Path) -> None:
    """BOOT-1: several processes start on an empty folder"""
    faults: list[BaseException] = []
    for number in range(20):
        url = f"sqlite:///{tmp_path / f'{number}.sqlite3'}"
        barrier = threading.Barrier(8)

        def once(url: str = url, barrier: threading.Barrier = barrier) -> None:
            engine = create_engine(url, **database.engine_options(url, 30))
            database.prepare(engine)
            barrier.wait(10)
            try:
                with engine.connect() as connection:
                    connection.exec_driver_sql("SELECT 1")
            except BaseException as error:
                faults.append(error)
            finally:
                engine.dispose()

        threads = [threading.Thread(target=once) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert faults == []


def test_a_writer_waits_for_a_writer_even_if_it_reads_first(tmp_path: Path) -> None:
    """REL-7, threats.md, 2: BEGIN IMMEDIATE for writers; a reader never waits"""
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    engine = create_engine(url, **database.engine_options(url, 0.2))
    database.prepare(engine)
    with engine.connect() as first:
        writer = first.execution_options(b2b_write=True)
        writer.exec_driver_sql("CREATE TABLE t (n INTEGER)")
        with engine.connect() as reader:
            assert reader.exec_driver_sql("SELECT 1").scalar_one() == 1
        with engine.connect() as second:
            late = second.execution_options(b2b_write=True)
            with pytest.raises(OperationalError, match="locked") as refused:
                late.exec_driver_sql("SELECT 1")
            assert database.is_busy(refused.value)
    engine.dispose()


def test_ids_stand_in_the_order_in_which_they_were_given() -> None:
    """RFC 9562, 5.7 and 6.2: also within one millisecond, and whoever asks beside"""
    given: list[list[UUID]] = [[] for _ in range(4)]

    def ask(into: list[UUID]) -> None:
        into.extend(new_id() for _ in range(5000))

    threads = [threading.Thread(target=ask, args=(into,)) for into in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for ids in given:
        assert ids == sorted(ids)
    together = [one for ids in given for one in ids]
    assert len(set(together)) == 20_000
    assert {(one.version, one.variant) for one in together} == {(7, RFC_4122)}
    assert abs((together[0].int >> 80) / 1000 - time.time()) < 60
