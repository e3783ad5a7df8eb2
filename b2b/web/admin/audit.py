"""The audit log: a list with its filters, one event with everything that is known, and a file."""

from collections.abc import Iterator
from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue

from b2b.errors import NotFound
from b2b.extensions import db
from b2b.models import AuditEvent, User
from b2b.services import audit, audit_listing
from b2b.services.audit import Activity
from b2b.services.audit_listing import Filters
from b2b.services.log_listing import Page
from b2b.services.permissions import Action
from b2b.web import queries, spreadsheets
from b2b.web.admin import bp, logs
from b2b.web.admin.logs import Whom, whom
from b2b.web.admin.timeline import activity_words, changes_of, icon_of
from b2b.web.context import actor, allowed, now
from b2b.web.words import stored

CATEGORIES = sorted({audit.USER_MANAGEMENT, *audit.CATEGORY.values()})


def _filters() -> tuple[Filters, Whom, Whom]:
    """From the address of the page, with the people that it names: who did, and to whom."""
    who, about = whom("actor"), whom("target")
    filters = Filters(
        activity=queries.value(Activity, "activity"),
        category=queries.value(lambda text: CATEGORIES[CATEGORIES.index(text)], "category"),
        actor_id=who.id,
        target_id=about.id,
        since=queries.since(),
        until=queries.until(),
    )
    return filters, who, about


@bp.get("/audit")
@allowed(Action.READ_AUDIT)
def audit_log() -> ResponseReturnValue:
    """Audit log."""
    filters, who, about = _filters()
    nobody = who.missing or about.missing
    page: Page[AuditEvent, int] = Page([])
    if not nobody:
        page = audit_listing.listing(
            db.session(),
            actor(),
            filters,
            older_than=queries.number("after"),
            newer_than=queries.number("before"),
        )
    return render_template(
        "admin/audit/list.html",
        **logs.around(page, filters, nobody),
        who=who.person,
        about=about.person,
        activities=sorted(
            ((str(one), activity_words(one)) for one in Activity), key=lambda pair: pair[1]
        ),
        categories=[(name, stored(name)) for name in CATEGORIES],
        activity_words=activity_words,
        icon_of=icon_of,
    )


@bp.get("/audit/<sequence>")
@allowed(Action.READ_AUDIT)
def audit_event(sequence: str) -> ResponseReturnValue:
    """One event: before and after, from where, and what else the same request did."""
    if not sequence.isascii() or not sequence.isdecimal() or len(sequence) > 18:
        raise NotFound()
    session, who = db.session(), actor()
    event = audit_listing.one(session, who, int(sequence))
    return render_template(
        "admin/audit/event.html",
        event=event,
        icon=icon_of(event.activity)[0],
        words=activity_words,
        changes=changes_of(event),
        others=audit_listing.together(session, who, event),
        by=_there(event.actor_id),
        about=_there(event.target_id) if event.target_type == "User" else None,
    )


def _there(user_id: Any) -> User | None:
    """Somebody whom an event names, as far as he is still in the directory."""
    return None if user_id is None else db.session.get(User, (actor().tenant_id, user_id))


@bp.get("/audit.csv")
@allowed(Action.READ_AUDIT)
def audit_file() -> ResponseReturnValue:
    """The filtered log as a file, the newest events first."""
    filters, who, about = _filters()
    head = [
        "activityDateTime", "activityDisplayName", "category", "result", "initiatedBy",
        "initiatedById", "targetType", "target", "targetId", "modifiedProperties", "ipAddress",
        "correlationId",
    ]  # fmt: skip
    nobody = who.missing or about.missing
    events = iter(()) if nobody else audit_listing.export(db.session(), actor(), filters)
    return spreadsheets.download(f"audit-log-{now():%Y-%m-%d}", head, _rows(events))


def _rows(events: Iterator[AuditEvent]) -> Iterator[list[str]]:
    for event in events:
        yield [
            event.at.isoformat(),
            event.activity,
            event.category,
            event.result,
            event.actor_name,
            str(event.actor_id or ""),
            event.target_type or "",
            event.target_name or "",
            str(event.target_id or ""),
            "; ".join(
                f"{change['property']}: {change['before']} → {change['after']}"
                for change in event.changes
            ),
            event.ip_address or "",
            str(event.correlation_id),
        ]
