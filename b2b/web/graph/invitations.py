"""Invitations in all their forms (invitations.md): created, and nothing else."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from b2b import links
from b2b.models import ExternalUserState, Invitation, Made, User, UserType, fold
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import conversions, invitation_handling, invitations, redemption_reset
from b2b.web.graph import access, creations, resources, values
from b2b.web.graph.calls import Answer, Call, bad, missing, route
from b2b.web.graph.resources import BOOLEAN, STRING, Kind, Property

_CODE = "BadRequest"
_REFUSALS = {"Invalid": (400, _CODE), "Denied": (403, "Forbidden"), "Conflict": (400, _CODE)}
_MESSAGE_INFO = {"messageLanguage", "ccRecipients", "customizedMessageBody"}

INVITATION = resources.kind(
    Kind(
        "invitation",
        "invitations",
        Invitation,
        resources.table(
            Property("id", STRING, default=True),
            Property("inviteRedeemUrl", STRING, default=True),
            Property("invitedUserDisplayName", STRING, default=True, write="display_name"),
            Property("invitedUserType", STRING, default=True, write="user_type"),
            Property("invitedUserEmailAddress", STRING, default=True, write="address"),
            Property("sendInvitationMessage", BOOLEAN, default=True, write="send_message"),
            Property("resetRedemption", BOOLEAN, default=True, write="reset"),
            Property("inviteRedirectUrl", STRING, default=True, write="redirect_url"),
            Property("status", STRING, default=True),
            Property("invitedUserMessageInfo", "graph.invitedUserMessageInfo", default=True,
                     write="message_info"),
            Property("invitedUser", "graph.user", default=True, write="user"),
            Property("invitedUserSponsors", "Collection(graph.directoryObject)",
                     write="sponsors"),
            Property("invitedToGroups", "Collection(graph.group)", write="groups"),
        ),
        order="id",
    )
)  # fmt: skip


@route(
    "POST", "invitations", needs=access.INVITE, takes="invitation", returns="invitation",
    refusals=_REFUSALS,
)  # fmt: skip
def invite(call: Call) -> Answer:
    """Invite somebody, convert a user of this directory, or reset a redemption."""
    body = call.body()
    facts, address = _facts(call, body)
    user_id = _invited_user(body)
    reset = bool(values.flag(body, "resetRedemption", code=_CODE))
    again = creations.known(call, Made.INVITATION)
    if again is None:
        again = _invite(call, body, facts, address, user_id, reset)
        creations.remember(call, Made.INVITATION, again)
    return Answer(201, _told(call, again, reset))


def _invite(
    call: Call,
    body: Mapping[str, Any],
    facts: dict[str, Any],
    address: str,
    user_id: UUID | None,
    reset: bool,
) -> UUID:
    """Do it; returns whom it is about."""
    session, actor = call.session, call.actor
    if reset:
        if user_id is None:
            raise bad(
                "resetRedemption needs invitedUser with an id.", target="invitedUser", code=_CODE
            )
        redemption_reset.reset(
            session,
            actor,
            user_id,
            address=address,
            send_message=facts["send_message"],
            redirect_url=facts["redirect_url"],
            message=facts["message"],
            language=facts["language"],
        )
        return user_id
    if user_id is not None:
        user = session.get(User, (actor.tenant_id, user_id))
        if user is None:
            raise missing(user_id)
        if user.creation_type != "Invitation":
            # Type and name stay (invitations.md, section 7), and a group is joined by itself.
            kept = {"redirect_url", "message", "language", "send_message", "cc_address",
                    "cc_name", "sponsor_ids"}  # fmt: skip
            conversions.convert(
                session, actor, user_id, address=address,
                **{name: fact for name, fact in facts.items() if name in kept},
            )  # fmt: skip
            return user_id
        known = [one.key for one in redemption_reset.choices(user, _of(call, user))]
        if fold(address.strip()) not in known:
            raise bad(
                "invitedUser is somebody else than the one with this address.",
                target="invitedUser",
                code=_CODE,
            )
    return invitations.invite(session, actor, address=address, **facts).user_id


def _of(call: Call, user: User) -> Invitation:
    found = invitation_handling.of_user(call.session, call.actor, user.id)
    if found is None:
        raise missing(user.id)
    return found


def _facts(call: Call, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The request as services take it, and the address. Raises GraphError."""
    for name in values.own_names(body):
        known = INVITATION.properties.get(name.partition("@")[0])
        if known is None or (name == "invitedToGroups" and call.version != "beta"):
            raise values.unknown("invitation", name, code=_CODE)
    address = values.text(body, "invitedUserEmailAddress", required=True, code=_CODE)
    redirect = values.text(body, "inviteRedirectUrl", required=True, code=_CODE)
    info = values.part(body, "invitedUserMessageInfo", code=_CODE)
    for name in values.own_names(info):
        if name not in _MESSAGE_INFO:
            raise values.unknown("invitedUserMessageInfo", name, code=_CODE)
    kind = values.text(body, "invitedUserType", code=_CODE) or "Guest"
    if kind not in ("Guest", "Member"):
        raise bad("invitedUserType is Guest or Member.", target="invitedUserType", code=_CODE)
    cc_address, cc_name = _copy(info)
    assert address is not None
    return {
        "redirect_url": redirect,
        "display_name": values.text(body, "invitedUserDisplayName", code=_CODE),
        "message": values.text(info, "customizedMessageBody", code=_CODE),
        "language": values.text(info, "messageLanguage", code=_CODE),
        "send_message": bool(values.flag(body, "sendInvitationMessage", code=_CODE)),
        "user_type": UserType(kind),
        "cc_address": cc_address,
        "cc_name": cc_name,
        "sponsor_ids": _ids(body, "invitedUserSponsors"),
        "group_ids": _ids(body, "invitedToGroups"),
    }, address


def _copy(info: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Address and name of the one who gets a copy; entries without an address are none
    (invitations.md, section 2).
    """
    found = []
    for item in values.items(info, "ccRecipients", code=_CODE):
        if not isinstance(item, dict):
            raise bad("ccRecipients holds objects.", target="ccRecipients", code=_CODE)
        one = values.part(item, "emailAddress", code=_CODE)
        address = values.text(one, "address", code=_CODE)
        if address:
            found.append((address, values.text(one, "name", code=_CODE)))
    if len(found) > 1:
        raise bad("Only one person can get a copy.", target="ccRecipients", code=_CODE)
    return found[0] if found else (None, None)


def _invited_user(body: Mapping[str, Any]) -> UUID | None:
    part = values.part(body, "invitedUser", code=_CODE)
    if part.get("id") is None:
        return None
    return values.identifier(part["id"], "invitedUser", code=_CODE)


def _ids(body: Mapping[str, Any], name: str) -> list[UUID]:
    """Objects as `{"id": …}`, or bound by their addresses."""
    found = []
    for item in values.items(body, name, code=_CODE):
        if not isinstance(item, dict):
            raise bad(f"{name} holds objects with an id.", target=name, code=_CODE)
        found.append(values.identifier(item.get("id"), name, code=_CODE))
    for item in values.items(body, f"{name}@odata.bind", code=_CODE):
        found.append(values.identifier(values.reference(item, name)[1], name, code=_CODE))
    return found


_AS_IT_STANDS = Prepared(
    select(
        Invitation.id,
        Invitation.version,
        Invitation.key_id,
        Invitation.invited_display_name,
        Invitation.invited_address,
        Invitation.send_message,
        Invitation.redirect_url,
        Invitation.language,
        Invitation.message,
        Invitation.cc_name,
        Invitation.cc_address,
        User.user_type,
        User.external_user_state,
    )
    .join(User, (User.tenant_id == Invitation.tenant_id) & (User.id == Invitation.user_id))
    .where(
        Invitation.tenant_id == bindparam("tenant_id", type_=Id),
        Invitation.user_id == bindparam("user_id", type_=Id),
    )
)


def _told(call: Call, user_id: UUID, reset: bool) -> dict[str, Any]:
    """The invitation as it stands, in the published order (invitations.md, section 4)."""
    tenant_id = call.actor.tenant_id
    rows = _AS_IT_STANDS.within(call.session, tenant_id=tenant_id, user_id=user_id)
    if not rows:
        raise missing(user_id)
    [found] = rows
    is_pending = found.external_user_state is ExternalUserState.PENDING_ACCEPTANCE
    return {
        "@odata.context": call.context("invitations/$entity"),
        "id": str(found.id),
        "inviteRedeemUrl": links.redeem_url(tenant_id, found.id, found.version, found.key_id),
        "invitedUserDisplayName": found.invited_display_name,
        "invitedUserType": str(found.user_type),
        "invitedUserEmailAddress": found.invited_address,
        "sendInvitationMessage": found.send_message,
        "resetRedemption": reset,
        "inviteRedirectUrl": found.redirect_url,
        "status": "PendingAcceptance" if is_pending else "Completed",
        "invitedUserMessageInfo": {
            "messageLanguage": found.language,
            "customizedMessageBody": found.message,
            "ccRecipients": [
                {"emailAddress": {"name": found.cc_name, "address": found.cc_address}}
            ],
        },
        "invitedUser": {"id": str(user_id)},
    }
