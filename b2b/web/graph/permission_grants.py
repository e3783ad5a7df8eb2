"""What programs may do in people's name: `/oauth2PermissionGrants`."""

from typing import Any
from uuid import UUID

from sqlalchemy import case, select

from b2b.models import EVERYBODY, ConsentType, PermissionGrant
from b2b.services import applications, consent, owners
from b2b.web.graph import access, listing, resources, seeing, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, GraphError, bad, route
from b2b.web.graph.listing import Source
from b2b.web.graph.people import meant
from b2b.web.graph.resources import GUID, STRING, Filter, Kind, Property
from b2b.web.graph.service_principals import meant as principal_meant

CODE = "Request_BadRequest"


def _id(name: str, column: Any, **facts: Any) -> Property:
    how = Filter(column, frozenset({"eq", "in"}), frozenset({"ne", "not"}), compares=GUID)
    return Property(name, STRING, column, default=True, filter=how, **facts)


_CONSENT = case(
    (PermissionGrant.principal_id == EVERYBODY, str(ConsentType.EVERYBODY)),
    else_=str(ConsentType.ONE),
)

GRANT = resources.kind(
    Kind(
        "oAuth2PermissionGrant",
        "oauth2PermissionGrants",
        PermissionGrant,
        resources.table(
            Property("id", STRING, PermissionGrant.id, default=True, order=PermissionGrant.id),
            _id("clientId", PermissionGrant.client_id),
            Property("consentType", STRING, default=True,
                     columns=(PermissionGrant.principal_id,),
                     read=lambda row: str(ConsentType.EVERYBODY if row.principal_id == EVERYBODY
                                          else ConsentType.ONE),
                     filter=Filter(_CONSENT, frozenset({"eq"}))),
            _id("principalId", PermissionGrant.principal_id,
                read=lambda row: None if row.principal_id == EVERYBODY
                else str(row.principal_id)),
            _id("resourceId", PermissionGrant.resource_id),
            Property("scope", STRING, PermissionGrant.scope, default=True, write="scope"),
        ),
        order="id",
    )
)  # fmt: skip


@route(
    "GET",
    "oauth2PermissionGrants",
    needs=access.READ_GRANTS,
    returns="Collection(oAuth2PermissionGrant)",
)
@route(
    "GET",
    "users/{user}/oauth2PermissionGrants",
    "me/oauth2PermissionGrants",
    "servicePrincipals/{principal}/oauth2PermissionGrants",
    needs=access.READ_GRANTS,
    returns="Collection(oAuth2PermissionGrant)",
)
def list_grants(call: Call) -> Answer:
    """What programs may do in people's name; of somebody, or of one program.

    Guests see what is for everybody and for themselves (groups-apps-roles.md, section 5).
    """
    conditions = [PermissionGrant.tenant_id == call.actor.tenant_id]
    if not seeing.sees_directory(call):
        conditions.append(PermissionGrant.principal_id.in_([EVERYBODY, call.actor.user_id]))
    if "principal" in call.params:
        conditions.append(PermissionGrant.client_id == principal_meant(call).id)
    elif "user" in call.params or call.path.lower().startswith("me/"):
        conditions.append(PermissionGrant.principal_id == meant(call).id)
    return listing.collection(call, Source(GRANT, conditions))


@route(
    "GET",
    "oauth2PermissionGrants/{grant}",
    needs=access.READ_GRANTS,
    returns="oAuth2PermissionGrant",
)
def get_grant(call: Call) -> Answer:
    """One grant."""
    found = consent.one_grant(call.session, call.actor, call.id("grant"))
    if found.principal_id not in (EVERYBODY, call.actor.user_id):
        seeing.require_directory(call)
    return listing.entity(call, GRANT, found)


@route(
    "POST",
    "oauth2PermissionGrants",
    needs=access.CHANGE_GRANTS,
    takes="oAuth2PermissionGrant",
    returns="oAuth2PermissionGrant",
)
def create_grant(call: Call) -> Answer:
    """Let a program do something in the name of one person, or of everybody."""
    body = call.body()
    values.only("oAuth2PermissionGrant", body, "clientId", "consentType", "principalId",
                "resourceId", "scope", "expiryTime", "startTime")  # fmt: skip
    client = applications.get(
        call.session, call.actor, values.identifier(body.get("clientId"), "clientId")
    )
    resource = applications.get(
        call.session, call.actor, values.identifier(body.get("resourceId"), "resourceId")
    )
    principal_id = _for_whom(call, body)
    scope = values.text(body, "scope", required=True, code=CODE) or ""
    if not scope.split():
        raise bad("scope names one permission or more.", target="scope")
    held = select(PermissionGrant.id).where(
        PermissionGrant.tenant_id == call.actor.tenant_id,
        PermissionGrant.client_id == client.id,
        PermissionGrant.resource_id == resource.id,
        PermissionGrant.principal_id == principal_id,
    )
    if call.session.scalar(held) is not None:
        raise GraphError(
            409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists."
        )
    made = consent.grant(
        call.session, call.actor, client, resource, scope.split(), principal_id=principal_id
    )
    answer = listing.entity(call, GRANT, made, status=201)
    location = {"Location": f"{call.root}/oauth2PermissionGrants/{made.id}"}
    return Answer(201, answer.body, headers=location)


def _for_whom(call: Call, body: dict[str, Any]) -> UUID:
    said = values.text(body, "consentType", required=True, code=CODE)
    if said not in set(ConsentType):
        raise bad("consentType is AllPrincipals or Principal.", target="consentType")
    if said == ConsentType.EVERYBODY:
        if body.get("principalId") is not None:
            raise bad("A grant for everybody has no principalId.", target="principalId")
        return EVERYBODY
    wanted = values.identifier(body.get("principalId"), "principalId")
    return owners.somebody(call.session, call.actor, wanted).id


@route(
    "PATCH",
    "oauth2PermissionGrants/{grant}",
    needs=access.CHANGE_GRANTS,
    takes="oAuth2PermissionGrant",
)
def update_grant(call: Call) -> Answer:
    """Say anew what a program may do in people's name."""
    wanted = values.changes(GRANT, call.body())
    if wanted:
        scope = (wanted["scope"] or "").split()
        consent.set_scope(call.session, call.actor, call.id("grant"), scope)
    return NO_CONTENT


@route("DELETE", "oauth2PermissionGrants/{grant}", needs=access.CHANGE_GRANTS)
def delete_grant(call: Call) -> Answer:
    """Take back what a program may do in people's name."""
    consent.withdraw(call.session, call.actor, call.id("grant"))
    return NO_CONTENT
