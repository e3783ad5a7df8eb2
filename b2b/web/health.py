"""Health for machines: /healthz (the process), /readyz (what it needs), /metrics (figures)."""

import hmac
import ipaddress
import shutil
from datetime import timedelta

from flask import Blueprint, Response, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import Job, JobState, OutboxMessage
from b2b.web import context
from b2b.web.context import public

bp = Blueprint("health", __name__)

OLDEST_MAIL = timedelta(minutes=5)
"""Mail that waits longer than this is worth an alarm (threats.md, REL-16)."""
LEAST_FREE = 64 * 1024 * 1024


@bp.get("/healthz")
@public
def live() -> ResponseReturnValue:
    """The process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    """Database, disk and outbox, each by name; 503 when one of them is not well. No secrets."""
    checks = {"database": "ok", "disk": "ok", "mail": "ok"}
    try:
        db.session.execute(text("SELECT 1"))
        oldest = outbox.backlog(db.session()).oldest
        if oldest is not None and context.now() - oldest > OLDEST_MAIL:
            checks["mail"] = "mail has been waiting for more than 5 minutes"
    except DBAPIError:
        db.session.rollback()
        checks["database"] = "not reachable"
    if shutil.disk_usage(current_app.config["DATA_DIR"]).free < LEAST_FREE:
        checks["disk"] = "almost full"
    well = checks["database"] == checks["disk"] == "ok"
    return jsonify(status="ok" if well else "not ready", checks=checks), 200 if well else 503


@bp.get("/metrics")
@public
def metrics() -> ResponseReturnValue:
    """Figures for Prometheus; loopback or the token only."""
    _require_scraper()
    registry = CollectorRegistry()
    backlog = outbox.backlog(db.session())
    Gauge("b2b_outbox_queued", "Mails that wait to be sent", registry=registry).set(backlog.queued)
    age = (context.now() - backlog.oldest).total_seconds() if backlog.oldest else 0
    Gauge("b2b_outbox_oldest_seconds", "Age of the oldest waiting mail", registry=registry).set(age)
    by_state = Gauge("b2b_outbox", "Mails by state", ["state"], registry=registry)
    for state, count in db.session.execute(
        select(OutboxMessage.state, func.count()).group_by(OutboxMessage.state)
    ):
        by_state.labels(str(state)).set(count)
    Gauge("b2b_jobs_waiting", "Jobs that wait", registry=registry).set(
        db.session.execute(
            select(func.count()).select_from(Job).where(Job.state == JobState.WAITING)
        ).scalar_one()
    )
    return Response(generate_latest(registry), mimetype="text/plain; version=0.0.4")


def _require_scraper() -> None:
    token = current_app.config["METRICS_TOKEN"]
    given = request.headers.get("Authorization", "")
    if token and hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return
    if token is None and ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:
        return
    abort(404)
