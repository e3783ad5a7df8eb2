"""External collaboration settings on the page."""

from flask import Flask

from b2b.extensions import db
from b2b.models import AllowInvitesFrom, DomainList, TenantPolicy
from tests.cast import Cast
from tests.pages import Browser
from tests.web.test_every_route import csrf_of

PATH = "/admin/settings/external"


def policy(app: Flask, cast: Cast) -> TenantPolicy:
    with app.app_context():
        found = db.session.get_one(TenantPolicy, cast.woodgrove)
        db.session.expunge(found)
        db.session.remove()
        return found


def values(browser: Browser) -> dict[str, str]:
    """The form as a browser would send it: radios and checkboxes that are on."""
    form = browser.get(PATH).form(PATH)
    found = {}
    for field in form.select("input[checked]"):
        found[str(field["name"])] = str(field.get("value", "y"))
    return found


def test_settings_are_saved_and_shown_again(app: Flask, cast: Cast, john: Browser) -> None:
    page = john.get(PATH)
    assert page.h1 == "External collaboration"
    wanted = values(john) | {
        "allow_invites_from": "adminsAndGuestInviters",
        "domain_list": "block",
        "domains": "Live.com\r\nbücher.example",
        "invitation_days": "7",
    }
    page = page.submit(PATH, **wanted)
    assert "Saved." in page.text
    kept = policy(app, cast)
    assert kept.allow_invites_from is AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS
    assert (kept.domain_list, kept.domains) == (
        DomainList.BLOCK, ["live.com", "xn--bcher-kva.example"],
    )  # fmt: skip
    assert kept.invitation_days == 7
    shown = page.soup.select_one("textarea[name=domains]")
    assert shown is not None
    assert shown.get_text().split() == ["live.com", "bücher.example"]
    assert "xn--bcher-kva.example" in page.text
    page = page.submit(PATH, **(values(john) | {"never_ends": "y"}))
    assert policy(app, cast).invitation_days is None


def test_wrong_lines_are_named_and_nothing_typed_is_lost(
    app: Flask, cast: Cast, john: Browser
) -> None:
    wanted = values(john) | {"domain_list": "allow", "domains": "contoso.example\nno domain"}
    page = john.get(PATH).submit(PATH, **wanted)
    assert page.errors == ["Lines that are not understood: 1"]
    assert "Line 2: no domain" in page.text
    kept = page.soup.select_one("textarea[name=domains]")
    assert kept is not None
    assert kept.get_text().split("\n")[-1].strip() == "no domain"
    assert policy(app, cast).domain_list is DomainList.OFF
    for days in ("", "x", "0"):
        page = john.get(PATH).submit(PATH, **(values(john) | {"invitation_days": days}))
        assert len(page.errors) == 1, days
    assert policy(app, cast).invitation_days == 30


def test_a_forced_value_is_refused(app: Flask, cast: Cast, john: Browser) -> None:
    for name in ("allow_invites_from", "guest_access", "domain_list", "landing_pages"):
        page = john.get(PATH).submit(PATH, **(values(john) | {name: "everything"}))
        assert page.errors == ["Choose one from the list."], name


def test_others_read_the_settings_and_who_could_change_them(
    app: Flask, cast: Cast, adele: Browser
) -> None:
    """ADM-2"""
    page = adele.get(PATH)
    assert "Changing it needs the role Global Administrator." in page.text
    assert page.soup.select_one("fieldset[disabled]") is not None
    assert not page.soup.select("main button[type=submit]")
    token = {"csrf_token": csrf_of(adele, "/admin/users/invite")}
    forced = adele.post(PATH, token | {"allow_invites_from": "none"})
    assert forced.status == 403
    assert policy(app, cast).allow_invites_from is AllowInvitesFrom.EVERYONE
