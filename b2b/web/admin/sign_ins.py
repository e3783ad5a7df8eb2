"""The sign-in log: a list with its filters, one sign-in with everything known, and a file."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import render_template, request
from flask.typing import ResponseReturnValue

from b2b.extensions import db
from b2b.models import SignIn, User
from b2b.services import sign_in_listing, users
from b2b.services.log_listing import Page
from b2b.services.permissions import Action
from b2b.services.sign_in_listing import Filters
from b2b.web import queries, spreadsheets
from b2b.web.admin import bp, logs
from b2b.web.admin.logs import Whom, whom
from b2b.web.admin.timeline import method_words
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now


def _filters() -> tuple[Filters, Whom]:
    """From the address of the page, with the person that it names."""
    person = whom("user")
    filters = Filters(
        user_id=person.id,
        application=queries.value(str, "application"),
        succeeded={"success": True, "failure": False}.get(request.args.get("result", "")),
        since=queries.since(),
        until=queries.until(),
    )
    return filters, person


@bp.get("/sign-ins", endpoint="sign_ins")
@allowed(Action.READ_AUDIT)
def sign_ins_page() -> ResponseReturnValue:
    """Sign-ins."""
    filters, person = _filters()
    page: Page[SignIn, UUID] = Page([])
    if not person.missing:
        page = sign_in_listing.listing(
            db.session(),
            actor(),
            filters,
            older_than=queries.identifier("after"),
            newer_than=queries.identifier("before"),
        )
    return render_template(
        "admin/sign_ins/list.html",
        **logs.around(page, filters, person.missing),
        person=person.person,
        people=users.names(db.session(), actor(), [row.user_id for row in page.rows]),
        method_words=method_words,
    )


@bp.get("/sign-ins/<sign_in_id>", endpoint="sign_in")
@allowed(Action.READ_AUDIT)
def one_sign_in(sign_in_id: str) -> ResponseReturnValue:
    """One sign-in."""
    row = sign_in_listing.one(db.session(), actor(), as_uuid(sign_in_id))
    person: Any = None
    if row.user_id is not None:
        person = db.session.get(User, (row.tenant_id, row.user_id))
    return render_template(
        "admin/sign_ins/sign_in.html", row=row, person=person, method_words=method_words
    )


@bp.get("/sign-ins.csv")
@allowed(Action.READ_AUDIT)
def sign_ins_file() -> ResponseReturnValue:
    """The filtered log as a file, the newest sign-ins first."""
    filters, person = _filters()
    head = [
        "createdDateTime", "userId", "identity", "method", "appDisplayName", "errorCode",
        "failureReason", "ipAddress", "userAgent", "correlationId",
    ]  # fmt: skip
    found = iter(()) if person.missing else sign_in_listing.export(db.session(), actor(), filters)
    return spreadsheets.download(f"sign-ins-{now():%Y-%m-%d}", head, _rows(found))


def _rows(found: Iterator[SignIn]) -> Iterator[list[str]]:
    for row in found:
        yield [
            row.at.isoformat(),
            str(row.user_id or ""),
            row.identity,
            row.method,
            row.application,
            str(row.error_code),
            row.failure_reason or "",
            row.ip_address or "",
            row.user_agent or "",
            str(row.correlation_id),
        ]
