"""Microsoft's Graph client for Node, unmodified, against the running program over https
(clients.md).
"""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.services import app_registrations, consent, graph_permissions
from tests import clients
from tests.journeys.cloud import Cloud, Registrar

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("trusting"),
    pytest.mark.xdist_group("graph clients"),
]


@pytest.fixture
def daemon(cloud: Cloud) -> dict[str, Any]:
    """A program that has been granted everything."""
    found = cloud.app("daemon")

    def grant(session: Session, actor: Actor) -> None:
        registered = app_registrations.by_app_id(session, actor, UUID(found["appId"]))
        graph = consent.graph_principal(session, actor)
        roles = tuple(graph_permissions.ROLES)
        consent.give_roles(session, actor, registered.principal, graph, roles)

    Registrar(cloud).run(grant)
    return found


def test_a_program_in_javascript_looks_after_a_guest(cloud: Cloud, daemon: dict[str, Any]) -> None:
    found = clients.converse(
        "graph.mjs", {"base": cloud.base, "daemon": daemon}, str, ca_file=cloud.ca_file
    )
    assert found["status"] == "PendingAcceptance"
    guest = {name: value for name, value in found["guest"].items() if "@" not in name}
    assert guest == {
        "userType": "Guest",
        "externalUserState": "PendingAcceptance",
        "department": "Buying",
    }
    assert found["filtered"] == ["Node Guest"]
    assert found["searched"] == ["Node Guest"]
    assert found["paged"] == found["different"] > 4
    assert found["members"] == [["#microsoft.graph.user", "Node Guest"]]
    assert found["assigned"] == ["Node Guest"]
    assert found["secret"] == 40
    assert {"Invite external user", "Update user", "Add user"} <= set(found["audit"])
    for name, status, code in (
        ("missing", 404, "Request_ResourceNotFound"),
        ("malformed", 400, "BadRequest"),
        ("gone", 404, "Request_ResourceNotFound"),
    ):
        assert found[name]["typed"], name
        assert (found[name]["statusCode"], found[name]["code"]) == (status, code)
        assert UUID(found[name]["requestId"])
    assert found["batch"] == [200, 404]
    assert found["back"] == "Node Guest"
    assert found["delta"] == ["Node Friend"]
