"""Registrations of the first kind come over: what was a public client goes on being one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.orm import Session

from b2b import database
from b2b.models import Application, Audience, Base, GroupClaims, TenantPolicy

BEFORE = "20261121_redeeming_in_full"
AT = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    database.prepare(made)
    yield made
    made.dispose()


def test_redirect_uris_go_to_their_platform(engine: Engine, database_url: str) -> None:
    """REL-14"""
    config = database.alembic_config(database_url)
    command.downgrade(config, BEFORE)
    known = {}
    for name in ("tenants", "applications", "tenant_policies"):
        known[name] = Table(name, MetaData(), autoload_with=engine)
        for column in known[name].columns:
            model_column = Base.metadata.tables[name].columns.get(column.name)
            if model_column is not None:
                column.type = model_column.type
    tenant_id = uuid4()
    with engine.begin() as connection:
        connection.execute(insert(known["tenants"]), {
            "id": tenant_id, "kind": "organisation", "display_name": "WoodGrove",
            "initial_domain": "w.example", "primary_domain": "w.example", "branding": {},
            "invitation_layout": "classic", "created_at": AT,
        })  # fmt: skip
        connection.execute(insert(known["tenant_policies"]), {
            "tenant_id": tenant_id, "allow_invites_from": "everyone", "domain_list": "off",
            "domains": [], "landing_pages": "anyHttps", "landing_hosts": [],
            "keep_typed_names": False, "drop_unsigned_messages": False,
        })  # fmt: skip
        for name, is_public in (("Device", True), ("Server", False)):
            connection.execute(insert(known["applications"]), {
                "tenant_id": tenant_id, "id": uuid4(), "app_id": uuid4(), "display_name": name,
                "is_public": is_public, "redirect_uris": [f"https://{name}.example/cb"],
                "created_at": AT,
            })  # fmt: skip
    command.upgrade(config, "head")
    with Session(engine) as session:
        found = {one.display_name: one for one in session.scalars(select(Application))}
        policy = session.get_one(TenantPolicy, tenant_id)
        device, server = found["Device"], found["Server"]
        assert (device.redirect_uris, device.public_redirect_uris) == (
            [], ["https://Device.example/cb"],
        )  # fmt: skip
        assert (server.redirect_uris, server.public_redirect_uris) == (
            ["https://Server.example/cb"], [],
        )  # fmt: skip
        for one in (device, server):
            assert one.sign_in_audience is Audience.THIS_ORGANISATION
            assert one.group_claims is GroupClaims.NONE
            assert (one.spa_redirect_uris, one.optional_claims, one.required_access) == ([], {}, [])
            assert not one.issues_id_tokens
        assert (policy.password_grant, policy.device_code_grant) == (False, True)
        assert (policy.proof_key_required, policy.users_may_consent) == (False, True)
    command.downgrade(config, BEFORE)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT display_name, redirect_uris FROM applications"))
        assert {name: "cb" in str(uris) for name, uris in rows} == {"Device": True, "Server": True}
