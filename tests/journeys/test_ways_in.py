"""Ways in beside the mail's button, every page that a link can end on, and the way out again."""

from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import create_engine, update
from sqlalchemy.orm import Session

from b2b.models import Invitation, Tenant, TenantPolicy, User
from tests.journeys import story
from tests.journeys.conftest import Enter, on_both_databases
from tests.journeys.people import PHONE, Visitor
from tests.journeys.program import Program
from tests.journeys.story import MESSAGE, OTTO, SAM
from tests.journeys.words import KOREAN

pytestmark = pytest.mark.browser

NADIA = "nadia.haddad@partner.example"


def invites(program: Program, enter: Enter, *addresses: str) -> Visitor:
    """John invites people, and the mail is there."""
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, *addresses).presses("Invite")
    for address in addresses:
        program.wait_for_mail(address)
    return john


def changes(program: Program, *statements: Any) -> None:
    """What an administrator or time has changed meanwhile."""
    engine = create_engine(program.database_url)
    with Session(engine) as session:
        for statement in statements:
            session.execute(statement)
        session.commit()
    engine.dispose()


def signs_in(guest: Visitor, address: str = OTTO) -> Visitor:
    """Address, then password, wherever the sign-in page was asked for."""
    guest.sees("Sign in", "To continue to", at="/signin")
    guest.fills({"E-mail address": address}).presses("Continue")
    guest.fills({"Password": guest.program.password(address)})
    return guest.presses("Sign in")


def last_of(program: Program, address: str) -> str:
    """The newest activity that the audit log has of a guest."""
    guest = program.guest(address)
    assert guest is not None
    return guest.activities[-1]


def comes_by_the_direct_link_and_leaves(otto: Visitor) -> None:
    """No mail is opened: sign in, consent, My Apps; then the way out, confirmed by name."""
    otto.goes_to("/myapps/woodgrove.example")
    story.reviews_permissions(signs_in(otto), "Otto Brandt", OTTO).presses("Accept")
    story.sees_the_profile(otto, Display_name="Otto Brandt").presses("Skip")
    otto.sees("Apps", "WoodGrove Projects", at="/myapps")

    otto.goes_to("/account/organisations").sees("Organisations you are in", "Contoso")
    otto.leaving(otto.main.get_by_role("link", name="Leave WoodGrove").click)
    otto.sees("Leave %(organisation)s?", organisation="WoodGrove")
    otto.fills({"Name of the organisation": "Contoso"})
    otto.presses("Leave %(organisation)s", organisation="WoodGrove")
    otto.sees("Leave %(organisation)s?", "There is a problem", organisation="WoodGrove")
    otto.fills({"Name of the organisation": "WoodGrove"})
    otto.presses("Leave %(organisation)s", organisation="WoodGrove")
    otto.sees("You left %(organisation)s", at="/account/left", organisation="WoodGrove")
    otto.follows("Go to your other organisations").sees("Apps", at="/myapps")
    otto.allowed.add(409)
    otto.goes_to("/myapps/woodgrove.example").sees("No access with this account", OTTO)


@on_both_databases
def test_otto_comes_by_the_direct_link_and_leaves(program: Program, enter: Enter) -> None:
    invites(program, enter, OTTO)
    otto = enter("Otto")
    comes_by_the_direct_link_and_leaves(otto)
    expect(otto.main).to_contain_text("No access with this account")
    assert last_of(program, OTTO) == "Leave organization"


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"java_script_enabled": False},
        {"viewport": PHONE, "is_mobile": True, "has_touch": True},
        {"color_scheme": "dark"},
    ],
    ids=["without scripts", "on a phone", "in the dark"],
)
def test_otto_comes_and_leaves_whatever_his_browser(
    program: Program, enter: Enter, options: dict[str, Any]
) -> None:
    invites(program, enter, OTTO)
    otto = enter("Otto", **options)
    comes_by_the_direct_link_and_leaves(otto)
    expect(otto.main).to_contain_text("No access with this account")
    assert last_of(program, OTTO) == "Leave organization"


@pytest.mark.long
def test_otto_comes_and_leaves_in_korean(program: Program, enter: Enter) -> None:
    """The same pages in the same order, each in Korean, none with words cut off."""
    invites(program, enter, OTTO)
    otto = enter("Otto", words=KOREAN)

    def fills_and_sends(selector: str, text: str) -> None:
        otto.check()
        otto.page.locator(selector).fill(text)
        otto.leaving(lambda: otto.page.keyboard.press("Enter"))

    def presses_at(path: str, selector: str) -> None:
        assert otto.path == path
        otto.check()
        otto.leaving(otto.main.locator(selector).click)

    otto.goes_to("/myapps/woodgrove.example")
    # His account says English; what is chosen on the page wins.
    otto.leaving(lambda: otto.page.locator("#language-picker").select_option("ko"))
    fills_and_sends("#address", OTTO)
    fills_and_sends("#password", program.password(OTTO))
    presses_at("/redeem/review", "form[action$=accept] button")
    presses_at("/profile", "form[action$=skip] button")
    assert otto.path == "/myapps"
    for page in ("/myapps", "/profile", "/account/sign-in", "/account/sessions"):
        otto.goes_to(page).check()
    otto.goes_to("/account/organisations").check()
    otto.leaving(otto.main.locator("a[href$=leave]").click)
    fills_and_sends("#name", "WoodGrove")
    assert otto.path == "/account/left"
    otto.check()


@on_both_databases
@pytest.mark.long
def test_every_way_back_in_leads_to_my_apps(program: Program, enter: Enter) -> None:
    invites(program, enter, OTTO)
    otto = enter("Otto")
    story.opens_the_link(otto, program.wait_for_mail(OTTO))
    story.sees_who_invites(otto, MESSAGE).presses("Get Started")
    otto.fills({"Password": program.password(OTTO)}).presses("Sign in")
    story.reviews_permissions(otto).presses("Accept")
    story.sees_the_profile(otto).presses("Skip")
    otto.sees("Apps", "WoodGrove Projects", at="/myapps")
    tenant = program.tenant_id("WoodGrove")
    for address in (f"/myapps?tenantid={tenant}", "/myapps/woodgrove.example"):
        story.signs_out(otto)
        otto.goes_to(address)
        signs_in(otto).sees("Apps", "WoodGrove Projects", at="/myapps")
    story.signs_out(otto)
    otto.goes_to("/signin").page.get_by_text("Sign-in options").click()
    otto.leaving(otto.main.get_by_role("link", name="Sign in to an organisation").click)
    otto.sees("Sign in to an organisation").fills({"Domain of the organisation": "nowhere.example"})
    otto.presses("Continue").sees("Sign in to an organisation", "No organisation here")
    otto.fills({"Domain of the organisation": "woodgrove.example"}).presses("Continue")
    signs_in(otto).sees("Apps", at="/myapps")
    expect(otto.main).to_contain_text("WoodGrove Projects")
    assert last_of(program, OTTO) == "Redeem external user invite"


@on_both_databases
@pytest.mark.long
def test_sam_with_a_personal_account_only_signs_in(program: Program, enter: Enter) -> None:
    """The second organisation's link asks for the password that he chose at the first."""
    invites(program, enter, SAM)
    sam = enter("Sam")
    story.opens_the_link(sam, program.wait_for_mail(SAM))
    story.sees_who_invites(sam, MESSAGE).presses("Get Started")
    story.proves_the_address(sam, SAM)
    story.makes_an_account(sam, "Sam", "Oogle")
    story.reviews_permissions(sam, SAM).presses("Cancel")
    sam.sees("You declined the invitation", at="/redeem/declined")
    count = len(program.mails(SAM))
    story.opens_the_link(sam, program.wait_for_mail(SAM))
    story.sees_who_invites(sam, "You declined on").presses("Get Started")
    sam.sees("Enter your password", "Sign in another way", at="/signin/password")
    sam.fills({"Password": story.PHRASE}).presses("Sign in")
    story.reviews_permissions(sam, "Sam Oogle", SAM).presses("Accept")
    story.sees_the_profile(sam, Display_name="Sam Oogle").presses("Skip")
    sam.sees("Apps", at="/myapps")
    assert len(program.mails(SAM)) == count, "no code was mailed"


@pytest.mark.long
def test_nadia_makes_a_personal_account_though_a_code_was_offered(
    program: Program, enter: Enter
) -> None:
    invites(program, enter, NADIA)
    nadia = enter("Nadia")
    story.opens_the_link(nadia, program.wait_for_mail(NADIA))
    story.sees_who_invites(nadia, MESSAGE).presses("Get Started")
    nadia.sees("Check your mail").page.get_by_text("Sign in another way").click()
    nadia.leaving(nadia.main.get_by_role("button", name="Make a personal account").click)
    story.proves_the_address(nadia, NADIA)
    story.makes_an_account(nadia, "Nadia", "Haddad")
    story.reviews_permissions(nadia, "Nadia Haddad", NADIA).presses("Accept")
    story.sees_the_profile(nadia, Display_name="Nadia Haddad")
    guest = program.guest(NADIA)
    assert guest is not None
    assert guest.user["source"] == "Microsoft Account"


@on_both_databases
@pytest.mark.long
def test_every_page_that_a_link_can_end_on(program: Program, enter: Enter) -> None:
    """Each names the cause, who can mend it, and what a helpdesk asks for."""
    invites(program, enter, OTTO)
    mail = program.wait_for_mail(OTTO)
    guest = program.guest(OTTO)
    assert guest is not None
    tenant = program.tenant_id("WoodGrove")
    mine = (Invitation.tenant_id == tenant) & (Invitation.user_id == guest.user["id"])
    person = (User.tenant_id == tenant) & (User.id == guest.user["id"])
    policy = update(TenantPolicy).where(TenantPolicy.tenant_id == tenant)
    valid_from = guest.invitation["valid_from"]
    otto = enter("Otto")
    otto.allowed |= {403, 404}

    def ends(title: str, code: str, **values: str) -> None:
        story.opens_the_link(otto, mail).sees(title, at="/redeem", **values)
        details = otto.main.locator("details.behind").last
        details.locator("summary").click()
        expect(details).to_contain_text(code)
        expect(details.get_by_role("button", name="Copy all of it")).to_be_visible()

    changes(program, policy.values(domain_list="block", domains=["contoso.example"]))
    ends("%(organisation)s does not take guests from your domain", "DomainBlocked",
         organisation="WoodGrove")  # fmt: skip
    changes(
        program,
        policy.values(domain_list="off", domains=[]),
        update(User).where(person).values(account_enabled=False),
    )
    ends("%(organisation)s has blocked this account", "AADSTS50057", organisation="WoodGrove")
    changes(
        program,
        update(User).where(person).values(account_enabled=True),
        update(Invitation).where(mine).values(valid_from=valid_from.replace(year=2020)),
    )
    ends("This invitation has expired", "InvitationExpired")
    otto.fills({"A line to the person who invited you": "Still interested"})
    otto.presses("Ask for a new invitation")
    story.told(otto, "%(name)s was asked.", name="John Doe")
    assert "Still interested" in program.wait_for_mail(story.JOHN).text
    changes(
        program,
        update(Tenant).where(Tenant.id == tenant).values(privacy_url=None, privacy_contact=None),
        update(Invitation).where(mine).values(valid_from=valid_from),
    )
    story.opens_the_link(otto, mail)
    story.sees_who_invites(otto).presses("Get Started")
    otto.fills({"Password": program.password(OTTO)}).presses("Sign in")
    story.reviews_permissions(otto, "WoodGrove has not given a privacy statement.")
    assert otto.page.evaluate("document.activeElement.tagName") not in ("BUTTON", "INPUT")
    changes(program, update(Invitation).where(mine).values(cancelled_at=valid_from))
    otto.presses("Accept").sees("This link cannot be used")
    ends("This link cannot be used", "InvitationNotUsable")


@pytest.mark.long
def test_otto_redeems_and_leaves_with_the_keyboard_alone(program: Program, enter: Enter) -> None:
    invites(program, enter, OTTO)
    otto = enter("Otto")
    otto.goes_to("/myapps/woodgrove.example").sees("Sign in")
    story.types(otto, "E-mail address", OTTO)
    otto.leaving(lambda: otto.page.keyboard.press("Enter"))
    story.types(otto, "Password", program.password(OTTO))
    otto.leaving(lambda: otto.page.keyboard.press("Enter"))
    story.reviews_permissions(otto)
    story.hits_enter_on(otto, "Accept")
    story.sees_the_profile(otto)
    story.hits_enter_on(otto, "Skip")
    otto.goes_to("/account/organisations").sees("Organisations you are in")
    story.reaches(otto, otto.main.get_by_role("link", name="Leave WoodGrove"))
    otto.leaving(lambda: otto.page.keyboard.press("Enter"))
    story.types(otto, "Name of the organisation", "woodgrove")
    otto.leaving(lambda: otto.page.keyboard.press("Enter"))
    expect(otto.main).to_contain_text("You left WoodGrove")
    assert last_of(program, OTTO) == "Leave organization"


@pytest.mark.long
def test_signing_out_everywhere_reaches_the_other_browser(program: Program, enter: Enter) -> None:
    """SES-1, in two real browsers; REL-9: a restart between two clicks signs nobody out"""
    first, second = enter("Otto"), enter("Otto at home")
    for visitor in (first, second):
        visitor.goes_to("/myapps")
        story.sign_in(visitor, OTTO).sees("Apps", at="/myapps")
    program.restart()
    first.goes_to("/account/sessions").sees("Where you are signed in", "This browser")
    expect(first.main.get_by_role("row")).to_have_count(3)
    first.presses("Sign out everywhere").sees("You are signed out", at="/signedout")
    second.goes_to("/myapps").sees("Sign in", at="/signin")
