"""A guest opens the demo's applications from My Apps, is recognised, is turned away, signs out."""

import re

import pytest
from playwright.sync_api import expect

from tests.journeys import story
from tests.journeys.conftest import Enter, on_both_databases
from tests.journeys.people import PHONE, Visitor
from tests.journeys.program import Program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

MINJUN = "minjun.kim@contoso.example"
HOME = r"/demo/projects/"


def says(visitor: Visitor, words: str, value: str) -> None:
    """A line of what the application was told."""
    term = visitor.main.locator("dt", has_text=words)
    expect(term.locator("xpath=following-sibling::dd[1]")).to_contain_text(value)


def client_id(program: Program, path: str) -> str:
    return next(str(app["clientId"]) for app in program.demo["applications"] if app["path"] == path)


@on_both_databases
def test_a_guest_is_recognised_by_an_application_and_turned_away_by_another(
    enter: Enter, program: Program
) -> None:
    """APP-1, OIDC-10"""
    otto = enter("Otto")
    john = enter("John")
    story.opens_the_portal(john)
    story.fills_in_the_form(john, story.OTTO)
    story.sends(john, story.OTTO)

    # He comes by the application's own sign-in, is asked for consent, and is back there.
    otto.goes_to("/demo/projects/").sees_named("Welcome to WoodGrove Projects", at=HOME)
    otto.follows("Sign in", within="main")
    otto.fills({"E-mail address": story.OTTO}).presses("Continue")
    otto.fills({"Password": program.password(story.OTTO)}).presses("Sign in")
    story.reviews_permissions(otto)
    otto.presses("Accept")
    story.sees_the_profile(otto)
    otto.presses("Skip").sees_named("Hello, Otto Brandt", "Guest of WoodGrove", at=HOME)
    woodgrove = program.tenant_id("WoodGrove")
    says(otto, "Signs in as", story.OTTO)
    says(otto, "Where the account is", f"{program.url}/{program.tenant_id('Contoso')}/")
    says(otto, "Organisation", str(woodgrove))
    guest = program.guest(story.OTTO)
    assert guest is not None
    says(otto, "Object id there", str(guest.user["id"]))
    assert "AADSTS" not in otto.main.inner_text()

    # The tile asks first, and the application knows him already.
    otto.goes_to(f"/myapps?tenantid={woodgrove}").sees("Apps", at="/myapps")
    otto.leaving(otto.main.get_by_role("link", name="WoodGrove Projects").click)
    otto.sees_named("Hello, Otto Brandt", at=HOME)

    # The other application is not for him: from there, and by the link of a tile.
    otto.allowed.add(403)
    otto.follows("Open WoodGrove Permits", within="main")
    otto.sees_named("You have no access to this application", "WoodGrove Permits")
    expect(otto.main.get_by_role("link", name="john.doe@woodgrove.example")).to_be_visible()
    otto.goes_to(
        f"/myapps/signin/Permits/{client_id(program, 'permits')}?tenantId={woodgrove}"
    ).sees_named("You have no access to this application", at=r"/myapps/signin/.*")
    expect(otto.main).to_contain_text("AADSTS50105")

    # Signing out there signs out here.
    otto.goes_to("/demo/projects/").presses("Sign out")
    otto.sees_named("You are signed out of WoodGrove Projects", at="/demo/projects/signed-out")
    otto.goes_to("/demo/projects/").sees_named("Welcome to WoodGrove Projects", at=HOME)
    otto.goes_to("/myapps").sees("Sign in", at="/signin")


def test_on_a_phone_without_scripts_and_with_a_role(enter: Enter, program: Program) -> None:
    minjun = enter("Minjun", viewport=PHONE, java_script_enabled=False)
    minjun.goes_to("/demo/projects/").follows("Sign in", within="main")
    minjun.fills({"E-mail address": MINJUN}).presses("Continue")
    minjun.fills({"Password": program.password(MINJUN)}).presses("Sign in")
    expect(minjun.page.get_by_role("heading", level=1)).to_contain_text("김민준")
    assert re.fullmatch(HOME, minjun.path)
    expect(minjun.main).to_contain_text("Project.Contribute")
    expect(minjun.main).to_contain_text(MINJUN)


def test_a_sign_out_that_is_not_proven_asks_first(enter: Enter, program: Program) -> None:
    """OIDC-10"""
    john = enter("John")
    story.opens_the_portal(john)
    john.goes_to(f"/{program.tenant_id('WoodGrove')}/oauth2/v2.0/logout").sees("Sign out?")
    john.follows("Stay signed in", within="main").sees("Apps", at="/myapps")
    john.goes_to("/demo/permits/").follows("Sign in", within="main")
    john.sees_named("Hello, John Doe", at="/demo/permits/")
    expect(john.main).to_contain_text("Member of WoodGrove")
