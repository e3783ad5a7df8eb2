"""One's own photograph, for the letters sent in one's name."""

from flask import Blueprint, Response, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField

from b2b.errors import N_, Invalid, NotFound
from b2b.extensions import db
from b2b.models import Picture, PictureKind, Tenant
from b2b.services import photographs, pictures
from b2b.web import brand
from b2b.web.context import actor, signed_in, takes_up_to, writing
from b2b.web.forms import ButtonForm, Form, uploaded

bp = Blueprint("photo", __name__, url_prefix="/profile/photo")


class PhotoForm(Form):
    """A new photograph."""

    photo = FileField(lazy_gettext("New photo"))


def _own() -> Picture | None:
    who = actor()
    if who.user_id is None:
        return None
    return pictures.find(db.session(), who.tenant_id, who.user_id, PictureKind.PHOTO)


@bp.route("", methods=["GET", "POST"])
@signed_in
@takes_up_to(pictures.MOST_BYTES + 256 * 1024)
def show() -> ResponseReturnValue:
    """Your photo."""
    form = PhotoForm()
    if form.validate_on_submit():
        with form.reporting():
            content = uploaded(form.photo, pictures.MOST_BYTES)
            if content is None:
                raise Invalid("photo", N_("Choose a picture."))
            with writing() as session:
                photographs.put_own(session, actor(), content)
            flash(gettext("Saved."), "ok")
            return redirect(url_for(".show"), 303)
    brand.wear(db.session.get_one(Tenant, actor().tenant_id))
    found = _own()
    return render_template(
        "photo/photo.html",
        form=form,
        url=url_for(".picture", digest=found.digest) if found else None,
    )


@bp.post("/remove")
@signed_in
def remove() -> ResponseReturnValue:
    """Do without a photograph."""
    if ButtonForm().validate_on_submit():
        with writing() as session:
            photographs.remove_own(session, actor())
        flash(gettext("The photo was removed."), "ok")
    return redirect(url_for(".show"), 303)


@bp.get("/<digest>")
@signed_in
def picture(digest: str) -> ResponseReturnValue:
    """The photograph itself, shown to its owner alone."""
    found = _own()
    if found is None or found.digest != digest:
        raise NotFound()
    return Response(found.data, mimetype=found.media_type)
