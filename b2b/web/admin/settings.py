"""External collaboration settings: who may invite, what guests see, which domains and pages."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, IntegerField, RadioField, TextAreaField
from wtforms.validators import Optional, ValidationError

from b2b.extensions import db
from b2b.models import AllowInvitesFrom, DomainList, GuestAccess, LandingPages, TenantPolicy
from b2b.services import addresses, permissions, policies
from b2b.services.permissions import Action
from b2b.services.policies import InvalidLines, Settings
from b2b.web import words
from b2b.web.admin import bp
from b2b.web.context import actor, allowed, writing
from b2b.web.errors import say
from b2b.web.forms import Form

_LONGEST_TEXT = 60_000


class _Days(IntegerField):
    """A whole number, whose error is in our words."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata([text.strip() for text in valuelist])
        except ValueError:
            raise ValueError(gettext("Enter a number of days.")) from None


class _Radios(RadioField):
    """One of several, whose error is in our words."""

    def pre_validate(self, form: Any) -> None:
        try:
            super().pre_validate(form)
        except ValidationError:
            raise ValidationError(gettext("Choose one from the list.")) from None


class SettingsForm(Form):
    """Everything on the page."""

    allow_invites_from = _Radios(lazy_gettext("Who may invite"))
    guest_access = _Radios(lazy_gettext("What guests see of the directory"))
    domain_list = _Radios(lazy_gettext("Domains that may be invited"))
    domains = TextAreaField(lazy_gettext("Domains"))
    landing_pages = _Radios(lazy_gettext("Where invitations may lead"))
    landing_hosts = TextAreaField(lazy_gettext("Hosts"))
    never_ends = BooleanField(lazy_gettext("Invitations never expire"))
    invitation_days = _Days(
        lazy_gettext("Days until an invitation expires"), validators=[Optional()]
    )
    keep_typed_names = BooleanField(lazy_gettext("Keep the name that the inviter typed"))
    guests_may_leave = BooleanField(lazy_gettext("Guests may leave by themselves"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for field, choices in _choices().items():
            self[field].choices = choices
        if not self.is_submitted():
            return
        for field in (self.domains, self.landing_hosts):
            field.data = (field.data or "")[:_LONGEST_TEXT].replace("\0", "")

    def settings(self) -> Settings:
        """What was asked for."""
        return Settings(
            allow_invites_from=AllowInvitesFrom(self.allow_invites_from.data),
            guest_access=GuestAccess(self.guest_access.data),
            domain_list=DomainList(self.domain_list.data),
            domains=_lines(self.domains.data),
            landing_pages=LandingPages(self.landing_pages.data),
            landing_hosts=_lines(self.landing_hosts.data),
            invitation_days=None if self.never_ends.data else self.invitation_days.data or 0,
            keep_typed_names=self.keep_typed_names.data,
            guests_may_leave=self.guests_may_leave.data,
        )


def _choices() -> dict[str, list[tuple[str, str]]]:
    return {
        "allow_invites_from": [(one, gettext(said)) for one, said in words.INVITING.items()],
        "guest_access": [(one, gettext(said)) for one, said in words.SEEING.items()],
        "domain_list": [
            (DomainList.OFF, gettext("Every domain")),
            (DomainList.BLOCK, gettext("Every domain except these")),
            (DomainList.ALLOW, gettext("Only these domains")),
        ],
        "landing_pages": [
            (LandingPages.ANY_HTTPS, gettext("Any page with https")),
            (LandingPages.LISTED, gettext("Only pages on these hosts")),
        ],
    }


def _lines(text: str | None) -> list[str]:
    return (text or "").splitlines()


def _as_typed(policy: TenantPolicy) -> dict[str, Any]:
    """The settings as the form shows them; internationalised domains as people read them."""
    return {
        "allow_invites_from": str(policy.allow_invites_from),
        "guest_access": str(policy.guest_access),
        "domain_list": str(policy.domain_list),
        "domains": "\n".join(_readable(domain) for domain in policy.domains),
        "landing_pages": str(policy.landing_pages),
        "landing_hosts": "\n".join(policy.landing_hosts),
        "never_ends": policy.invitation_days is None,
        "invitation_days": policy.invitation_days,
        "keep_typed_names": policy.keep_typed_names,
        "guests_may_leave": policy.guests_may_leave,
    }


def _readable(domain: str) -> str:
    return addresses.in_unicode(f"x@{domain}").removeprefix("x@")


def _show(form: SettingsForm, lines: InvalidLines | None = None) -> str:
    who = actor()
    policy = policies.of(db.session(), who)
    return render_template(
        "admin/settings/external.html",
        form=form,
        may_change=permissions.allows(who, Action.MANAGE_POLICY),
        role=permissions.least_role(Action.MANAGE_POLICY).display_name,
        international=[
            (_readable(domain), domain) for domain in policy.domains if "xn--" in domain
        ],
        problems=[(number, text, say(error)) for number, text, error in lines.problems]
        if lines
        else [],
        problem_field=lines.field if lines else None,
        largest=policies.LARGEST,
        longest_life=policies.LONGEST_LIFE,
    )


@bp.get("/settings/external")
@allowed(Action.READ_DIRECTORY)
def external_settings() -> ResponseReturnValue:
    """External collaboration."""
    policy = policies.of(db.session(), actor())
    return _show(SettingsForm(formdata=None, data=_as_typed(policy)))


@bp.post("/settings/external")
@allowed(Action.MANAGE_POLICY)
def change_external_settings() -> ResponseReturnValue:
    """Save the settings."""
    form = SettingsForm()
    lines = None
    if form.validate_on_submit():
        with form.reporting():
            try:
                with writing() as session:
                    policies.change(session, actor(), form.settings())
            except InvalidLines as error:
                lines = error
                raise
            flash(gettext("Saved. Settings apply from now on."), "ok")
            return redirect(url_for(".external_settings"), 303)
    return _show(form, lines)
