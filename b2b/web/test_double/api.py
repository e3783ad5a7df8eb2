"""The test tools' own API under /test-double: JSON, for programs on this machine alone.

It can do everything, so nobody else may reach it: requests come from loopback, under a name of our
own, through no proxy, and whatever changes something is no simple request of a web page elsewhere
(threats.md, SES-3): it is JSON, or carries the header X-Test-Double.
"""

import contextlib
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from b2b import clock
from b2b.errors import N_, Conflict, Denied, Invalid, NotFound, Refused
from b2b.extensions import csrf, db
from b2b.models import FaultKind, FaultRule
from b2b.services import human_steps, redemption, test_double
from b2b.test_double import directory_export, directory_file, snapshots, state
from b2b.test_double.snapshots import Snapshot
from b2b.web import context
from b2b.web.context import public, takes_up_to, writing
from b2b.web.test_double import faults
from b2b.web.test_double.openapi import document

bp = Blueprint("test_double", __name__, url_prefix=test_double.OWN_PATH)
csrf.exempt(bp)  # `_guard` asks for what no form of another site can send

_STATUS: list[tuple[type[Refused], int]] = [(NotFound, 404), (Denied, 403), (Conflict, 409)]
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_JSON = "application/json"
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


@bp.before_request
def _guard() -> None:
    if state.of_app() is None:
        abort(404)
    try:
        near = ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback
    except ValueError:
        near = False
    if not near or any(name in request.headers for name in _FORWARDED):
        abort(404)
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        abort(403)
    if request.method in ("GET", "HEAD", "OPTIONS") or faults.HEADER in request.headers:
        return
    if request.mimetype not in (_JSON, *_YAML):
        abort(415)


# Answers and questions ---------------------------------------------------------------------------


@bp.errorhandler(Refused)
def _refused(error: Refused) -> ResponseReturnValue:
    db.session.rollback()
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
    told = {"code": error.code, "message": str(error)}
    if isinstance(error, Invalid):
        told["field"] = error.field
    return jsonify(error=told), status


@bp.errorhandler(HTTPException)
def _http(error: HTTPException) -> ResponseReturnValue:
    words = {
        403: "Another site has caused this request.",
        404: "There is nothing at this address.",
        415: "Send application/json, or the header X-Test-Double.",
    }
    status = error.code or 500
    message = words.get(status, error.description or error.name)
    return jsonify(error={"code": error.name.replace(" ", ""), "message": message}), status


class Fields:
    """The JSON object of a request; names that nobody asked for are refused."""

    def __init__(self, *known: str) -> None:
        found = request.get_json(silent=True) if request.data else {}
        if not isinstance(found, dict):
            raise Invalid("body", N_("Send a JSON object."))
        for name in found:
            if name not in known:
                raise Invalid(
                    name,
                    N_("%(name)s is not known here; there are %(known)s."),
                    name=name,
                    known=", ".join(known) or "none",
                )
        self._found: dict[str, Any] = found

    def text(self, name: str) -> str | None:
        """A text, or None where it is absent."""
        value = self._found.get(name)
        if value is not None and not isinstance(value, str):
            raise Invalid(name, N_("%(name)s is a text."), name=name)
        return value

    def needed(self, name: str) -> str:
        """A text that has to be there."""
        value = self.text(name)
        if not value:
            raise Invalid(name, N_("%(name)s is missing."), name=name)
        return value

    def number(self, name: str) -> float | None:
        """A number, or None."""
        value = self._found.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Invalid(name, N_("%(name)s is a number."), name=name)
        if value is not None and not abs(value) < 1e12:
            raise Invalid(name, N_("%(name)s is a number."), name=name)
        return value

    def whole(self, name: str) -> int | None:
        """A whole number, or None."""
        value = self.number(name)
        if value is not None and value != int(value):
            raise Invalid(name, N_("%(name)s is a whole number."), name=name)
        return None if value is None else int(value)

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object, or None."""
        value = self._found.get(name)
        if value is not None and not isinstance(value, dict):
            raise Invalid(name, N_("%(name)s is an object."), name=name)
        return value


def instant(of: datetime) -> str:
    """As every answer writes times."""
    return of.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Everything --------------------------------------------------------------------------------------


@bp.get("")
@public
def show() -> ResponseReturnValue:
    """Clock, faults, lag and snapshots."""
    found = state.required().state()
    return jsonify(
        clock=_clock(),
        faults=[_fault(row) for row in test_double.faults(db.session())],
        visibleAfterSeconds=found.visible_after.total_seconds(),
        snapshots=[_snapshot(one) for one in snapshots.taken(current_app.config)],
    )


@bp.get("/openapi.json")
@public
def described() -> ResponseReturnValue:
    """This API, described."""
    return jsonify(document(current_app.config["BASE_URL"]))


@bp.post("/reset")
@public
def reset() -> ResponseReturnValue:
    """The demo as it was made, by the real time and without faults; captured mail stays."""
    Fields()
    with state.telling(writing) as session:
        snapshots.restore(current_app.config, session, snapshots.START)
        test_double.move_clock(session, to=timedelta(0))
        test_double.show_after(session, timedelta(0))
        test_double.clear_faults(session)
    return show()


# The clock ---------------------------------------------------------------------------------------


def _clock() -> dict[str, Any]:
    offset = state.required().state().offset
    real = clock.unmoved()
    return {
        "now": instant(real + offset),
        "realNow": instant(real),
        "offsetSeconds": offset.total_seconds(),
    }


@bp.get("/clock")
@public
def show_clock() -> ResponseReturnValue:
    """What time it is here, and how far from the real time."""
    return jsonify(_clock())


@bp.put("/clock")
@public
def set_clock() -> ResponseReturnValue:
    """Set the clock to an instant (`now`), or to an offset from the real time."""
    fields = Fields("now", "offsetSeconds")
    given, seconds = fields.text("now"), fields.number("offsetSeconds")
    if (given is None) == (seconds is None):
        raise Invalid("now", N_("Give either now or offsetSeconds."))
    if seconds is not None:
        to = timedelta(seconds=min(max(seconds, -1e9), 1e9))
    else:
        assert given is not None
        to = instant_from(given) - clock.unmoved()
    with state.telling(writing) as session:
        test_double.move_clock(session, to=to)
    return show_clock()


def instant_from(text: str) -> datetime:
    """An instant as ISO 8601 writes it, with its zone. Raises Invalid("now")."""
    found: datetime | None = None
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text)
    if found is None or found.tzinfo is None:
        raise Invalid("now", N_("Enter a time with its zone, such as 2027-01-31T09:00:00Z."))
    return found


@bp.post("/clock/advance")
@public
def advance_clock() -> ResponseReturnValue:
    """Let so much time pass; negative numbers go back."""
    fields = Fields("days", "hours", "minutes", "seconds")
    by = timedelta(0)
    for name in ("days", "hours", "minutes", "seconds"):
        value = fields.number(name) or 0
        if abs(value) > 1e9:
            raise Invalid(name, N_("The clock goes ten years either way at most."))
        by += timedelta(**{name: value})
    if not by:
        raise Invalid("days", N_("Say how far: days, hours, minutes or seconds."))
    with state.telling(writing) as session:
        test_double.move_clock(session, by=by)
    return show_clock()


@bp.delete("/clock")
@public
def reset_clock() -> ResponseReturnValue:
    """The real time again."""
    with state.telling(writing) as session:
        test_double.move_clock(session, to=timedelta(0))
    return show_clock()


# Faults ------------------------------------------------------------------------------------------


def _fault(row: FaultRule) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "kind": str(row.kind),
        "path": row.path,
        "method": row.method,
        "share": row.share,
        "status": row.status,
        "retryAfter": row.retry_after,
        "latencySeconds": row.latency / 1000,
        "times": row.times,
        "hits": row.hits,
        "createdAt": instant(row.created_at),
    }


@bp.get("/faults")
@public
def list_faults() -> ResponseReturnValue:
    """All rules with how often they were met."""
    return jsonify(faults=[_fault(row) for row in test_double.faults(db.session())])


@bp.post("/faults")
@public
def add_fault() -> ResponseReturnValue:
    """Let requests meet a fault from now on."""
    fields = Fields(
        "path", "kind", "method", "share", "status", "retryAfter", "latencySeconds", "times"
    )
    kind = fields.text("kind") or str(FaultKind.STATUS)
    if kind not in set(FaultKind):
        raise Invalid("kind", N_("Enter one of %(known)s."), known=", ".join(FaultKind))
    share, latency = fields.number("share"), fields.number("latencySeconds")
    try:
        with state.telling(writing) as session:
            row = test_double.add_fault(
                session,
                path=fields.needed("path"),
                kind=FaultKind(kind),
                method=fields.text("method"),
                share=1.0 if share is None else share,
                status=fields.whole("status"),
                retry_after=fields.whole("retryAfter"),
                latency=timedelta(seconds=min(max(latency or 0, -1), 1e6)),
                times=fields.whole("times"),
                now=clock.unmoved(),
            )
            told = _fault(row)
    except Invalid as error:
        error.field = {"retry_after": "retryAfter", "latency": "latencySeconds"}.get(
            error.field, error.field
        )
        raise
    return jsonify(told), 201


@bp.delete("/faults")
@public
def clear_faults() -> ResponseReturnValue:
    """Take all rules away."""
    with state.telling(writing) as session:
        test_double.clear_faults(session)
    return list_faults()


@bp.delete("/faults/<uuid:rule_id>")
@public
def remove_fault(rule_id: UUID) -> ResponseReturnValue:
    """Take one rule away."""
    with state.telling(writing) as session:
        test_double.remove_fault(session, rule_id)
    return list_faults()


@bp.put("/visibility")
@public
def set_visibility() -> ResponseReturnValue:
    """Have Graph's lists show new objects so many seconds late."""
    seconds = Fields("seconds").number("seconds")
    if seconds is None:
        raise Invalid("seconds", N_("%(name)s is missing."), name="seconds")
    with state.telling(writing) as session:
        test_double.show_after(session, timedelta(seconds=min(max(seconds, -1), 1e6)))
    return jsonify(seconds=state.required().state().visible_after.total_seconds())


# Snapshots ---------------------------------------------------------------------------------------


def _snapshot(one: Snapshot) -> dict[str, Any]:
    return {"name": one.name, "madeAt": instant(one.made_at), "size": one.size}


@bp.get("/snapshots")
@public
def list_snapshots() -> ResponseReturnValue:
    """All snapshots, the newest first."""
    return jsonify(snapshots=[_snapshot(one) for one in snapshots.taken(current_app.config)])


@bp.put("/snapshots/<name>")
@public
def take_snapshot(name: str) -> ResponseReturnValue:
    """Keep all directories as they are now."""
    return jsonify(_snapshot(snapshots.take(current_app.config, name))), 201


@bp.post("/snapshots/<name>/restore")
@public
def restore_snapshot(name: str) -> ResponseReturnValue:
    """Put all directories back."""
    Fields()
    with state.telling(writing) as session:
        snapshots.restore(current_app.config, session, name)
    return jsonify(restored=name)


@bp.delete("/snapshots/<name>")
@public
def delete_snapshot(name: str) -> ResponseReturnValue:
    """Throw a snapshot away."""
    snapshots.delete(current_app.config, name)
    return list_snapshots()


# Human steps -------------------------------------------------------------------------------------


@bp.post("/redeem")
@public
def redeem() -> ResponseReturnValue:
    """Redeem an invitation as somebody: ends as the pages do, under the same rules."""
    fields = Fields("invitation", "tenant", "as")
    with writing() as session:
        named = fields.text("tenant")
        tenant = None if named is None else human_steps.tenant_named(session, named)
        opened = human_steps.invitation_named(
            session, fields.needed("invitation"), tenant=tenant, now=context.now()
        )
        identity = human_steps.proven_as(
            session, fields.text("as") or opened.address.text, guest=opened.user
        )
        way_on = redemption.way_on(opened)
        user = human_steps.redeem(session, opened, identity, now=context.now())
        told = {
            "tenantId": str(user.tenant_id),
            "userId": str(user.id),
            "userPrincipalName": user.user_principal_name,
            "externalUserState": str(user.external_user_state),
            "identityProvider": str(identity.provider),
            "redirectUrl": way_on,
        }
    return jsonify(told)


@bp.post("/passcode")
@public
def passcode() -> ResponseReturnValue:
    """The code that an address would have to type now."""
    address = Fields("address").needed("address")
    found = human_steps.passcode_for(db.session(), address, now=context.now())
    return jsonify(code=found.code, purpose=found.purpose, expiresAt=instant(found.expires_at))


@bp.post("/token")
@public
def token() -> ResponseReturnValue:
    """An access token for a person or a program, with chosen claims."""
    fields = Fields("tenant", "client", "user", "scope", "resource", "claims")
    with writing() as session:
        tenant = human_steps.tenant_named(session, fields.needed("tenant"))
        client = human_steps.client_named(session, tenant, fields.needed("client"))
        user = fields.text("user")
        claims = fields.mapping("claims")
        if user is None:
            made = human_steps.token_for_app(
                session,
                client,
                resource=fields.text("resource"),
                claims=claims,
                now=context.now(),
            )
        else:
            made = human_steps.token_for_user(
                session,
                client,
                human_steps.user_named(session, tenant, user, context.now()),
                scope=fields.text("scope"),
                claims=claims,
                now=context.now(),
            )
    return jsonify(accessToken=made, tokenType="Bearer")


@bp.post("/session")
@public
def session_cookie() -> ResponseReturnValue:
    """Sign somebody in: the cookie of a new session."""
    fields = Fields("tenant", "user")
    with writing() as session:
        tenant = human_steps.tenant_named(session, fields.needed("tenant"))
        user = human_steps.user_named(session, tenant, fields.needed("user"), context.now())
        secret = human_steps.start_session(session, tenant, user, now=context.now())
        told = {"tenantId": str(tenant.id), "userId": str(user.id)}
    cookie = {
        "name": context.cookie_name(),
        "value": secret,
        "path": "/",
        "secure": bool(current_app.config["SESSION_COOKIE_SECURE"]),
        "httpOnly": True,
        "sameSite": "Lax",
    }
    return jsonify(cookie=cookie, **told)


# Directory files ---------------------------------------------------------------------------------


@bp.get("/directory")
@public
def export_directory() -> ResponseReturnValue:
    """All organisations as a directory file."""
    text = directory_export.export(db.session(), now=context.now())
    return Response(text, mimetype="application/yaml")


class _Undone(Exception):
    """Everything went well, and is taken back."""


@bp.post("/directory")
@takes_up_to(directory_file.LARGEST)
@public
def load_directory() -> ResponseReturnValue:
    """Load a directory file (YAML); with ?check=1 only say what it would change."""
    check = request.args.get("check", "0") not in ("0", "", "false")
    tree = directory_file.read(request.get_data().decode("utf-8", "replace"))
    done = directory_file.Done()
    with contextlib.suppress(_Undone), writing() as session:
        done = directory_file.apply(session, tree, now=context.now())
        if check:
            raise _Undone
    return jsonify(
        checked=check,
        changes=done.changes,
        unchanged=done.unchanged,
        secrets={} if check else done.secrets,
    )
