"""The admin portal: one page group a module, one blueprint for them all."""

from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from b2b.services import permissions
from b2b.services.permissions import Action
from b2b.test_double import state as test_double
from b2b.web import context

bp = Blueprint("admin", __name__, url_prefix="/admin")


@bp.before_request
def _guests_elsewhere() -> ResponseReturnValue | None:
    """Guests without a role are shown the way to My Apps, whichever page they ask for."""
    actor = context.actor_or_none()
    if actor is None or permissions.allows(actor, Action.READ_DIRECTORY):
        return None
    return render_template("admin/guests_elsewhere.html"), 403


@bp.context_processor
def _navigation() -> dict[str, Any]:
    """The sidebar; entries that the role may not open are absent."""
    actor = context.actor_or_none()
    if actor is None or not permissions.allows(actor, Action.READ_DIRECTORY):
        return {"nav": []}
    here = request.endpoint or ""

    def entry(label: str, icon: str, endpoint: str) -> dict[str, Any]:
        return {
            "label": label,
            "url": url_for(endpoint),
            "icon": icon,
            "current": here == endpoint,
            "count": None,
        }

    return {
        "nav": [
            {"title": None, "entries": [entry(gettext("Home"), "home", "admin.home")]},
            {
                "title": gettext("People"),
                "entries": [
                    entry(gettext("Users"), "people", "admin.users"),
                    entry(
                        gettext("Invitations")
                        if permissions.allows(actor, Action.MANAGE_INVITATIONS)
                        else gettext("People I invited"),
                        "letter",
                        "admin.invitations",
                    ),
                    entry(gettext("Invite external user"), "mail", "admin.invite"),
                    entry(gettext("Groups"), "group", "admin.groups"),
                ],
            },
            {
                "title": gettext("Access"),
                "entries": [
                    entry(gettext("Applications"), "apps", "admin.applications"),
                    entry(gettext("App registrations"), "code", "admin.app_registrations"),
                ],
            },
            *(
                [
                    {
                        "title": gettext("Activity"),
                        "entries": [
                            entry(gettext("Audit log"), "book", "admin.audit_log"),
                            entry(gettext("Sign-ins"), "door", "admin.sign_ins"),
                        ],
                    }
                ]
                if permissions.allows(actor, Action.READ_AUDIT)
                else []
            ),
            {
                "title": gettext("Organisation"),
                "entries": [
                    entry(gettext("External collaboration"), "shield", "admin.external_settings"),
                    entry(gettext("Branding"), "building", "admin.show_branding"),
                    *(
                        [entry(gettext("Mail delivery"), "send", "admin.mail")]
                        if permissions.allows(actor, Action.MANAGE_MAIL)
                        else []
                    ),
                    *(
                        [entry(gettext("Test tools"), "flask", "admin.test_tools")]
                        if permissions.allows(actor, Action.MANAGE_POLICY) and test_double.of_app()
                        else []
                    ),
                ],
            },
        ]
    }


from b2b.web.admin import (  # noqa: E402, F401 - they bind their routes to bp
    applications,
    audit,
    branding,
    claims,
    groups,
    home,
    invitation_list,
    invitations,
    mail,
    owners,
    person,
    registration_api,
    registration_credentials,
    registration_permissions,
    registration_tokens,
    registrations,
    settings,
    sign_ins,
    test_tools,
    try_sign_in,
    users,
)
