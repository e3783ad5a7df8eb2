"""The audit and sign-in logs over Graph (audit-reporting.md)."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from b2b.services import sign_in_log
from tests.cast import Cast
from tests.web.graph.conftest import Graph, World

AUDITS = "auditLogs/directoryAudits"
SIGN_INS = "auditLogs/signIns"


def activities(graph: Graph, asked: str) -> list[str]:
    """Names of what a filter finds, the newest first."""
    found = graph.all(f"{AUDITS}?$filter={asked}&$top=2")
    return [one["activityDisplayName"] for one in found]


def test_an_event_says_who_did_what_to_whom(world: World, cast: Cast) -> None:
    john = world.person(cast.john)
    john.patch(f"users/{cast.adele}", {"jobTitle": "Buyer"})
    [one] = john.get(f"{AUDITS}?$top=1")["value"]
    assert one["activityDisplayName"] == "Update user"
    assert one["category"] == "UserManagement"
    assert one["loggedByService"] == "Core Directory"
    assert one["operationType"] == "Update"
    assert one["result"] == "success"
    assert one["initiatedBy"]["app"] is None
    assert one["initiatedBy"]["user"]["id"] == str(cast.john)
    assert one["initiatedBy"]["user"]["userPrincipalName"] == "john.doe@woodgrove.example"
    [target] = one["targetResources"]
    assert target["id"] == str(cast.adele)
    assert (target["type"], target["userPrincipalName"]) == (
        "User",
        "adele.vance@woodgrove.example",
    )
    assert [c["newValue"] for c in target["modifiedProperties"]] == ["Buyer"]
    assert john.get(f"{AUDITS}/{one['id']}")["activityDisplayName"] == "Update user"
    assert [e["id"] for e in john.all(f"{AUDITS}?$filter=id eq '{one['id']}'")] == [one["id"]]
    assert john.all(f"{AUDITS}?$filter=id eq 'x'") == []
    for wrong in ("x", "Directory_1", f"Directory_{uuid4()}_1", "9" * 30):
        john.get(f"{AUDITS}/{wrong}", status=404)


def test_events_are_filtered_as_the_reference_lists(world: World, cast: Cast) -> None:
    daemon, john = world.program(), world.person(cast.john)
    before = world.clock.now
    world.clock.advance(minutes=10)
    john.patch(f"users/{cast.adele}", {"jobTitle": "Buyer"})
    john.post("groups", {"displayName": "Crew", "mailEnabled": False, "mailNickname": "crew",
                         "securityEnabled": True})  # fmt: skip
    at = f"{before + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S.0000000Z}"
    recent = f"activityDateTime ge {at}"
    assert activities(daemon, recent)[-2:] == ["Add group", "Update user"]
    assert activities(daemon, f"{recent} and category eq 'UserManagement'") == ["Update user"]
    assert activities(daemon, "activityDisplayName eq 'Update user'") == ["Update user"]
    assert activities(daemon, f"startswith(activityDisplayName,'update') and {recent}") == [
        "Update user"
    ]
    assert activities(daemon, f"targetResources/any(t:t/id eq '{cast.adele}') and {recent}") == [
        "Update user"
    ]
    assert activities(
        daemon, f"targetResources/any(t:startswith(t/displayName,'cre')) and {recent}"
    )[-1:] == ["Add group"]
    by_john = f"initiatedBy/user/id eq '{cast.john}' and {recent}"
    assert activities(daemon, by_john)[-1] == "Update user"
    named = "initiatedBy/user/userPrincipalName eq 'John.Doe@woodgrove.example'"
    assert activities(daemon, f"{named} and {recent}")[-1] == "Update user"
    assert activities(daemon, f"initiatedBy/app/displayName eq 'Onboarding' and {recent}") == []
    assert activities(daemon, f"loggedByService eq 'Invited Users' and {recent}") == []
    [event] = daemon.get(f"{AUDITS}?$top=1")["value"]
    together = activities(daemon, f"correlationId eq {event['correlationId']}")
    assert "Add group" in together
    assert "Update user" not in together
    oldest = daemon.get(f"{AUDITS}?$orderby=activityDateTime&$top=1")["value"][0]
    assert oldest["activityDisplayName"] == "Create company"
    asc = [one["id"] for one in daemon.all(f"{AUDITS}?$orderby=activityDateTime asc&$top=4")]
    desc = [one["id"] for one in daemon.all(f"{AUDITS}?$top=3")]
    assert asc == desc[::-1]
    assert len(asc) == len(set(asc)) > 8


def test_what_logs_do_not_answer_is_named(daemon: Graph) -> None:
    """API-3"""
    for asked in ("$filter=colour eq 'x'", "$filter=result gt 'x'", "$filter=initiatedBy eq 'x'",
                  "$filter=initiatedBy/user/shoe eq 'x'", "$orderby=category", "$skip=1",
                  "$filter=targetResources/any(t:t/shoe eq 'x')", "$skiptoken=x",
                  "$filter=activityDateTime eq 'x'", "$search=\"a:b\""):  # fmt: skip
        for path in (AUDITS, SIGN_INS):
            assert daemon.get(f"{path}?{asked}", status=400)["error"]["message"]


def test_logs_are_for_those_who_may_read_them(world: World, cast: Cast) -> None:
    """API-2"""
    for path in (AUDITS, SIGN_INS):
        for asker in (
            world.program("User.Read.All"),
            world.person(cast.adele, "AuditLog.Read.All"),
            world.person(cast.john, "User.Read"),
        ):
            refused = asker.get(path, status=403)
            assert refused["error"]["code"] == "Authorization_RequestDenied"
        for asker in (
            world.program("AuditLog.Read.All"),
            world.person(cast.john, "AuditLog.Read.All"),
        ):
            assert isinstance(asker.get(path)["value"], list)


def test_sign_ins_are_listed_and_filtered(world: World, daemon: Graph, cast: Cast) -> None:
    def signed_in(session: Any, actor: Any) -> None:
        for number, code in enumerate((0, 50126, 0)):
            sign_in_log.record(
                session, cast.woodgrove, cast.adele, identity="Adele@Home.example",
                method="password", application="My Apps", at=actor.now + timedelta(hours=number),
                correlation_id=uuid4(), ip_address="192.0.2.7", user_agent="Firefox",
                app_id=cast.projects, code=code, reason="Wrong password." if code else None,
            )  # fmt: skip

    world.run(signed_in)
    found = daemon.all(f"{SIGN_INS}?$top=2")
    # Made within one millisecond, they stand in any order.
    assert sorted(one["status"]["errorCode"] for one in found) == [0, 0, 50126]
    assert found[0]["userPrincipalName"] == "adele@home.example"
    assert found[0]["userDisplayName"] == "Adele Vance"
    assert (found[0]["clientAppUsed"], found[0]["isInteractive"]) == ("Browser", True)
    at = f"{world.clock.now + timedelta(minutes=90):%Y-%m-%dT%H:%M:%SZ}"
    for asked, count in (
        ("status/errorCode eq 50126", 1),
        ("status/errorCode ne 0", None),
        (f"userId eq '{cast.adele}'", 3),
        (f"userId eq '{cast.john}'", 0),
        (f"createdDateTime ge {at}", 1),
        (f"createdDateTime le {at} and status/errorCode eq 0", 1),
        ("startswith(userPrincipalName,'adele@')", 3),
        (f"appId eq '{cast.projects}'", 3),
        ("appDisplayName eq 'My Apps'", 3),
        ("ipAddress eq '192.0.2.7'", 3),
        ("signInEventTypes/any(t:t eq 'interactiveUser')", 3),
        ("signInEventTypes/any(t:t eq 'servicePrincipal')", 0),
    ):
        if count is None:
            daemon.get(f"{SIGN_INS}?$filter={asked}", status=400)
        else:
            assert len(daemon.all(f"{SIGN_INS}?$filter={asked}&$top=2")) == count, asked
    [refused] = [one for one in found if one["status"]["errorCode"]]
    one = daemon.get(f"{SIGN_INS}/{refused['id']}")
    assert one["status"]["failureReason"] == "Wrong password."
    daemon.get(f"{SIGN_INS}/{uuid4()}", status=404)
