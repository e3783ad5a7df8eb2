"""The portal's first page: who waits, who came, what to do next."""

from flask import render_template
from flask.typing import ResponseReturnValue

from b2b.extensions import db
from b2b.models import ExternalUserState, UserType
from b2b.services import (
    invitation_listing,
    paging,
    permissions,
    policies,
    sign_in_listing,
    user_listing,
    users,
)
from b2b.services.invitation_states import InvitationState
from b2b.services.permissions import Action
from b2b.services.user_listing import Filters
from b2b.web.admin import bp
from b2b.web.context import actor, signed_in


@bp.get("")
@signed_in
def home() -> ResponseReturnValue:
    """Portal home."""
    who = actor()
    session = db.session()
    kinds = {
        "everyone": Filters(),
        "guests": Filters(user_type=UserType.GUEST),
        "waiting": Filters(state=ExternalUserState.PENDING_ACCEPTANCE, enabled=True),
        "blocked": Filters(enabled=False),
    }
    totals = {name: user_listing.total(session, who, filters) for name, filters in kinds.items()}
    states = (InvitationState.EXPIRED, InvitationState.FAILED)
    stopped = {
        str(state): invitation_listing.listing(
            session, who, invitation_listing.Filters(state=state), limit=1
        )
        for state in states
    }
    may_read_log = permissions.allows(who, Action.READ_AUDIT)
    sign_ins = sign_in_listing.recent(session, who, limit=5) if may_read_log else []
    waiting = user_listing.listing(session, who, kinds["waiting"], limit=5)
    return render_template(
        "admin/home.html",
        totals=totals,
        waiting=waiting.rows,
        may_invite=policies.may_invite(policies.of(session, who), who),
        read_only=not permissions.is_admin(who),
        counted_to=paging.COUNTED_TO,
        stopped=stopped,
        all_invitations=permissions.allows(who, Action.MANAGE_INVITATIONS),
        may_read_log=may_read_log,
        sign_ins=sign_ins,
        people=users.names(session, who, [row.user_id for row in sign_ins]),
    )
