"""Signing in: address, then password or mailed code; making a personal account on the way; out
again.
"""

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from flask import (
    Blueprint,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session
from wtforms import PasswordField, StringField

from b2b import links
from b2b.actor import ExternalIdentity
from b2b.errors import N_, Invalid, Throttled
from b2b.extensions import db
from b2b.models import Tenant, TenantKind
from b2b.services import addresses, belonging, passcodes, passwords, redemption, sign_in
from b2b.services.addresses import Address
from b2b.services.sign_in import Account, Method, Way
from b2b.web import brand, context
from b2b.web.context import now, public, writing
from b2b.web.forms import AddressForm, AtMost, ButtonForm, CodeForm, Form, required
from b2b.web.identity_platform.sign_out import frames_of, with_frames
from b2b.web.redemption_link import opened_here, pick, picked

bp = Blueprint("sign_in", __name__)


class OrganisationForm(Form):
    """Where to sign in."""

    domain = StringField(
        lazy_gettext("Domain of the organisation"),
        validators=[required(N_("Enter a domain, such as woodgrove.example."))],
    )


class PasswordForm(Form):
    """The password of the address named above it."""

    password = PasswordField(
        lazy_gettext("Password"), validators=[required(N_("Enter the password."))]
    )


class AccountForm(Form):
    """A personal account, made on the way."""

    given_name = StringField(
        lazy_gettext("Given name"), validators=[required(N_("Enter a name.")), AtMost(64)]
    )
    surname = StringField(lazy_gettext("Surname"), validators=[AtMost(64)])
    password = PasswordField(
        lazy_gettext("New password"), validators=[required(N_("Enter a password."))]
    )


@dataclass(frozen=True)
class Subject:
    """Who is signing in: whom a link invites, or whoever typed an address."""

    address: Address
    shown: str
    """Masked until it is proven, when a link named it."""
    purpose: str
    way: Way
    account: Account | None
    opened: redemption.Opened | None
    known: bool
    """Whether a mailed code would lead anywhere."""


def subject() -> Subject | None:
    """From the browser's session; None when there is nothing to sign in for."""
    opened = opened_here()
    if opened is not None:
        way, account = sign_in.discover(
            db.session(), opened.address, guest=opened.user, wanted=picked()
        )
        brand.wear(opened.tenant)
        if way.by_code and account is None and (bound := _mail_of(opened)) is not None:
            return Subject(bound, bound.masked, opened.purpose, way, None, opened, True)
        return Subject(
            opened.address, opened.address.masked, opened.purpose, way, account, opened, True
        )
    typed = session.get("sign_in_as")
    if not typed:
        return None
    address = addresses.parse(typed, rules="rfc")
    way, account = sign_in.discover(db.session(), address)
    _wear_target()
    return Subject(address, address.text, "sign_in", way, account, None, _leads_on(address, way))


def _mail_of(opened: redemption.Opened) -> Address | None:
    """The mailbox that an accepted passcode guest is bound to."""
    identity = sign_in.identity_of_guest(db.session(), opened.user)
    return None if identity is None else addresses.parse(identity.subject, rules="rfc")


def _leads_on(address: Address, way: Way) -> bool:
    """Whether a mailed code would let somebody in: where he is a guest already, or where a direct
    link leads and he is invited. A directory that knows the address is not gone round.
    """
    if belonging.places(db.session(), sign_in.identity_by_code(address)):
        return True
    tenant_id = _target_tenant()
    return (
        tenant_id is not None
        and way.method is not Method.PASSWORD
        and redemption.awaits(db.session(), tenant_id, address)
    )


def _target_tenant() -> UUID | None:
    """The organisation that the page after signing in belongs to, if its address names one."""
    parts = urlsplit(session.get("next") or "")
    if "/oauth2/v2.0/" in parts.path:  # back to an application's request
        with suppress(ValueError):
            return UUID(parts.path.split("/")[1])
    if not parts.path.startswith("/myapps"):
        return None
    named = {name.casefold(): values for name, values in parse_qs(parts.query).items()}
    with suppress(ValueError, Invalid):
        if "tenantid" in named:
            return UUID(named["tenantid"][0])
        domain = addresses.parse_domain(parts.path.removeprefix("/myapps/"))
        return sign_in.tenant_of_domain(db.session(), domain)
    return None


def _wear_target() -> None:
    """Show whose door this is to whoever comes by a direct link."""
    tenant_id = _target_tenant()
    tenant = None if tenant_id is None else db.session.get(Tenant, tenant_id)
    if tenant is not None and tenant.kind is TenantKind.ORGANISATION:
        brand.wear(tenant)


def _start_over() -> ResponseReturnValue:
    return redirect(url_for("sign_in.address"), 303)


@bp.route("/signin", methods=["GET", "POST"])
@public
def address() -> ResponseReturnValue:
    """Sign in: the address."""
    if request.method == "GET":
        target = links.local_path(request.args.get("next"))
        if target:
            session["next"] = target
        elif "next" not in request.args:
            session.pop("next", None)
        if request.args.get("other") != "1" and context.actor_or_none() is not None:
            return redirect(_after(), 303)
    _wear_target()
    form = AddressForm(data={"address": request.args.get("login_hint", "")[:320]})
    if form.validate_on_submit():
        with form.reporting():
            typed = addresses.parse(form.address.data or "", rules="rfc")
            session.pop("redeem", None)
            session["sign_in_as"] = typed.wire
            return redirect(url_for(".password"), 303)
    return render_template(
        "sign_in/address.html",
        form=form,
        others=[one for one in context.accounts() if one is not context.live()],
        expected=_expected(),
    )


def _expected() -> str | None:
    """The domain that an application expects an account of."""
    with suppress(Invalid):
        return addresses.parse_domain(request.args.get("domain_hint", ""))
    return None


@bp.post("/signin/switch")
@public
def switch() -> ResponseReturnValue:
    """Go on as somebody else who is signed in in this browser."""
    if ButtonForm().validate_on_submit():
        here = context.live()
        chosen = request.form.get("account")
        for one in context.accounts():
            if str(one.id) == chosen and one is not here:
                context.switch_account(one)
                return redirect(url_for("my_apps.index"), 303)
    return _start_over()


@bp.route("/signin/organisation", methods=["GET", "POST"])
@public
def organisation() -> ResponseReturnValue:
    """Sign-in options: the organisation first, by its domain (redemption.md, 1)."""
    form = OrganisationForm()
    if form.validate_on_submit():
        with form.reporting():
            name = addresses.parse_domain((form.domain.data or "").strip().lstrip("@"))
            if sign_in.tenant_of_domain(db.session(), name) is None:
                raise Invalid("domain", N_("No organisation here has this domain."))
            return redirect(url_for("my_apps.of_domain", domain=name), 303)
    return render_template("sign_in/organisation.html", form=form)


@bp.post("/signin/way")
@public
def other_way() -> ResponseReturnValue:
    """Sign in another way than the one proposed, if the invitation allows it."""
    who = subject()
    if who is None or who.opened is None or not ButtonForm().validate_on_submit():
        return _start_over()
    wanted = request.form.get("method")
    for method in who.way.others:
        if method == wanted:
            pick(method)
            who = subject()
            assert who is not None
            if who.way.by_code and not session.get("code_sent"):
                mail_code(who)
            break
    return redirect(url_for(".code" if who.way.by_code else ".password"), 303)


@bp.route("/signin/password", methods=["GET", "POST"])
@public
def password() -> ResponseReturnValue:
    """Sign in: the password."""
    who = subject()
    if who is None:
        return _start_over()
    if who.opened is not None and who.way.by_code:
        return redirect(url_for(".code"), 303)
    form = PasswordForm()
    if form.validate_on_submit():
        with form.reporting():
            return _by_password(who, form.password.data or "")
    # The same page for every typed address, whether somebody has it or not (threats.md, SIGN-2).
    may_mail_code = who.opened is None and not _is_hosted(who)
    return render_template(
        "sign_in/password.html", form=form, who=who, may_mail_code=may_mail_code, empty=ButtonForm()
    )


def _is_hosted(who: Subject) -> bool:
    return sign_in.is_hosted(db.session(), who.address.domain)


def _by_password(who: Subject, typed: str) -> ResponseReturnValue:
    """Check the password, and start the session. Raises Throttled, Invalid; both are recorded."""
    with writing() as database_session:
        blocked = sign_in.take_try(
            database_session, who.address.key, ip_address=request.remote_addr, now=now()
        )
    if blocked is not None:
        raise Throttled(N_("Too many attempts for this account from here."), until=blocked)
    stored = sign_in.stored_password(db.session(), who.account)
    right = passwords.matches(stored, typed)  # slow on purpose, so outside the write lock
    with writing() as database_session:
        outcome = sign_in.finish_password(
            database_session,
            who.account,
            right,
            sign_in_name=who.address.key,
            now=now(),
            correlation_id=context.correlation_id(),
            ip_address=request.remote_addr,
            user_agent=request.user_agent.string,
        )
        if not isinstance(outcome, Invalid):
            return _complete(database_session, outcome, who)
    raise outcome


@bp.post("/signin/code/send")
@public
def send_code() -> ResponseReturnValue:
    """Mail a code, or a new one."""
    who = subject()
    if who is None:
        return _start_over()
    if who.opened is not None and not who.way.by_code:
        return redirect(url_for(".password"), 303)
    if ButtonForm().validate_on_submit():
        mail_code(who)
    return redirect(url_for(".code"), 303)


def mail_code(who: Subject) -> None:
    """Owe a code to the subject's mailbox. Raises Throttled."""
    tenant = who.opened.tenant if who.opened else None
    browser = context.browser()
    with writing() as database_session:
        owner = tenant or sign_in.consumer_tenant(database_session)
        blocked = passcodes.send(
            database_session,
            who.address,
            browser=browser,
            purpose=who.purpose,
            tenant_id=owner.id,
            tenant_name=tenant.display_name if tenant else "B2B Collaboration",
            sender_domain=owner.primary_domain,
            language=context.choose_language(),
            now=now(),
            deliver=who.known,
        )
    passcodes.require(blocked)
    session["code_sent"] = True


@bp.route("/signin/code", methods=["GET", "POST"])
@public
def code() -> ResponseReturnValue:
    """Sign in: the mailed code."""
    who = subject()
    if who is None:
        return _start_over()
    if who.opened is not None and not who.way.by_code:
        return redirect(url_for(".password"), 303)
    form = CodeForm()
    if form.validate_on_submit():
        browser = context.browser()
        with form.reporting():
            with writing() as database_session:
                refusal = passcodes.check(
                    database_session,
                    who.address,
                    form.code.data or "",
                    browser=browser,
                    purpose=who.purpose,
                    now=now(),
                )
            if refusal is not None:
                raise refusal
            return _code_was_right(who)
    tries = passcodes.tries_left(
        db.session(), who.address, browser=context.browser(), purpose=who.purpose
    )
    return render_template(
        "sign_in/code.html",
        form=form,
        who=who,
        empty=ButtonForm(),
        tries=tries if tries is not None else passcodes.TRIES,
        sent=bool(session.get("code_sent")),
    )


def _code_was_right(who: Subject) -> ResponseReturnValue:
    identity = sign_in.identity_by_code(who.address)
    if who.way.method is Method.PERSONAL_NEW and sign_in.may_make_account(db.session(), identity):
        _start(identity)
        return redirect(url_for(".account"), 303)
    with writing() as database_session:
        return _complete(database_session, identity, who)


def _start(identity: ExternalIdentity) -> None:
    """Sign in as nobody's guest yet; what comes after signing in is remembered."""
    target = session.get("next")
    with writing() as database_session:
        context.start_session(database_session, identity)
    if target:
        session["next"] = target


@bp.route("/signin/account", methods=["GET", "POST"])
@public
def account() -> ResponseReturnValue:
    """Make a personal account for the address that was just proven."""
    identity = context.identity()
    opened = opened_here()
    if identity is None or not sign_in.may_make_account(db.session(), identity):
        return _start_over()
    if opened is not None:
        brand.wear(opened.tenant)
    form = AccountForm()
    if form.validate_on_submit():
        with form.reporting():
            passwords.check_rules(form.password.data or "", near=identity.label)
            hashed = passwords.hashed(form.password.data or "")
            with writing() as database_session:
                made = sign_in.make_account(
                    database_session,
                    identity,
                    given_name=form.given_name.data or "",
                    surname=form.surname.data or "",
                    password_hash=hashed,
                    preferred_language=context.choose_language(),
                    now=now(),
                    correlation_id=context.correlation_id(),
                )
            _start(made)
            return redirect(url_for("redeem.review") if opened else _after(), 303)
    return render_template(
        "sign_in/account.html", form=form, identity=identity, empty=ButtonForm(), opened=opened
    )


@bp.post("/signin/account/skip")
@public
def keep_code() -> ResponseReturnValue:
    """Stay with mailed codes instead of an account."""
    if not ButtonForm().validate_on_submit() or context.identity() is None:
        return _start_over()
    return redirect(url_for("redeem.review") if opened_here() else _after(), 303)


def _complete(
    database_session: Session, identity: ExternalIdentity, who: Subject
) -> ResponseReturnValue:
    """Start the session: towards the invitation, or into the place where this identity belongs."""
    if who.opened is not None:
        context.start_session(database_session, identity)
        return redirect(url_for("redeem.review"), 303)
    target = links.local_path(session.get("next"))
    places = belonging.places(database_session, identity)
    place = places[0] if places else None
    context.start_session(
        database_session,
        identity,
        tenant_id=place.tenant_id if place else None,
        user_id=place.user_id if place else None,
        beside=True,
    )
    if place is not None and place.is_guest:
        redemption.log_sign_in(database_session, context.acting_at(place), identity)
    return redirect(target or url_for("my_apps.index"), 303)


def _after() -> str:
    return links.local_path(session.pop("next", None)) or url_for("my_apps.index")


@bp.post("/signout")
@public
def sign_out() -> ResponseReturnValue:
    """Sign this browser out."""
    with writing() as database_session:
        context.end_session(database_session)
    return redirect(url_for(".signed_out"), 303)


@bp.get("/signedout")
@public
def signed_out() -> ResponseReturnValue:
    """Signed out."""
    frames = frames_of(context.farewells())
    page = render_template("sign_in/signed_out.html", frames=frames)
    return with_frames(make_response(page), frames)


@bp.post("/language")
@public
def language() -> ResponseReturnValue:
    """Choose the language of the pages."""
    chosen = request.form.get("language", "")
    if chosen in current_app.config["LANGUAGES"]:
        session["language"] = chosen
        actor = context.actor_or_none()
        if actor is not None:
            with writing() as database_session:
                sign_in.set_language(database_session, actor, chosen)
    return redirect(links.local_path(request.form.get("next")) or url_for("home.index"), 303)
