"""What people who get invitations decide about them: block an organisation, and allow it again.

The link in a mail blocks and shows nothing else. Seeing what is blocked, and allowing it again,
asks for a code that is mailed to the address.
"""

from datetime import datetime, timedelta
from uuid import UUID

from flask import Blueprint, Response, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from b2b.extensions import csrf, db
from b2b.models import PasscodePurpose
from b2b.services import addresses, mail_refusals, passcodes, sign_in
from b2b.services.addresses import Address
from b2b.services.mail_refusals import Link
from b2b.web import brand, context
from b2b.web.brand import as_uuid
from b2b.web.context import now, public, writing
from b2b.web.forms import AddressForm, ButtonForm, CodeForm

bp = Blueprint("preferences", __name__, url_prefix="/invitations")

PROVEN_FOR = timedelta(minutes=30)
_TYPED, _PROVEN = "mail_of", "mail_proven"
"""In the browser's session: an address that was typed, and one that was proven until when."""


# Blocking by the link in a mail ------------------------------------------------------------------


def _link() -> Link:
    """What the address of this request is about. Raises NotFound."""
    found = mail_refusals.of_link(
        db.session(),
        as_uuid(request.args.get("tenant", "")),
        as_uuid(request.args.get("invitation", "")),
        request.args.get("token", ""),
    )
    brand.wear(found.tenant)
    return found


@bp.route("/block", methods=["GET", "POST"])
@public
def block() -> ResponseReturnValue:
    """Block future invitations. Looking changes nothing: mail scanners follow every link."""
    if not request.args:
        # The link of a preview, or one that a mail program has cut off.
        return redirect(url_for(".blocked"), 303)
    found = _link()
    if ButtonForm().validate_on_submit():
        with writing() as database_session:
            mail_refusals.block(database_session, found, now=now(), ip_address=request.remote_addr)
        return redirect(request.full_path, 303)
    return render_template("preferences/block.html", found=found, form=ButtonForm())


@bp.route("/block/at-once", methods=["GET", "POST"])
@public
def block_at_once() -> ResponseReturnValue:
    """The same for mail programs: their POST alone does it (RFC 8058), and a person who opens the
    address is shown the page.

    There is no session behind it to abuse: the secret in the address is the whole permission.
    """
    if request.method != "POST":
        return redirect(
            f"{url_for('.block')}?{request.query_string.decode('ascii', 'ignore')}", 303
        )
    found = _link()
    with writing() as database_session:
        mail_refusals.block(database_session, found, now=now(), ip_address=request.remote_addr)
    return Response(gettext("No more invitations will be sent.") + "\n", mimetype="text/plain")


csrf.exempt(block_at_once)


# Seeing what is blocked --------------------------------------------------------------------------


def _typed() -> Address | None:
    text = session.get(_TYPED)
    return addresses.parse(text, rules="rfc") if text else None


def _proven() -> Address | None:
    """The address that this browser has proven less than PROVEN_FOR ago."""
    text, until = session.get(_PROVEN) or ("", "")
    if not text or now() >= datetime.fromisoformat(until):
        return None
    return addresses.parse(text, rules="rfc")


@bp.route("/blocked", methods=["GET", "POST"])
@public
def blocked() -> ResponseReturnValue:
    """Blocked invitations: the list for whoever has proven the address, else the question for
    it.
    """
    address = _proven()
    if address is not None and request.method == "GET":
        return render_template(
            "preferences/blocked.html",
            address=address,
            blocked=mail_refusals.blocked_by(db.session(), address),
        )
    form = AddressForm()
    if form.validate_on_submit():
        with form.reporting():
            typed = addresses.parse(form.address.data or "", rules="rfc")
            session[_TYPED] = typed.wire
            _send(typed)
            return redirect(url_for(".code"), 303)
    return render_template("preferences/address.html", form=form)


def _send(address: Address) -> None:
    """Owe a code; the same work is done for an address that has blocked nobody (SIGN-2)."""
    browser = context.browser()
    with writing() as database_session:
        owner = sign_in.consumer_tenant(database_session)
        refused = passcodes.send(
            database_session,
            address,
            browser=browser,
            purpose=PasscodePurpose.MAIL,
            tenant_id=owner.id,
            tenant_name="B2B Collaboration",
            sender_domain=owner.primary_domain,
            language=context.choose_language(),
            now=now(),
            deliver=mail_refusals.has_blocked(database_session, address),
        )
    passcodes.require(refused)


@bp.post("/blocked/send")
@public
def send_code() -> ResponseReturnValue:
    """Mail a new code."""
    address = _typed()
    if address is None or not ButtonForm().validate_on_submit():
        return redirect(url_for(".blocked"), 303)
    _send(address)
    flash(gettext("A new code is on its way; the one before is void."), "info")
    return redirect(url_for(".code"), 303)


@bp.route("/blocked/code", methods=["GET", "POST"])
@public
def code() -> ResponseReturnValue:
    """Blocked invitations: the mailed code."""
    address = _typed()
    if address is None:
        return redirect(url_for(".blocked"), 303)
    form = CodeForm()
    browser = context.browser()
    if form.validate_on_submit():
        with form.reporting():
            with writing() as database_session:
                refusal = passcodes.check(
                    database_session,
                    address,
                    form.code.data or "",
                    browser=browser,
                    purpose=PasscodePurpose.MAIL,
                    now=now(),
                )
            if refusal is not None:
                raise refusal
            session.pop(_TYPED)
            session[_PROVEN] = (address.wire, (now() + PROVEN_FOR).isoformat())
            return redirect(url_for(".blocked"), 303)
    tries = passcodes.tries_left(
        db.session(), address, browser=browser, purpose=PasscodePurpose.MAIL
    )
    return render_template(
        "preferences/code.html",
        form=form,
        address=address,
        tries=passcodes.TRIES if tries is None else tries,
    )


@bp.post("/blocked/<tenant_id>/allow")
@public
def allow(tenant_id: str) -> ResponseReturnValue:
    """Take invitations of an organisation again."""
    address = _proven()
    if address is not None and ButtonForm().validate_on_submit():
        chosen: UUID = as_uuid(tenant_id)
        with writing() as database_session:
            name = mail_refusals.allow(
                database_session, address, chosen, now=now(), ip_address=request.remote_addr
            )
        if name is not None:
            flash(
                gettext(
                    "%(organisation)s can send you invitations again. Ask there if you expected "
                    "one.",
                    organisation=name,
                ),
                "ok",
            )
    return redirect(url_for(".blocked"), 303)


@bp.post("/blocked/close")
@public
def close() -> ResponseReturnValue:
    """Forget the proof, for the next one who sits at this browser."""
    if ButtonForm().validate_on_submit():
        session.pop(_PROVEN, None)
        session.pop(_TYPED, None)
    return redirect(url_for(".blocked"), 303)
