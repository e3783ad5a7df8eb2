"""The portal's first page: who waits, who came, what to do next."""

from flask import render_template
from flask.typing import ResponseReturnValue

from b2b.extensions import db
from b2b.models import ExternalUserState, UserType
from b2b.services import permissions, policies, user_listing
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
    totals = {
        name: user_listing.listing(session, who, filters, limit=1).total
        for name, filters in kinds.items()
    }
    waiting = user_listing.listing(session, who, kinds["waiting"], limit=5)
    return render_template(
        "admin/home.html",
        totals=totals,
        waiting=waiting.rows,
        may_invite=policies.may_invite(policies.of(session, who), who),
        read_only=not permissions.is_admin(who),
        counted_to=user_listing.COUNTED_TO,
    )
