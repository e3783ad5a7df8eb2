"""Redeeming: the landing page behind the link, Review permissions, and every way it can end."""

from flask import (
    Blueprint,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import TextAreaField

from b2b import links
from b2b.actor import Actor
from b2b.errors import Refused
from b2b.extensions import db
from b2b.services import contacts, redemption
from b2b.services.redemption import Opened, Standing
from b2b.web import brand, context
from b2b.web import sign_in as sign_in_pages
from b2b.web.context import now, public, writing
from b2b.web.forms import AtMost, ButtonForm, Form
from b2b.web.redemption_link import direct_way_on, forget, opened_here, read, remember

bp = Blueprint("redeem", __name__)


class AskForm(Form):
    """A line to the inviter."""

    note = TextAreaField(
        lazy_gettext("A line to the person who invited you"), validators=[AtMost(500)]
    )


@bp.get("/redeem")
@public
def landing() -> ResponseReturnValue:
    """The page behind the link. A visit changes nothing, however often and by whom (RED-2)."""
    if "rd" in request.args:
        return _arrive(links.parse_redeem(request.args["rd"]))
    opened = opened_here()
    if opened is None:
        return _unusable()
    brand.wear(opened.tenant)
    match opened.standing:
        case Standing.EXPIRED:
            return _expired(opened, AskForm())
        case Standing.BLOCKED_DOMAIN | Standing.DISABLED:
            return _closed(opened)
    identity = context.identity()
    if identity is not None:
        if redemption.matches(db.session(), opened, identity):
            return _landing(opened, signed_in=True)
        return _wrong_account(opened)
    return _landing(opened, signed_in=False)


@bp.get("/redeem/")
@public
def inner() -> ResponseReturnValue:
    """The inner form of the link, when a mail program has unwrapped it."""
    return _arrive(links.parse_redeem(links.absolute(request.full_path)))


def _arrive(ticket: links.Ticket | None) -> ResponseReturnValue:
    """Move the secret from the address bar into the session, whether it is good or not."""
    if ticket is None:
        forget()
    else:
        found = redemption.open_link(
            db.session(),
            ticket.tenant_id,
            ticket.invitation_id,
            redemption.hash_of(ticket.secret),
            now=now(),
        )
        remember(ticket, found.invitation.language if found else None)
        session.pop("code_sent", None)
    return redirect(url_for(".landing"), 303)


def _landing(opened: Opened, *, signed_in: bool) -> ResponseReturnValue:
    tiles, groups = redemption.waiting(db.session(), opened, now=now())
    return render_template(
        "redeem/landing.html",
        opened=opened,
        tiles=tiles,
        groups=groups,
        form=ButtonForm(),
        signed_in=signed_in,
        accepted=opened.standing is Standing.ACCEPTED,
    )


def _expired(opened: Opened, form: AskForm) -> ResponseReturnValue:
    contact = contacts.of(db.session(), opened.tenant, opened.invitation)
    return render_template("redeem/expired.html", opened=opened, form=form, contact=contact)


def _unusable() -> ResponseReturnValue:
    """One page for unknown, altered, superseded, cancelled and other organisations' links
    (RED-1).
    """
    return make_response(render_template("redeem/unusable.html"), 404)


def _closed(opened: Opened) -> ResponseReturnValue:
    blocked = opened.standing is Standing.BLOCKED_DOMAIN
    return make_response(
        render_template(
            "redeem/closed.html",
            opened=opened,
            blocked_domain=blocked,
            contact=contacts.of(db.session(), opened.tenant, opened.invitation),
        ),
        403,
    )


def _wrong_account(opened: Opened) -> ResponseReturnValue:
    identity = context.identity()
    return make_response(
        render_template(
            "redeem/wrong_account.html", opened=opened, identity=identity, form=ButtonForm()
        ),
        403,
    )


def _guest(opened: Opened) -> Actor:
    return redemption.acting(
        opened,
        now=now(),
        correlation_id=context.correlation_id(),
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
    )


@bp.post("/redeem/start")
@public
def start() -> ResponseReturnValue:
    """Get Started: on to the way in that fits the invited address."""
    opened = opened_here()
    if opened is None or not ButtonForm().validate_on_submit():
        return redirect(url_for(".landing"), 303)
    if opened.standing not in (Standing.OPEN, Standing.ACCEPTED):
        return redirect(url_for(".landing"), 303)
    identity = context.identity()
    if identity is not None and redemption.matches(db.session(), opened, identity):
        return redirect(url_for(".review"), 303)
    if identity is not None:
        return redirect(url_for(".landing"), 303)
    who = sign_in_pages.subject()
    assert who is not None
    with writing() as database_session:
        redemption.note_opened(database_session, _guest(opened), opened)
    if not who.way.by_code:
        return redirect(url_for("sign_in.password"), 303)
    sign_in_pages.mail_code(who)
    return redirect(url_for("sign_in.code"), 303)


@bp.post("/redeem/switch")
@public
def switch() -> ResponseReturnValue:
    """Sign the other account out and go on with the invited one."""
    if ButtonForm().validate_on_submit():
        with writing() as database_session:
            context.end_session(database_session, keep_redemption=True)
    return redirect(url_for(".landing"), 303)


@bp.route("/redeem/review", methods=["GET"])
@public
def review() -> ResponseReturnValue:
    """Review permissions."""
    opened, identity = opened_here(), context.identity()
    if opened is None or identity is None:
        return redirect(url_for(".landing"), 303)
    if opened.standing not in (Standing.OPEN, Standing.ACCEPTED):
        return redirect(url_for(".landing"), 303)
    if not redemption.matches(db.session(), opened, identity):
        with writing() as database_session:
            redemption.note_wrong_account(database_session, _guest(opened), identity)
        opened = read()
        if opened is None:
            return redirect(url_for(".landing"), 303)
        brand.wear(opened.tenant)
        return _wrong_account(opened)
    if opened.standing is Standing.ACCEPTED:
        return _come_back(opened)
    if opened.invitation.signed_in_at is None:
        with writing() as database_session:
            redemption.note_signed_in(database_session, _guest(opened), opened)
        opened = read()
        assert opened is not None
    brand.wear(opened.tenant)
    return render_template(
        "redeem/review.html", opened=opened, identity=identity, form=ButtonForm()
    )


def _come_back(opened: Opened) -> ResponseReturnValue:
    """The bound identity uses its link again: straight in (decisions.md, used link)."""
    identity = context.identity()
    assert identity is not None
    with writing() as database_session:
        guest = _guest(opened)
        context.start_session(
            database_session, identity, tenant_id=opened.tenant.id, user_id=opened.user.id
        )
        redemption.log_sign_in(database_session, guest, identity)
    way_on = redemption.way_on(opened)
    forget()
    return redirect(way_on, 303)


@bp.post("/redeem/accept")
@public
def accept() -> ResponseReturnValue:
    """Accept: the invitation is redeemed, in one transaction."""
    identity = context.identity()
    if "redeem" not in session and context.actor_or_none() is not None:
        return redirect(url_for("my_apps.index"), 303)  # accepted before: a reload, or Back
    if identity is None or not ButtonForm().validate_on_submit():
        return redirect(url_for(".landing"), 303)
    try:
        with writing() as database_session:
            opened = read(lock=True)
            if opened is None:
                return _unusable()
            if opened.standing is not Standing.OPEN:
                return redirect(url_for(".landing"), 303)
            way_on = direct_way_on() or redemption.way_on(opened)
            user = redemption.accept(database_session, _guest(opened), opened, identity)
            context.start_session(
                database_session, identity, tenant_id=user.tenant_id, user_id=user.id
            )
    except redemption.WrongAccount:
        return redirect(url_for(".landing"), 303)
    session["way_on"] = way_on
    forget()
    return redirect(url_for("my_apps.profile", first=1), 303)


@bp.post("/redeem/decline")
@public
def decline() -> ResponseReturnValue:
    """Cancel: nothing is shared, the inviter is told, the link goes on working."""
    identity = context.identity()
    if identity is None or not ButtonForm().validate_on_submit():
        return redirect(url_for(".landing"), 303)
    try:
        with writing() as database_session:
            opened = read(lock=True)
            if opened is None:
                return _unusable()
            if opened.standing is not Standing.OPEN:
                return redirect(url_for(".landing"), 303)
            redemption.decline(database_session, _guest(opened), opened, identity)
            context.end_session(database_session, keep_redemption=True)
    except redemption.WrongAccount:
        return redirect(url_for(".landing"), 303)
    return redirect(url_for(".declined"), 303)


@bp.get("/redeem/declined")
@public
def declined() -> ResponseReturnValue:
    """Declined, and how to change one's mind."""
    opened = opened_here()
    if opened is None or opened.invitation.declined_at is None:
        return redirect(url_for(".landing"), 303)
    brand.wear(opened.tenant)
    contact = contacts.of(db.session(), opened.tenant, opened.invitation)
    return render_template("redeem/declined.html", opened=opened, contact=contact)


@bp.post("/redeem/ask")
@public
def ask() -> ResponseReturnValue:
    """Ask the inviter for a new invitation."""
    opened = opened_here()
    if opened is None:
        return _unusable()
    brand.wear(opened.tenant)
    form = AskForm()
    if form.validate_on_submit():
        try:
            with writing() as database_session:
                asked = redemption.ask_again(
                    database_session, _guest(opened), opened, form.note.data or "", now=now()
                )
            flash(gettext("%(name)s was asked.", name=asked.name), "ok")
        except Refused as error:
            flash(gettext(error.template, **error.values), "warn")
    elif opened.standing is Standing.EXPIRED:
        return _expired(opened, form)
    return redirect(url_for(".landing"), 303)
