"""The first admin's set-up page, reached once by the link that `flask init` prints."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import PasswordField

from b2b.errors import N_, Invalid
from b2b.extensions import db
from b2b.services import passwords, tenants
from b2b.web import brand
from b2b.web.context import now, public, writing
from b2b.web.forms import Form, required

bp = Blueprint("setup", __name__)


class SetupForm(Form):
    """Choose a password."""

    password = PasswordField(
        lazy_gettext("New password"), validators=[required(N_("Enter a password."))]
    )
    password_again = PasswordField(
        lazy_gettext("New password again"), validators=[required(N_("Enter the password again."))]
    )

    def chosen(self, near: str) -> str:
        """The password, if both are the same and the rules hold. Raises Invalid."""
        password = self.password.data or ""
        passwords.check_rules(password, near=near)
        if password != self.password_again.data:
            raise Invalid("password_again", N_("The two passwords are not the same."))
        return password


@bp.route("/setup/<secret>", methods=["GET", "POST"])
@public
def start(secret: str) -> ResponseReturnValue:
    """Set up the first administrator."""
    user, tenant = tenants.setup_person(db.session(), secret, now=now())
    name = user.user_principal_name
    brand.wear(tenant)
    form = SetupForm()
    if form.validate_on_submit():
        with form.reporting():
            hashed = passwords.hashed(form.chosen(name))
            with writing() as session:
                tenants.finish_setup(session, secret, hashed, now=now())
            flash(gettext("Your password is set. Sign in with it."), "ok")
            return redirect(url_for("sign_in.address", next=url_for("admin.home")), 303)
    return render_template("setup/start.html", form=form, name=name, tenant=tenant)
