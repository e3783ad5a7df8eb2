"""The OpenAPI description against the program: each operation is answered, and whatever is sent,
nothing breaks (threats.md, API-3, API-5, API-6).
"""

import io
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from sqlalchemy.orm import Session

from b2b import worker
from b2b.actor import Actor
from b2b.models import Audience, Role
from b2b.services import app_registrations, sign_in_log
from b2b.web.graph import calls
from tests import factories
from tests.cast import Cast, acting
from tests.web.graph.conftest import EVENTUAL, Graph, World

REQUESTS = 5_000
ON_ANOTHER = 1_500
"""On the second database, whose SQL is the same but for its dialect."""
NOBODY = "00000000-0000-0000-0000-000000000000"
INVITER = "95e79109-95c0-4d8e-aee3-d01accf2d47b"
SKU = "84a661c4-e949-4bd2-a560-ed7766fcaf2b"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"


class Recorder:
    """Sends requests, and notes which operation of the description was answered how."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, str], Counter[int]] = {}
        self.sent = 0

    def send(
        self, graph: Graph, method: str, path: str, body: Any = None, **options: Any
    ) -> dict[str, Any]:
        """One request; its shape is checked by the client. The JSON of the answer."""
        response = graph.ask(method, path, body, **options)
        self.sent += 1
        bare = path.partition("?")[0]
        try:
            made, _ = calls.resolve(method, bare)
        except calls.GraphError:
            assert response.status_code >= 400, path
        else:
            told = self.answered.setdefault((method, f"/{made.pattern}"), Counter())
            told[response.status_code] += 1
        return dict(response.get_json(silent=True) or {})


def picture() -> bytes:
    """A small PNG."""
    made = io.BytesIO()
    Image.new("RGB", (24, 24), "navy").save(made, "PNG")
    return made.getvalue()


def person_named(name: str) -> dict[str, Any]:
    """Somebody to make."""
    return {
        "accountEnabled": True, "displayName": name, "mailNickname": name.lower(),
        "userPrincipalName": f"{name.lower()}@woodgrove.example", "usageLocation": "NL",
        "passwordProfile": {"password": "correct horse 4 " + name},
    }  # fmt: skip


def group_named(name: str, *, unified: bool = False) -> dict[str, Any]:
    """A group to make."""
    return {
        "displayName": name, "mailEnabled": unified, "mailNickname": name.lower(),
        "securityEnabled": not unified, "groupTypes": ["Unified"] if unified else [],
    }  # fmt: skip


def everything(
    say: Callable[..., dict[str, Any]], me: Callable[..., dict[str, Any]], cast: Cast
) -> dict[str, str]:
    """Write by every operation that writes; ids of what is left, by the names of keys."""

    def ref(one: Any) -> dict[str, str]:
        return {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{one}"}

    def group_of(path: str) -> str:
        return str(say("POST", "groups", group_named(path))["id"])

    # People.
    user = say("POST", "users", person_named("Vera"))["id"]
    other = say("POST", "users", person_named("Wim"))["id"]
    say("PATCH", f"users/{user}", {"jobTitle": "Buyer"})
    me("PATCH", "me", {"mobilePhone": "1", "usageLocation": "NL"})
    licence = {"addLicenses": [{"skuId": SKU}], "removeLicenses": []}
    say("POST", f"users/{user}/assignLicense", licence)
    me("POST", "me/assignLicense", licence)
    say("PUT", f"users/{user}/manager/$ref", ref(cast.john))
    say("PUT", f"users/{cast.john}/manager/$ref", ref(cast.adele))
    say("DELETE", f"users/{user}/manager/$ref")
    say("PUT", f"users/{user}/manager/$ref", ref(cast.john))
    for name, send in ((f"users/{user}", say), ("me", me)):
        for method in ("PUT", "PATCH"):
            send(method, f"{name}/photo/$value", data=picture(),
                 headers={"Content-Type": "image/png"})  # fmt: skip
        send("GET", f"{name}/photo")
        send("GET", f"{name}/photo/$value")
        send("DELETE", f"{name}/photo/$value")
        send("PUT", f"{name}/photo/$value", data=picture(), headers={"Content-Type": "image/png"})
        send("DELETE", f"{name}/photo")
    guest = say(
        "POST",
        "invitations",
        {"invitedUserEmailAddress": "sam@gmail.com", "inviteRedirectUrl": "https://x.example"},
    )["invitedUser"]
    say("POST", f"users/{guest['id']}/sponsors/$ref", ref(cast.adele))
    say("DELETE", f"users/{guest['id']}/sponsors/{cast.adele}/$ref")
    # Groups.
    group = group_of("Crew")
    say("PATCH", f"groups/{group}", {"description": "x"})
    for kind in ("members", "owners"):
        say("POST", f"groups/{group}/{kind}/$ref", ref(user))
        say("POST", f"groups/{group}/{kind}/$ref", ref(other))
        say("DELETE", f"groups/{group}/{kind}/{user}/$ref")
    say("DELETE", f"groups/{group_of('Gone')}")
    for place in (f"users/{user}", "me", f"directoryObjects/{user}"):
        send = me if place == "me" else say
        send("POST", f"{place}/checkMemberGroups", {"groupIds": [group]})
        send("POST", f"{place}/checkMemberObjects", {"ids": [group]})
        send("POST", f"{place}/getMemberGroups", {"securityEnabledOnly": False})
        send("POST", f"{place}/getMemberObjects", {"securityEnabledOnly": False})
    say("POST", "directoryObjects/getByIds", {"ids": [user, group]})
    # Applications.
    app = say("POST", "applications", {"displayName": "Orders"})
    second = say("POST", "applications", {"displayName": "Second"})["id"]
    say("PATCH", f"applications/{app['id']}", {"displayName": "Purchases"})
    key = say("POST", f"applications/{app['id']}/addPassword", {})["keyId"]
    say("POST", f"applications/{app['id']}/removePassword", {"keyId": key})
    principal = say("GET", f"servicePrincipals(appId='{app['appId']}')")["id"]
    graph = say("GET", f"servicePrincipals(appId='{GRAPH_APP}')")
    say("PATCH", f"servicePrincipals/{principal}", {"accountEnabled": True})
    for place in (f"applications/{app['id']}", f"servicePrincipals/{principal}"):
        say("POST", f"{place}/owners/$ref", ref(user))
        say("DELETE", f"{place}/owners/{user}/$ref")
    say("DELETE", f"applications/{second}")
    role = next(one["id"] for one in graph["appRoles"] if one["value"] == "Group.Create")
    assigned = f"servicePrincipals/{principal}/appRoleAssignedTo"
    places = ((f"users/{user}", user, principal, NOBODY),
              (f"groups/{group}", group, principal, NOBODY),
              (f"servicePrincipals/{principal}", principal, graph["id"], role))  # fmt: skip
    for place, who, resource, what in places:
        body = {"principalId": who, "resourceId": resource, "appRoleId": what}
        path = f"{place}/appRoleAssignments"
        one = say("POST", path, body)["id"]
        say("GET", f"{path}/{one}")
        say("DELETE", f"{path}/{one}")
        assignment = say("POST", path, body)["id"]
    body = {"principalId": other, "resourceId": principal, "appRoleId": NOBODY}
    one = say("POST", assigned, body)["id"]
    say("GET", f"{assigned}/{one}")
    say("DELETE", f"{assigned}/{one}")
    grant = {"clientId": principal, "consentType": "AllPrincipals", "resourceId": graph["id"],
             "scope": "User.Read"}  # fmt: skip
    one = say("POST", "oauth2PermissionGrants", grant)["id"]
    say("DELETE", f"oauth2PermissionGrants/{one}")
    granted = say("POST", "oauth2PermissionGrants", grant)["id"]
    say("PATCH", f"oauth2PermissionGrants/{granted}", {"scope": "User.Read openid"})
    # Roles.
    say("POST", f"directoryRoles/{INVITER}/members/$ref", ref(user))
    say("DELETE", f"directoryRoles/{INVITER}/members/{user}/$ref")
    holds = {"principalId": user, "roleDefinitionId": INVITER, "directoryScopeId": "/"}
    path = "roleManagement/directory/roleAssignments"
    say("DELETE", f"{path}/{say('POST', path, holds)['id']}")
    held = say("POST", path, holds)["id"]
    # The organisation.
    home = f"organization/{cast.woodgrove}"
    say("PATCH", home, {"preferredLanguage": "en"})
    for place in ("", "/localizations/0", "/localizations/default"):
        say("PATCH", f"{home}/branding{place}", {"backgroundColor": "#0b5a69"})
        for logo in ("bannerLogo", "squareLogo"):
            path = f"{home}/branding{place}/{logo}"
            say("PUT", path, data=picture(), headers={"Content-Type": "image/png"})
            say("GET", path)
            say("DELETE", path)
    for path in (
        "policies/authorizationPolicy",
        "policies/authorizationPolicy/authorizationPolicy",
    ):
        say("PATCH", path, {"allowInvitesFrom": "everyone"})
    requests = [{"id": "1", "method": "GET", "url": "/users"}]
    say("POST", "$batch", {"requests": requests})
    # What ends things comes last.
    team = say("POST", "groups", group_named("Team", unified=True))["id"]
    say("DELETE", f"directoryObjects/{team}")
    say("GET", f"directory/deletedItems/{team}")
    say("POST", f"directory/deletedItems/{team}/restore", {})
    say("DELETE", f"groups/{team}")
    say("DELETE", f"directory/deletedItems/{team}")
    say("DELETE", f"users/{other}")
    for action in ("revokeSignInSessions", "invalidateAllRefreshTokens"):
        say("POST", f"users/{user}/{action}")
        me("POST", f"me/{action}")
    event = say("GET", "auditLogs/directoryAudits?$top=1")["value"][0]["id"]
    sku = say("GET", "subscribedSkus")["value"][0]["id"]
    return {
        "user": user, "group": group, "application": app["id"], "principal": principal,
        "assignment": assignment, "grant": granted, "role": INVITER, "event": event,
        "object": user, "item": other, "organisation": str(cast.woodgrove), "sku": sku,
        "domain": "woodgrove.example", "cast": "microsoft.graph.user", "member": user,
        "owner": user, "sponsor": user, "held": held,
    }  # fmt: skip


_FILTERS = (
    "displayName eq 'x'", "startswith(displayName,'a')", "id eq 'x'", "not(displayName eq 'x')",
    "a/any(b:b eq 'c')", "createdDateTime ge 2020-01-01T00:00:00Z", "displayName in ('a','b')",
    "'", "(((((", "displayName eq null and userType eq 'Guest'", "x'; DROP TABLE users;--",
    "accountEnabled eq true or displayName ne 'é'", "identities/any(i:i/issuer eq 'x')",
    "status/errorCode eq 99999999999", "activityDateTime le 9999-12-31T23:59:59Z",
    "createdDateTime lt 0001-01-01T00:00:00Z", "targetResources/any(t:t/id eq 'x')",
)  # fmt: skip
_WORDS: tuple[Any, ...] = (
    "", "x", "'", "id", "displayName", "passwordHash", "*", "é\u202e", "9" * 400, "-1", "1",
    "../..", "%00", "null", "2020-02-30T00:00:00Z", "\ud7ff", "a b", "#", "{}",
)  # fmt: skip


class Monkey:
    """Makes requests from the description: some right, most of them wrong in one place or two."""

    def __init__(self, document: dict[str, Any], ids: dict[str, str], seed: int) -> None:
        self.any = random.Random(seed)
        self.ids = ids
        self.schemas = document["components"]["schemas"]
        self.operations = [
            (method.upper(), path.lstrip("/"), operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]

    def request(self, number: int) -> tuple[str, str, Any, dict[str, str]]:
        """Method, path, body and headers; operations come in turn."""
        method, path, operation = self.operations[number % len(self.operations)]
        query, headers = [], {}
        for one in operation["parameters"]:
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", self._key(one["name"], method))
            elif one["in"] == "header" and self.any.random() < 0.5:
                headers.update(EVENTUAL)
            elif one["in"] == "query" and self.any.random() < 0.25:
                query.append(f"{one['name']}={self._option(one['name'])}")
        content = operation.get("requestBody", {}).get("content", {})
        body = None
        if "application/json" in content:
            body = self._value(content["application/json"]["schema"], 0)
            if self.any.random() < 0.05:
                body = self.any.choice(([], "x", None, {"x": 1}, 1))
        return method, path + (f"?{'&'.join(query)}" if query else ""), body, headers

    def _key(self, name: str, method: str) -> str:
        # What is deleted can be asked nothing any more.
        if self.any.random() < (0.02 if method == "DELETE" else 0.75) and name in self.ids:
            return self.ids[name]
        return self.any.choice((NOBODY, "x", "é", "a'b", str(uuid4()), "appId='x'", "-"))

    def _option(self, name: str) -> str:
        if name == "$filter" and self.any.random() < 0.8:
            return self.any.choice(_FILTERS)
        known = {
            "$select": "id,displayName", "$orderby": "displayName desc", "$expand": "manager",
            "$search": '"displayName:ad"', "$top": "3", "$count": "true",
        }  # fmt: skip
        if name in known and self.any.random() < 0.5:
            return known[name]
        return str(self.any.choice(_WORDS)).replace("#", "").replace("%", "%25")

    def _value(self, schema: dict[str, Any], depth: int) -> Any:
        """A value of the schema, or one of another type now and then."""
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if depth > 4 or self.any.random() < 0.08:
            return self.any.choice((None, True, 7, 1.5, "x", [], {}, ["x"], {"x": None}))
        if "enum" in schema:
            return self.any.choice(schema["enum"])
        match schema.get("type"):
            case "array":
                count = self.any.randrange(3)
                return [self._value(schema["items"], depth + 1) for _ in range(count)]
            case "boolean":
                return self.any.random() < 0.5
            case "integer":
                return self.any.choice((0, 1, -1, 2**70))
            case "string" if schema.get("format") == "uuid":
                return self.any.choice((*self.ids.values(), NOBODY, str(uuid4())))
            case "string":
                return self.any.choice(_WORDS)
        required = set(schema.get("required", ()))
        return {
            name: self._value(one, depth + 1)
            for name, one in schema.get("properties", {}).items()
            if name in required or self.any.random() < 0.3
        }


@pytest.mark.long
def test_every_operation_is_answered_and_nothing_breaks(world: World, cast: Cast) -> None:
    """API-3, API-5, API-6"""
    recorder, daemon = Recorder(), world.program()

    def say(method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        return recorder.send(daemon, method, path, body, **options)

    def me(method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        return recorder.send(world.person(cast.john), method, path, body, **options)

    def signed_in(session: Session, actor: Actor) -> None:
        sign_in_log.record(
            session, cast.woodgrove, cast.john, identity="john.doe@woodgrove.example",
            method="password", application="My Apps", at=actor.now, correlation_id=uuid4(),
            ip_address=None, user_agent=None,
        )  # fmt: skip

    world.run(signed_in)
    open_to_others(world, cast, say)
    ids = everything(say, me, cast)
    [sign_in] = say("GET", "auditLogs/signIns?$top=1")["value"]
    say("GET", f"auditLogs/signIns/{sign_in['id']}")
    document = daemon.get("openapi.json")
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    for method, path in sorted(described):
        told = recorder.answered.get((method, path), Counter())
        if method != "GET" or any(status < 300 for status in told):
            continue
        filled = path.lstrip("/")
        if "roleAssignments" in path:
            filled = filled.replace("{assignment}", ids["held"])
        for name, value in ids.items():
            filled = filled.replace(f"{{{name}}}", value)
        if "memberof" in path.lower() or "owned" in path.lower():
            filled = filled.replace(ids["cast"], "microsoft.graph.group")
        send = me if path.startswith("/me") else say
        send("GET", filled, headers=EVENTUAL)
    silent = {
        operation: dict(recorder.answered.get(operation, {}))
        for operation in described
        if not any(status < 300 for status in recorder.answered.get(operation, ()))
    }
    assert silent == {}
    monkey, john = Monkey(document, ids, seed=7), world.person(cast.john)
    is_first = world.run(lambda session, _: session.get_bind().dialect.name) == "sqlite"
    wanted = REQUESTS if is_first else ON_ANOTHER
    for number in range(wanted - recorder.sent):
        method, path, body, headers = monkey.request(number)
        graph = john if number % 3 == 0 else daemon
        recorder.send(graph, method, path, body, headers=headers)
        if number % 60 == 0:
            # He signs himself out now and then.
            john = world.person(cast.john)
    assert recorder.sent >= wanted
    outcomes = sum(recorder.answered.values(), Counter())
    assert outcomes[200] > wanted / 10, outcomes
    assert outcomes[400] > wanted / 10, outcomes
    assert outcomes[401] < wanted / 5, outcomes
    assert len(json.dumps(document)) > 100_000


def open_to_others(world: World, cast: Cast, say: Callable[..., dict[str, Any]]) -> None:
    """An application of Contoso is taken in."""
    with world.app.app_context(), worker.transaction() as session:
        factories.give_role(session, cast.contoso, cast.otto, Role.APPLICATION_ADMINISTRATOR,
                            world.clock.now)  # fmt: skip
        otto = acting(session, cast.contoso, cast.otto, world.clock.now)
        facts = app_registrations.Facts(audience=Audience.ORGANISATIONS)
        shared = app_registrations.register(session, otto, "Shared", facts)
        app_id: UUID = shared.registration.app_id
    taken = say("POST", "servicePrincipals", {"appId": str(app_id)})["id"]
    say("DELETE", f"servicePrincipals/{taken}")
