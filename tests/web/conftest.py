"""An application that is registered, for whoever needs one."""

from datetime import timedelta

import pytest
from flask import Flask

from b2b import worker
from b2b.models import (
    Platform,
)
from b2b.services import (
    app_credentials,
    app_registrations,
    consent,
)
from b2b.services.app_registrations import Facts
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.web.surveys import NATIVE, SPA, WEB, Surveys


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
