"""Fixtures for pytest, found by it wherever the wheel is installed.

`b2b_program` starts once for a run; the others begin each test with the directories, the clock and
the mail as they were at its start. A project overrides `b2b_settings` to start it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from b2b.testing.mailbox import Mailbox
from b2b.testing.program import Program
from b2b.testing.tools import Clock, Faults, Snapshots

if TYPE_CHECKING:
    import httpx


@pytest.fixture(scope="session")
def b2b_settings() -> Mapping[str, Any]:
    """Settings of the program that differ from what suits tests."""
    return {}


@pytest.fixture(scope="session")
def b2b_program(
    b2b_settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The whole program on free ports, with its data in a temporary folder."""
    with Program(tmp_path_factory.mktemp("b2b"), b2b_settings) as program:
        yield program


@pytest.fixture
def directory(b2b_program: Program) -> Program:
    """The program as it was at its start: directories, clock, faults and mail."""
    b2b_program.reset()
    return b2b_program


@pytest.fixture
def mailbox(directory: Program) -> Mailbox:
    """Captured mail."""
    return Mailbox(directory)


@pytest.fixture
def clock(directory: Program) -> Clock:
    """The program's movable clock."""
    return Clock(directory)


@pytest.fixture
def faults(directory: Program) -> Faults:
    """Faults on demand."""
    return Faults(directory)


@pytest.fixture
def snapshot(directory: Program) -> Snapshots:
    """Snapshots of all directories."""
    return Snapshots(directory)


@pytest.fixture
def graph(directory: Program) -> Iterator[httpx.Client]:
    """A client for /v1.0 with the token of the demo's daemon, which has every permission."""
    import httpx

    with httpx.Client(
        base_url=f"{directory.base_url}/v1.0/",
        headers={"Authorization": f"Bearer {directory.token()}"},
        verify=True if directory.ca_file is None else directory.trust(),
        trust_env=False,
    ) as client:
        yield client
