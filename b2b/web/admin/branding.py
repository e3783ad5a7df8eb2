"""Branding: how the organisation looks and speaks to its guests, with the letter beside it."""

from typing import Any

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import force_locale, gettext, lazy_gettext
from flask_wtf.file import FileField
from wtforms import BooleanField, StringField

from b2b.errors import N_, Invalid, Refused
from b2b.extensions import db
from b2b.mail import compose
from b2b.models import InvitationLayout, Tenant, TenantPolicy
from b2b.services import branding, permissions, pictures, policies
from b2b.services.branding import Settings
from b2b.services.permissions import Action
from b2b.web import brand, context
from b2b.web.admin import bp
from b2b.web.admin.invitations import in_frame
from b2b.web.context import actor, allowed, takes_up_to, writing
from b2b.web.errors import say
from b2b.web.forms import AtMost, Choice, Form, uploaded
from b2b.web.headers import as_letter

_UPLOAD = 2 * pictures.MOST_BYTES + 256 * 1024
"""Two logos and the other fields; what is slightly too large is told beside its field."""


class BrandingForm(Form):
    """Everything on the page; empty text is *none*."""

    banner = FileField(lazy_gettext("Banner logo"))
    remove_banner = BooleanField(lazy_gettext("Remove the banner logo"))
    square = FileField(lazy_gettext("Square logo"))
    remove_square = BooleanField(lazy_gettext("Remove the square logo"))
    accent = StringField(lazy_gettext("Accent colour"), validators=[AtMost(16)])
    layout = Choice(lazy_gettext("Layout of the invitation mail"))
    notification_language = Choice(lazy_gettext("Language of mails"))
    invitation_days = StringField(
        lazy_gettext("Days until an invitation ends"), validators=[AtMost(8)]
    )
    drop_unsigned_messages = BooleanField(
        lazy_gettext("Leave out personal messages of inviters without a mail address")
    )
    privacy_url = StringField(lazy_gettext("Privacy statement"), validators=[AtMost(2048)])
    privacy_contact = StringField(lazy_gettext("Privacy contact"), validators=[AtMost(320)])
    technical_contact = StringField(lazy_gettext("Technical contact"), validators=[AtMost(320)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layout.choices = [
            (str(InvitationLayout.CLASSIC), gettext("Classic")),
            (str(InvitationLayout.CURRENT), gettext("Current")),
        ]
        self.notification_language.choices = [
            ("", gettext("Not set (English)")),
            *((code, context.NAMES[code]) for code in context.shipped_languages()),
        ]

    def settings(self) -> Settings:
        """What the service is told. Raises Invalid."""
        days = (self.invitation_days.data or "").strip()
        if days and not (days.isascii() and days.isdecimal() and len(days) < 6):
            raise Invalid(
                "invitation_days",
                N_("Enter a number of days from 1 to %(most)s."),
                most=policies.LONGEST_LIFE,
            )
        uploads = {name: uploaded(self[name], pictures.MOST_BYTES) for name in branding.LOGOS}
        removed = {"banner": self.remove_banner.data, "square": self.remove_square.data}
        return Settings(
            accent=self.accent.data or "",
            privacy_url=self.privacy_url.data or "",
            privacy_contact=self.privacy_contact.data or "",
            technical_contact=self.technical_contact.data or "",
            notification_language=self.notification_language.data or "",
            layout=InvitationLayout(self.layout.data),
            invitation_days=int(days) if days else None,
            drop_unsigned_messages=bool(self.drop_unsigned_messages.data),
            uploads={name: data for name, data in uploads.items() if data is not None},
            removed=frozenset(name for name, gone in removed.items() if gone),
        )


def _stored() -> tuple[Tenant, Settings]:
    session, tenant_id = db.session(), actor().tenant_id
    tenant = session.get_one(Tenant, tenant_id)
    return tenant, branding.now_set(tenant, session.get_one(TenantPolicy, tenant_id))


def _filled_in(now: Settings) -> dict[str, Any]:
    return {
        "accent": now.accent,
        "layout": str(now.layout),
        "notification_language": now.notification_language,
        "invitation_days": "" if now.invitation_days is None else str(now.invitation_days),
        "drop_unsigned_messages": now.drop_unsigned_messages,
        "privacy_url": now.privacy_url,
        "privacy_contact": now.privacy_contact,
        "technical_contact": now.technical_contact,
    }


@bp.get("/branding")
@allowed(Action.READ_DIRECTORY)
def show_branding() -> ResponseReturnValue:
    """Branding: for whoever reads the directory, and changed by whoever may."""
    _, now = _stored()
    return _page(BrandingForm(formdata=None, data=_filled_in(now)))


@bp.post("/branding")
@allowed(Action.MANAGE_BRANDING)
@takes_up_to(_UPLOAD)
def save_branding() -> ResponseReturnValue:
    """Save everything on the page."""
    form = BrandingForm()
    if form.validate_on_submit():
        with form.reporting():
            with writing() as session:
                saved = branding.save(session, actor(), form.settings())
            if saved.adjusted:
                flash(
                    gettext(
                        "Saved. The accent colour was too pale for white text, so a darker shade "
                        "of it is used: %(colour)s.",
                        colour=saved.accent,
                    ),
                    "info",
                )
            else:
                flash(gettext("Saved.") if saved.changed else gettext("Nothing was changed."), "ok")
            return redirect(url_for(".show_branding"), 303)
    return _page(form)


def _page(form: BrandingForm) -> ResponseReturnValue:
    tenant, _ = _stored()
    return render_template(
        "admin/branding.html",
        form=form,
        may_change=permissions.allows(actor(), Action.MANAGE_BRANDING),
        banner_url=brand.logo_url(tenant, "banner"),
        square_url=brand.logo_url(tenant, "square"),
    )


@bp.route("/branding/preview", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
@takes_up_to(_UPLOAD)
def branding_preview() -> ResponseReturnValue:
    """The invitation mail with these settings, for the frame beside the form; changes nothing."""
    try:
        if request.method == "POST":
            form = BrandingForm()
            if form.layout.data not in set(InvitationLayout):
                raise Invalid("layout", N_("Choose one from the list."))
            wanted = form.settings()
        else:
            wanted = _stored()[1]
        language = wanted.notification_language or "en"
        with force_locale(language if language in context.shipped_languages() else "en"):
            message = gettext("Here stands what the inviter writes, if anything.")
        letter, drafts = branding.draft(db.session(), actor(), wanted, message=message)
    except Refused as error:
        return in_frame(say(error))
    rendered = compose.render(
        letter["template"],
        letter["context"],
        tenant_id=actor().tenant_id,
        language=letter["language"],
        pictures=brand.letter_pictures({made.kind: made for made in drafts.values()}),
    )
    if request.values.get("as") == "text":
        return as_letter(Response(rendered.text, mimetype="text/plain"))
    return as_letter(make_response(rendered.document))
