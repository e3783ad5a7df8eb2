"""An application that is registered, and a database that is busy, for whoever needs one."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from b2b import worker
from b2b.models import Platform
from b2b.services import app_credentials, app_registrations, consent
from b2b.services.app_registrations import Facts
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.web.surveys import NATIVE, SPA, WEB, Lock, Surveys


@pytest.fixture
def surveys(app: Flask, cast: Cast, clock: Clock) -> Surveys:
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(
            session, john, "Surveys",
            Facts({Platform.WEB: [WEB], Platform.SPA: [SPA], Platform.PUBLIC: [NATIVE]}),
        )  # fmt: skip
        row, secret = app_credentials.add_secret(
            session, john, made.registration.id, expires_at=clock.now + timedelta(days=700)
        )
        graph = consent.graph_principal(session, john)
        consent.grant(session, john, made.principal, graph, ["User.Read"])
        consent.give_roles(session, john, made.principal, graph, ["User.Read.All"])
        return Surveys(
            app, cast, clock, str(made.registration.app_id), made.registration.id, secret, row.id
        )


@pytest.fixture
def lock(database_url: str) -> Lock:
    """Another process that writes: nobody else may meanwhile."""

    @contextmanager
    def held() -> Iterator[None]:
        engine = create_engine(database_url)
        try:
            with engine.connect() as connection:
                if connection.dialect.name == "sqlite":
                    raw = connection.connection.driver_connection
                    assert raw is not None
                    raw.isolation_level = None
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    tables = "attempts, audit_sequences, sessions, invitations, users, device_codes"
                    connection.execute(text(f"LOCK TABLE {tables} IN EXCLUSIVE MODE"))
                yield
                connection.rollback()
        finally:
            engine.dispose()

    return held
