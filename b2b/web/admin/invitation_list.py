"""Invitations: the list with its filters, and several of them sent again, extended or cancelled."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext

from b2b.errors import NotAll, NotFound, Refused
from b2b.extensions import db
from b2b.models import User
from b2b.services import (
    addresses,
    invitation_handling,
    invitation_listing,
    permissions,
    policies,
)
from b2b.services.invitation_handling import Handling, Verdict
from b2b.services.invitation_listing import Cursor, Filters
from b2b.services.invitation_states import InvitationState, ends_at
from b2b.services.permissions import Action
from b2b.web import queries
from b2b.web.admin import bp
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now, writing
from b2b.web.errors import say
from b2b.web.filters import day
from b2b.web.forms import ButtonForm
from b2b.web.progress import fragment, is_moving, listed

TOGETHER = (Handling.RESEND, Handling.EXTEND, Handling.CANCEL)
"""What can be done with several invitations at once."""


# The list ----------------------------------------------------------------------------------------


def read_filters() -> Filters:
    """From the address of the page; what is not understood is left out."""

    def one(kind: Any, name: str) -> Any:
        try:
            return kind(request.args[name]) if request.args.get(name) else None
        except ValueError:
            return None

    until = one(date.fromisoformat, "until")
    return Filters(
        state=one(InvitationState, "state"),
        inviter_id=one(UUID, "inviter"),
        domain=_domain(request.args.get("domain", "")),
        since=_midnight(one(date.fromisoformat, "since")),
        until=_midnight(until + timedelta(days=1)) if until and until < date.max else None,
        search=request.args.get("q", "")[:200],
    )


def _midnight(on: date | None) -> datetime | None:
    return None if on is None else datetime.combine(on, time(), UTC)


def _domain(typed: str) -> str | None:
    """As A-labels; what can be no domain is kept as it is, and found nowhere."""
    text = typed.strip().lower().rpartition("@")[2][:253].replace("\0", "")
    if not text:
        return None
    try:
        return addresses.parse_domain(text)
    except Refused:
        return text


def read_cursor(name: str) -> Cursor | None:
    """A place in the list, as `place_url` writes it."""
    identifier, _, at = request.args.get(name, "").partition(".")
    try:
        instant = datetime.fromisoformat(at)
        return (instant.replace(tzinfo=UTC), UUID(identifier)) if instant.tzinfo is None else None
    except ValueError:
        return None


def place_url(endpoint: str, **cursor: Cursor | None) -> str | None:
    """The address of the page that begins at a cursor; None without one."""
    kept = _kept("after", "before", "last")
    for name, place in cursor.items():
        if place is None:
            return None
        kept[name] = f"{place[1].hex}.{place[0].astimezone(UTC).replace(tzinfo=None).isoformat()}"
    return url_for(endpoint, **kept)


def _kept(*without: str) -> dict[str, Any]:
    return queries.kept(*without)


def list_values(endpoint: str, filters: Filters) -> dict[str, Any]:
    """What the template of a list of invitations is told; *endpoint* is the list's own."""
    who = actor()
    page = invitation_listing.listing(
        db.session(),
        who,
        filters,
        after=read_cursor("after"),
        before=read_cursor("before"),
        last=bool(request.args.get("last")),
    )
    policy = policies.of(db.session(), who)
    rows = listed(page.rows, policy)
    return {
        "page": page,
        "rows": rows,
        "moving": [row.user_id for row, _, mail in rows if is_moving(mail)],
        "filters": filters,
        "previous_url": place_url(endpoint, before=page.before),
        "next_url": place_url(endpoint, after=page.after),
        "last_url": url_for(endpoint, **_kept("after", "before", "last"), last=1),
        "counted_to": invitation_listing.COUNTED_TO,
        "searched": invitation_listing.SEARCHED,
        "may_invite": policies.may_invite(policy, who),
        "filtered": filters != Filters(state=filters.state, inviter_id=filters.inviter_id),
        "without": lambda *names: url_for(endpoint, **_kept("after", "before", "last", *names)),
        "together": [
            one for one in TOGETHER if one is Handling.CANCEL or policies.may_invite(policy, who)
        ],
    }


@bp.get("/invitations", endpoint="invitations")
@allowed(Action.READ_DIRECTORY)
def invitations_page() -> ResponseReturnValue:
    """Invitations."""
    who, filters = actor(), read_filters()
    all_of_them = permissions.allows(who, Action.MANAGE_INVITATIONS)
    return render_template(
        "admin/invitations/list.html",
        states=list(InvitationState),
        all_of_them=all_of_them,
        inviter=_inviter(filters.inviter_id) if all_of_them else None,
        query=request.query_string.decode("ascii", "ignore"),
        **list_values(".invitations", filters),
    )


def _inviter(user_id: UUID | None) -> User | None:
    """Whose invitations the list is narrowed to."""
    return None if user_id is None else db.session.get(User, (actor().tenant_id, user_id))


@bp.get("/invitations/deliveries")
@allowed(Action.READ_DIRECTORY)
def deliveries() -> ResponseReturnValue:
    """How far the mail of these people has come, for the list to show without being loaded anew."""
    return deliveries_fragment()


def deliveries_fragment() -> ResponseReturnValue:
    """For the people named in the address, as far as the actor may see their invitations."""
    who = actor()
    ids = [as_uuid(text) for text in request.args.getlist("id")[: invitation_listing.PAGE]]
    policy = policies.of(db.session(), who)
    rows = listed(invitation_listing.of_users(db.session(), who, ids), policy)
    return fragment(
        "components/deliveries_fragment.html",
        rows=rows,
        moving=[row.user_id for row, _, mail in rows if is_moving(mail)],
    )


# Several of them ---------------------------------------------------------------------------------


def _handling() -> Handling:
    try:
        handling = Handling(request.values.get("do", ""))
    except ValueError:
        raise NotFound() from None
    if handling not in TOGETHER:
        raise NotFound()
    return handling


def _back(ids: list[UUID]) -> str:
    """Where these people were chosen: one person's page, or the list with its filters."""
    came_from = request.values.get("from", "")
    if came_from == "user" and len(ids) == 1:
        return url_for(".user", user_id=ids[0])
    # Written anew: as it was sent it could hold what no header may.
    filters = urlencode(parse_qsl(came_from))
    return url_for(".invitations") + (f"?{filters}" if filters else "")


@bp.route("/invitations/selected", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def selected() -> ResponseReturnValue:
    """What would happen to these invitations, said before it is done; then doing it."""
    handling = _handling()
    ids = [as_uuid(text) for text in request.values.getlist("id")]
    back = _back(ids)
    if not ids:
        flash(gettext("Nobody is selected."), "info")
        return redirect(back, 303)
    status = 200
    if ButtonForm().validate_on_submit():
        try:
            with writing() as session:
                count = len(invitation_handling.handle(session, actor(), handling, ids))
            flash(done(handling, count), "ok")
            return redirect(back, 303)
        except NotAll as error:
            # Undone; asked once more, so that people are read anew by one query.
            invitation_handling.verdicts(db.session(), actor(), handling, ids)
            found, status = list(error.verdicts), 409
    else:
        found = invitation_handling.verdicts(db.session(), actor(), handling, ids)
    return (
        render_template(
            "admin/invitations/selected.html",
            handling=str(handling),
            back=back,
            came_from=request.values.get("from", ""),
            nothing_done=status == 409,
            **verdict_values(found),
        ),
        status,
    )


def verdict_values(found: list[Verdict]) -> dict[str, Any]:
    """Who can be handled and who not, and until when an extended link would work."""
    days = policies.of(db.session(), actor()).invitation_days
    return {
        "ready": [verdict for verdict in found if verdict.refusal is None],
        "refused": [
            (verdict, say(verdict.refusal)) for verdict in found if verdict.refusal is not None
        ],
        "would_end_at": ends_at(now(), days),
    }


def done(handling: Handling, count: int) -> str:
    """What was done, in one sentence."""
    match handling:
        case Handling.RESEND:
            return ngettext(
                "Sent again to %(num)s person; earlier links stop working.",
                "Sent again to %(num)s people; earlier links stop working.",
                count,
            )
        case Handling.EXTEND:
            until = ends_at(now(), policies.of(db.session(), actor()).invitation_days)
            assert until is not None
            return ngettext(
                "Extended %(num)s invitation: it works until %(day)s.",
                "Extended %(num)s invitations: they work until %(day)s.",
                count,
                day=day(until),
            )
        case _:
            return ngettext(
                "Cancelled %(num)s invitation. Its link is dead.",
                "Cancelled %(num)s invitations. Their links are dead.",
                count,
            )
