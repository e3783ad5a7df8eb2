"""Snapshots of all directories: files of rows, put back while the program runs.

What belongs to the installation rather than to a directory stays as it is: root keys, signing keys,
the moved clock and faults, and captured mail. Sessions are those of the snapshot.
"""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select, text, update
from sqlalchemy.orm import Session

from b2b import backup, clock, demo, links, operations
from b2b.backup import Archive, BackupRefused
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import (
    DoubleSettings,
    FaultRule,
    Job,
    JobState,
    MailState,
    OutboxMessage,
    SigningKey,
    Tenant,
    UserFacet,
)
from b2b.services import test_double

START = "start"
"""The demo as it was made; `reset` goes back to it."""
MOST = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_STAYS: frozenset[Table] = frozenset(
    {DoubleSettings.__table__, FaultRule.__table__, SigningKey.__table__}  # type: ignore[arg-type]
)


@dataclass(frozen=True)
class Snapshot:
    """One that was taken; `made_at` is by the clock of its time, moved or not."""

    name: str
    made_at: datetime
    size: int
    """Bytes."""


def _folder(config: Mapping[str, Any]) -> Path:
    folder: Path = config["DATA_DIR"] / "snapshots"
    return folder


def _path(config: Mapping[str, Any], name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise Invalid("name", N_("A name has small letters, digits, dots and dashes: 64 at most."))
    return _folder(config) / f"{name}.zip"


def taken(config: Mapping[str, Any]) -> list[Snapshot]:
    """All snapshots, the newest first."""
    folder = _folder(config)
    found = []
    for path in folder.glob("*.zip") if folder.exists() else ():
        with closing(Archive(path)) as archive:
            found.append(Snapshot(path.stem, archive.made_at, path.stat().st_size))
    return sorted(found, key=lambda one: (one.made_at, one.name), reverse=True)


def take(config: Mapping[str, Any], name: str) -> Snapshot:
    """Keep all directories as they are now; one of the same name is replaced.

    Raises Invalid("name"), Conflict.
    """
    path = _path(config, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists() and len(list(path.parent.glob("*.zip"))) >= MOST:
        raise Conflict(N_("There are %(most)s snapshots already; delete some."), most=MOST)
    backup.make(
        path,
        [operations.directory_store(moved=True)],
        {},
        now=clock.now(),
        facts={
            "key_ids": links.keyring().ids,
            "base_url": config["BASE_URL"],
            "offset": (clock.now() - clock.unmoved()) / timedelta(milliseconds=1),
        },
        progress=lambda _name, _rows: None,
    )
    with closing(Archive(path)) as archive:
        return Snapshot(name, archive.made_at, path.stat().st_size)


def delete(config: Mapping[str, Any], name: str) -> None:
    """Throw a snapshot away. Raises Invalid("name"), NotFound."""
    path = _path(config, name)
    if not path.exists():
        raise NotFound(N_("There is no snapshot %(name)s."), name=name)
    path.unlink()


def restore(config: Mapping[str, Any], session: Session, name: str) -> None:
    """Put all directories back, in the transaction of *session*; the caller rings (state.telling).

    Raises Invalid("name"), NotFound, and Conflict for one that was taken under another schema.
    """
    path = _path(config, name)
    if not path.exists():
        raise NotFound(N_("There is no snapshot %(name)s."), name=name)
    store = operations.directory_store(moved=True)
    connection = session.connection()
    with closing(Archive(path)) as archive:
        offset = timedelta(milliseconds=float(archive.facts.get("offset", 0)))
        address = str(archive.facts.get("base_url", config["BASE_URL"]))
        if connection.dialect.name == "postgresql":
            # Nobody writes meanwhile; whoever reads sees the one state or the other.
            names = ", ".join(f'"{one.name}"' for one in store.tables)
            connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
        known = _facets(connection)
        try:
            backup.put_back(archive, store, connection, stays=_STAYS)
        except BackupRefused:
            raise Conflict(
                N_("The snapshot %(name)s was taken by another version of this program."),
                name=name,
            ) from None
        _keep_facets(connection, known)
    _release(connection)
    if name == START:
        _as_sent(connection)
    session.expire_all()
    demo.move_addresses(session, config["DATA_DIR"], address, config["BASE_URL"])
    behind = (clock.now() - clock.unmoved()) - offset
    if behind < timedelta(0):
        test_double.move_waiting(session, behind)


def _facets(connection: Connection) -> set[tuple[Any, int]]:
    rows = connection.execute(select(UserFacet.tenant_id, UserFacet.facet))
    return {(row.tenant_id, row.facet) for row in rows}


def _keep_facets(connection: Connection, known: set[tuple[Any, int]]) -> None:
    """Processes remember which facets are there and never write them again."""
    there = set(connection.scalars(select(Tenant.id)))
    missing = [
        {"tenant_id": tenant_id, "facet": facet}
        for tenant_id, facet in known - _facets(connection)
        if tenant_id in there
    ]
    if missing:
        connection.execute(insert(UserFacet), missing)


def _as_sent(connection: Connection) -> None:
    """What the demo owed when it was made went out then; once is enough."""
    connection.execute(
        update(OutboxMessage)
        .where(OutboxMessage.state == MailState.QUEUED)
        .values(
            state=MailState.SENT, settled_at=clock.now(), attempts=1, fence=OutboxMessage.fence + 1
        )
    )


def _release(connection: Connection) -> None:
    """No worker holds what it held when the snapshot was taken."""
    now = clock.now()
    connection.execute(
        update(OutboxMessage)
        .where(OutboxMessage.state == MailState.QUEUED, OutboxMessage.lease_owner.is_not(None))
        .values(lease_owner=None, due_at=now, fence=OutboxMessage.fence + 1)
    )
    connection.execute(
        update(Job)
        .where(Job.state == JobState.WAITING, Job.lease_owner.is_not(None))
        .values(lease_owner=None, due_at=now, fence=Job.fence + 1)
    )
