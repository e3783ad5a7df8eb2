"""Certificates and secrets of an app registration. A secret is shown once, when it is made."""

from datetime import timedelta
from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField
from wtforms import StringField

from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.extensions import db
from b2b.models import ApplicationCredential
from b2b.services import app_credentials
from b2b.services.app_registrations import Registered
from b2b.services.permissions import Action
from b2b.web.admin import bp
from b2b.web.admin.registrations import Plain, managed, room
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now, writing
from b2b.web.forms import AtMost, ButtonForm, Choice, uploaded

_ROOM = "registration_credentials"
_LONGEST = 90
_CERTIFICATE = 64 * 1024
"""Bytes of an uploaded certificate that are read."""


class SecretForm(Plain):
    """A new secret."""

    description = StringField(lazy_gettext("Description"), validators=[AtMost(_LONGEST)])
    days = Choice(lazy_gettext("Expires"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.days.choices = [
            ("30", gettext("In 30 days")),
            ("90", gettext("In 90 days")),
            ("180", gettext("In 180 days (recommended)")),
            ("365", gettext("In a year")),
            ("730", gettext("In two years")),
        ]


class CertificateForm(Plain):
    """A certificate to take."""

    certificate = FileField(lazy_gettext("Certificate"))
    called = StringField(lazy_gettext("Name of the certificate"), validators=[AtMost(_LONGEST)])


def _page(
    registration_id: str,
    *,
    secret_form: SecretForm | None = None,
    certificate_form: CertificateForm | None = None,
    made: tuple[ApplicationCredential, str] | None = None,
) -> ResponseReturnValue:
    shown = room(registration_id, _ROOM)
    form = secret_form or certificate_form
    return render_template(
        "admin/registrations/credentials.html",
        **shown,
        form=form or ButtonForm(formdata=None),
        secret_form=secret_form or SecretForm(formdata=None, data={"days": "180"}),
        certificate_form=certificate_form or CertificateForm(formdata=None),
        credentials=app_credentials.credentials_of(db.session(), shown["one"]),
        made=made,
        now=now(),
    )


@bp.get("/app-registrations/<registration_id>/credentials")
@allowed(Action.READ_DIRECTORY)
def registration_credentials(registration_id: str) -> ResponseReturnValue:
    """Certificates and secrets."""
    return _page(registration_id)


@bp.post("/app-registrations/<registration_id>/credentials/secrets")
@allowed(Action.READ_DIRECTORY)
def add_secret(registration_id: str) -> ResponseReturnValue:
    """Make a secret and show it: in the answer alone, because it is kept nowhere (OIDC-9)."""
    form = SecretForm()
    if form.validate_on_submit():
        with form.reporting(Conflict):
            with writing() as session:
                made = app_credentials.add_secret(
                    session,
                    actor(),
                    as_uuid(registration_id),
                    display_name=form.description.data,
                    expires_at=now() + timedelta(days=int(form.days.data)),
                )
            return _page(registration_id, made=made)
    return _page(registration_id, secret_form=form)


@bp.post("/app-registrations/<registration_id>/credentials/certificates")
@allowed(Action.READ_DIRECTORY)
def add_certificate(registration_id: str) -> ResponseReturnValue:
    """Take a certificate."""
    form = CertificateForm()
    if form.validate_on_submit():
        with form.reporting(Conflict):
            content = uploaded(form.certificate, _CERTIFICATE)
            if content is None:
                raise Invalid("certificate", N_("Choose a file."))
            with writing() as session:
                row = app_credentials.add_certificate(
                    session,
                    actor(),
                    as_uuid(registration_id),
                    content,
                    display_name=form.called.data,
                )
            flash(gettext("The certificate %(name)s is taken.", name=row.display_name), "ok")
            return redirect(
                url_for(".registration_credentials", registration_id=registration_id), 303
            )
    return _page(registration_id, certificate_form=form)


def _one(found: Registered, credential_id: str) -> ApplicationCredential:
    wanted = as_uuid(credential_id)
    for row in app_credentials.credentials_of(db.session(), found):
        if row.id == wanted:
            return row
    raise NotFound(N_("There is no secret or certificate with this id."))


@bp.route(
    "/app-registrations/<registration_id>/credentials/<credential_id>/remove",
    methods=["GET", "POST"],
)
@allowed(Action.READ_DIRECTORY)
def remove_credential(registration_id: str, credential_id: str) -> ResponseReturnValue:
    """Ask before a secret or certificate is taken away, and take it away."""
    found = managed(registration_id)
    row = _one(found, credential_id)
    form = ButtonForm()
    back = url_for(".registration_credentials", registration_id=registration_id)
    if form.validate_on_submit():
        with writing() as session:
            app_credentials.remove_credential(session, actor(), found.registration.id, row.id)
        flash(gettext("It is removed, and what was issued for it has ended."), "ok")
        return redirect(back, 303)
    return render_template(
        "admin/registrations/remove_credential.html",
        row=row,
        back=back,
        **room(registration_id, _ROOM),
    )
