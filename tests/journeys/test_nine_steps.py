"""The nine steps, played by people at browsers against the running program."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from b2b.models import ExternalUserState, Provider, Source, UserType
from tests.journeys import story
from tests.journeys.client import Client
from tests.journeys.conftest import Enter, on_both_databases
from tests.journeys.people import PHONE, Visitor
from tests.journeys.program import Guest, Program
from tests.journeys.story import INVITATION, MESSAGE, OTTO, PHRASE, SAM
from tests.journeys.words import ENGLISH, KOREAN, Words

pytestmark = pytest.mark.browser

INVITED = [
    "Add user",
    "Invite external user",
    "Add user sponsor",
    "Add app role assignment grant to user",
]
LIFE_OF_SAM = [
    *INVITED,
    "Update user",
    "Redeem external user invite",
    "Update user",
    "Disable account",
    "Enable account",
    "Delete user",
]


def found(program: Program, address: str) -> Guest:
    guest = program.guest(address)
    assert guest is not None
    return guest


def assert_invited(guest: Guest, upn: str, address: str, name: str) -> None:
    """3. A guest user who has not answered."""
    assert guest.user | {"id": None} == {
        "id": None,
        "user_principal_name": upn,
        "mail": address,
        "user_type": UserType.GUEST,
        "creation_type": "Invitation",
        "source": Source.INVITED_USER,
        "external_user_state": ExternalUserState.PENDING_ACCEPTANCE,
        "account_enabled": True,
        "deleted_at": None,
        "profile_reviewed_at": None,
        "display_name": name,
        "given_name": None,
        "surname": None,
        "preferred_language": None,
        "company_name": None,
    }
    assert guest.identity is None
    assert guest.invitation["version"] == 1
    assert guest.invitation["inviter_name"] == "John Doe"
    for moment in ("opened_at", "signed_in_at", "accepted_at", "declined_at"):
        assert guest.invitation[moment] is None
    assert guest.audit == [
        (
            "Add user",
            "John Doe",
            [
                ("UserType", None, "Guest"),
                ("UserState", None, "PendingAcceptance"),
                ("Source", None, "Invited user"),
            ],
        ),
        ("Invite external user", "John Doe", []),
        ("Add user sponsor", "John Doe", [("Sponsor", None, "John Doe")]),
        (
            "Add app role assignment grant to user",
            "John Doe",
            [("Application", None, "WoodGrove Projects")],
        ),
    ]


def assert_accepted(
    before: Guest,
    after: Guest,
    *,
    source: Source,
    identity: dict[str, Any],
    profile: dict[str, str | None],
    changes: list[tuple[str, Any, Any]],
) -> None:
    """7. Bound, Accepted, with the profile of the sign-in, and all of it in the audit log."""
    assert after.user["external_user_state"] is ExternalUserState.ACCEPTED
    assert after.user["source"] is source
    assert after.identity == identity
    assert {name: after.user[name] for name in profile} == profile
    for kept in ("id", "user_principal_name", "mail", "user_type", "creation_type"):
        assert after.user[kept] == before.user[kept]
    moments = [after.invitation[m] for m in ("opened_at", "signed_in_at", "accepted_at")]
    assert moments == sorted(moments)
    assert after.invitation["declined_at"] is None
    assert after.audit[: len(before.audit)] == before.audit
    [update, redeem] = after.audit[len(before.audit) : len(before.audit) + 2]
    name = after.user["display_name"]
    accepted_on = after.invitation["accepted_at"].isoformat()
    assert update == (
        "Update user",
        name,
        [
            *changes,
            ("UserState", "PendingAcceptance", "Accepted"),
            ("AcceptedOn", None, accepted_on),
            ("Source", "Invited user", str(source)),
            ("Identity", "woodgrove.example", str(identity["provider"])),
        ],
    )
    assert redeem == ("Redeem external user invite", name, [])


def play_sam(
    program: Program, enter: Enter, words: Words, **browser: Any
) -> tuple[Visitor, Visitor]:
    """All nine steps for Sam, who makes a personal account on the way; John and Sam at the end."""
    subject = words.say(INVITATION, organisation="WoodGrove")
    john = story.opens_the_portal(enter("John", words=words, **browser))
    sam = story.waits_at_the_inbox(enter("Sam", words=words, **browser))
    expect(story.row_of(sam, SAM, subject)).to_have_count(0)
    assert program.guest(SAM) is None

    language = "ko" if words.lang == "ko" else ""
    story.fills_in_the_form(john, SAM, name="Sam", language=language)
    story.sees_the_preview(john, MESSAGE, "WoodGrove Projects", words.say("Get Started"))
    assert program.guest(SAM) is None, "a preview invites nobody"
    story.sends(john, SAM).sees_named("Sam", SAM, MESSAGE, "WoodGrove Projects", at=story.PERSON)
    before = found(program, SAM)
    assert_invited(before, "gsamoogle_gmail.com#EXT#@woodgrove.example", SAM, "Sam")
    assert program.account("Personal accounts", SAM) is None

    story.opens_the_mail(sam, SAM, subject)
    story.reads_every_view(
        sam, MESSAGE, "WoodGrove Projects", words.say("Get Started"), source="X-Invitation-Id"
    )
    [mail] = program.mails(SAM)
    whom = {"inviter": "John Doe", "organisation": "WoodGrove"}
    assert mail.sender == words.say("%(inviter)s from %(organisation)s", **whom)
    story.gets_started(sam)
    story.sees_who_invites(sam, MESSAGE, "g•••e@g•••.com")
    assert found(program, SAM) == before, "a visit changes nothing"
    sam.presses("Get Started")
    story.proves_the_address(sam, SAM)
    story.makes_an_account(sam, "Sam", "Oogle")
    story.reviews_permissions(sam, "Sam Oogle", SAM)
    waiting = found(program, SAM)
    assert waiting.user == before.user
    assert waiting.audit == before.audit
    sam.presses("Accept")
    story.sees_the_profile(sam, Display_name="Sam Oogle", Given_name="Sam", Surname="Oogle")
    assert_accepted(
        before,
        found(program, SAM),
        source=Source.PERSONAL_ACCOUNT,
        identity={
            "issuer": str(program.tenant_id("Personal accounts")),
            "subject": str(program.account("Personal accounts", SAM)),
            "provider": Provider.PERSONAL,
            "label": SAM,
        },
        profile={
            "display_name": "Sam Oogle",
            "given_name": "Sam",
            "surname": "Oogle",
            "preferred_language": words.lang,
        },
        changes=[
            ("DisplayName", "Sam", "Sam Oogle"),
            ("GivenName", None, "Sam"),
            ("Surname", None, "Oogle"),
            ("PreferredLanguage", None, words.lang),
        ],
    )

    sam.fills({"Company": "Oogle Drawings"}).presses("Save and continue")
    story.sees_my_apps(sam)
    assert found(program, SAM).user["company_name"] == "Oogle Drawings"
    story.opens_the_link(sam, mail)
    story.is_welcome_back(sam)
    sam.presses("Continue as %(name)s", name="Sam Oogle")
    story.sees_my_apps(sam)
    story.signs_out(sam)
    story.opens_the_link(sam, mail)
    story.is_welcome_back(sam).presses("Get Started")
    sam.sees("Enter your password", at="/signin/password")
    sam.fills({"Password": PHRASE}).presses("Sign in")
    story.sees_my_apps(sam)

    look_after_sam(program, john, sam)
    return john, sam


def look_after_sam(program: Program, john: Visitor, sam: Visitor) -> None:
    """9. Sam is an ordinary user by now: found, read about, blocked, let in again, deleted."""
    story.finds(john, "oogle", "Sam Oogle", state="Accepted", source="Microsoft Account")
    said = john.say
    happened = story.reads_the_timeline(john)
    assert happened[:4] == [
        said("Added to the directory"),
        said("Invited"),
        said("Given a sponsor"),
        said("Assigned to an application"),
    ]
    for title in ("Mail sent to the mail server", "Accepted the invitation", "Signed in"):
        assert said(title) in happened, title
    john.presses("Block sign-in")
    story.told(john, "%(name)s is blocked and signed out everywhere.", name="Sam Oogle")
    sam.goes_to("/myapps").sees("Sign in", at="/signin")
    john.presses("Allow sign-in")
    story.told(john, "%(name)s may sign in again.", name="Sam Oogle")
    story.sign_in(sam, SAM, PHRASE)
    story.sees_my_apps(sam)
    john.follows("Delete").sees("Delete %(name)s?", SAM, name="Sam Oogle")
    john.fills({"Type the address to confirm": SAM}).presses("Delete %(name)s", name="Sam Oogle")
    story.told(john, "%(name)s is deleted and can be restored for 30 days.", name="Sam Oogle")
    sam.goes_to("/myapps").sees("Sign in", at="/signin")


@on_both_databases
def test_sam_makes_a_personal_account_on_the_way(program: Program, enter: Enter) -> None:
    john, sam = play_sam(program, enter, ENGLISH)
    expect(john.main).to_contain_text("Sam Oogle is deleted and can be restored for 30 days.")
    expect(sam.main).to_contain_text("Sign in")
    assert found(program, SAM).activities == LIFE_OF_SAM


@on_both_databases
def test_otto_signs_in_at_contoso(program: Program, enter: Enter) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, OTTO)
    story.sends(john, OTTO).sees_named("otto.brandt", at=story.PERSON)
    before = found(program, OTTO)
    assert_invited(before, "otto.brandt_contoso.example#EXT#@woodgrove.example", OTTO,
                   "otto.brandt")  # fmt: skip
    mail = program.wait_for_mail(OTTO)

    otto = story.opens_the_link(enter("Otto"), mail)
    story.sees_who_invites(otto, MESSAGE).presses("Get Started")
    otto.sees("Enter your password", "Contoso", at="/signin/password")
    otto.fills({"Password": program.password(OTTO)}).presses("Sign in")
    story.reviews_permissions(otto, "Otto Brandt", OTTO).presses("Accept")
    story.sees_the_profile(otto, Display_name="Otto Brandt", Surname="Brandt").presses("Skip")
    story.sees_my_apps(otto)
    assert_accepted(
        before,
        found(program, OTTO),
        source=Source.EXTERNAL_DIRECTORY,
        identity={
            "issuer": str(program.tenant_id("Contoso")),
            "subject": str(program.account("Contoso", OTTO)),
            "provider": Provider.DIRECTORY,
            "label": OTTO,
        },
        profile={
            "display_name": "Otto Brandt",
            "given_name": "Otto",
            "surname": "Brandt",
            "preferred_language": "en",
        },
        changes=[
            ("DisplayName", "otto.brandt", "Otto Brandt"),
            ("GivenName", None, "Otto"),
            ("Surname", None, "Brandt"),
            ("PreferredLanguage", None, "en"),
        ],
    )
    assert len(program.mails(OTTO)) == 1, "no code is mailed to somebody with a directory"
    story.signs_out(otto)
    otto.goes_to("/myapps")
    story.sign_in(otto, OTTO)
    story.finds(john, "otto", "Otto Brandt", source="External Azure Active Directory")


@pytest.mark.long
@on_both_databases
def test_several_are_invited_and_one_stays_with_mailed_codes(
    program: Program, enter: Enter
) -> None:
    nadia, omar = "nadia.haddad@partner.example", "omar@partner.example"
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, nadia, omar, message="").presses("Invite")
    john.sees_named("2 people", nadia, omar, at="/admin/users/invite/result")
    before = found(program, nadia)
    assert_invited(before, "nadia.haddad_partner.example#EXT#@woodgrove.example", nadia,
                   "nadia.haddad")  # fmt: skip
    assert_invited(found(program, omar), "omar_partner.example#EXT#@woodgrove.example", omar,
                   "omar")  # fmt: skip
    program.wait_for_mail(omar)
    mail = program.wait_for_mail(nadia)

    guest = story.opens_the_link(enter("Nadia"), mail)
    story.sees_who_invites(guest).presses("Get Started")
    story.proves_the_address(guest, nadia)
    story.reviews_permissions(guest, nadia).presses("Accept")
    story.sees_the_profile(guest, Display_name="nadia.haddad")
    assert_accepted(
        before,
        found(program, nadia),
        source=Source.PASSCODE,
        identity={
            "issuer": "mail",
            "subject": nadia,
            "provider": Provider.PASSCODE,
            "label": nadia,
        },
        profile={"display_name": "nadia.haddad", "given_name": None, "surname": None},
        changes=[],
    )
    guest.fills({"Display name": "Nadia Haddad"}).presses("Save and continue")
    story.sees_my_apps(guest)
    assert found(program, nadia).user["display_name"] == "Nadia Haddad"
    assert found(program, nadia).audit[-1] == (
        "Update user",
        "nadia.haddad",
        [("DisplayName", "nadia.haddad", "Nadia Haddad")],
    )
    story.signs_out(guest)

    # A code each time, asked for from the sign-in page as well.
    guest.goes_to("/signin").fills({"E-mail address": nadia}).presses("Continue")
    guest.sees("Enter your password", nadia).presses("Mail me a code instead")
    story.proves_the_address(guest, nadia, 3)
    story.sees_my_apps(guest)
    story.finds(john, "nadia", "Nadia Haddad", source="Email one-time passcode")
    assert found(program, omar).activities == INVITED


@pytest.mark.long
@on_both_databases
def test_declining_shares_nothing_and_the_same_link_works_later(
    program: Program, enter: Enter
) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, OTTO)
    story.sends(john, OTTO)
    before = found(program, OTTO)
    mail = program.wait_for_mail(OTTO)

    otto = story.opens_the_link(enter("Otto"), mail)
    story.sees_who_invites(otto).presses("Get Started")
    otto.fills({"Password": program.password(OTTO)}).presses("Sign in")
    story.reviews_permissions(otto).presses("Cancel")
    otto.sees("You declined the invitation", "John Doe is told", at="/redeem/declined")
    declined = found(program, OTTO)
    assert declined.user == before.user
    assert declined.identity is None
    assert declined.invitation["declined_at"] is not None
    assert declined.audit == [*before.audit, ("Decline external user invite", "otto.brandt", [])]
    assert "declined" in program.wait_for_mail(story.JOHN).subject
    john.page.reload()
    john.sees_named("otto.brandt", at=story.PERSON)
    expect(john.main.locator(".title")).to_contain_text("Declined")
    otto.goes_to("/myapps").sees("Sign in", at="/signin")

    story.opens_the_link(otto, mail)
    story.sees_who_invites(otto, "You declined on").presses("Get Started")
    otto.fills({"Password": program.password(OTTO)}).presses("Sign in")
    story.reviews_permissions(otto).presses("Accept")
    story.sees_the_profile(otto).presses("Skip")
    story.sees_my_apps(otto)
    after = found(program, OTTO)
    assert after.user["source"] is Source.EXTERNAL_DIRECTORY
    assert after.user["external_user_state"] is ExternalUserState.ACCEPTED
    assert after.invitation["declined_at"] is None
    assert after.activities == [
        *INVITED,
        "Decline external user invite",
        "Update user",
        "Redeem external user invite",
    ]
    assert "accepted" in program.wait_for_mail(story.JOHN, 2).subject


@pytest.mark.long
def test_sending_again_makes_a_new_link_and_ends_the_old_one(
    program: Program, enter: Enter
) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, SAM)
    story.sends(john, SAM)
    first = program.wait_for_mail(SAM)
    john.presses("Send again")
    story.told(john, "Sent again to %(shown)s; earlier links stop working.", shown=SAM)
    second = program.wait_for_mail(SAM, 2)
    assert first.link != second.link

    sam = enter("Sam")
    sam.allowed.add(404)
    story.opens_the_link(sam, first).sees("This link cannot be used", at="/redeem")
    story.opens_the_link(sam, second)
    story.sees_who_invites(sam)
    assert found(program, SAM).activities == [*INVITED, "Resend invitation"]
    assert found(program, SAM).invitation["version"] == 2


@pytest.mark.long
def test_sam_on_a_narrow_phone(program: Program, enter: Enter) -> None:
    john, sam = play_sam(program, enter, ENGLISH, viewport=PHONE, is_mobile=True, has_touch=True)
    expect(john.main).to_contain_text("Sam Oogle is deleted and can be restored for 30 days.")
    expect(sam.main).to_contain_text("Sign in")
    assert found(program, SAM).activities == LIFE_OF_SAM


@pytest.mark.long
def test_sam_without_javascript(program: Program, enter: Enter) -> None:
    john, sam = play_sam(program, enter, ENGLISH, java_script_enabled=False)
    expect(john.main).to_contain_text("Sam Oogle is deleted and can be restored for 30 days.")
    expect(sam.main).to_contain_text("Sign in")
    assert found(program, SAM).activities == LIFE_OF_SAM


@pytest.mark.long
def test_sam_in_korean(program: Program, enter: Enter) -> None:
    john, sam = play_sam(program, enter, KOREAN)
    expect(john.main).to_contain_text("Sam Oogle님을 삭제했습니다. 30일 동안 복원할 수 있습니다.")
    expect(sam.main).to_contain_text("로그인")
    assert found(program, SAM).activities == LIFE_OF_SAM


@pytest.mark.long
def test_sam_redeems_with_the_keyboard_alone(program: Program, enter: Enter) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, SAM)
    story.sends(john, SAM)

    sam = story.opens_the_link(enter("Sam"), program.wait_for_mail(SAM))
    story.sees_who_invites(sam)
    story.hits_enter_on(sam, "Get Started").sees("Check your mail")
    story.types(sam, "Code", program.wait_for_mail(SAM, 2).code)
    sam.leaving(lambda: sam.page.keyboard.press("Enter"))
    sam.sees("Make a personal account")
    story.types(sam, "Given name", "Sam")
    story.types(sam, "Surname", "Oogle")
    story.types(sam, "New password", PHRASE)
    story.hits_enter_on(sam, "Make the account")
    story.reviews_permissions(sam)
    story.hits_enter_on(sam, "Accept")
    story.sees_the_profile(sam, Display_name="Sam Oogle")
    story.hits_enter_on(sam, "Skip")
    story.sees_my_apps(sam)
    story.reaches(sam, sam.page.locator("summary.me")).page.keyboard.press("Enter")
    story.hits_enter_on(sam, "Sign out")
    expect(sam.main).to_contain_text("You are signed out")
    assert found(program, SAM).user["source"] is Source.PERSONAL_ACCOUNT


@pytest.mark.long
def test_somebody_else_who_is_signed_in_is_told_both_accounts_and_may_switch(
    program: Program, enter: Enter
) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, SAM)
    story.sends(john, SAM)
    mail = program.wait_for_mail(SAM)
    before = found(program, SAM)

    adele = enter("Adele")
    adele.goes_to("/myapps")
    story.sign_in(adele, "adele.vance@woodgrove.example").sees("Apps", at="/myapps")
    adele.allowed.add(403)
    story.opens_the_link(adele, mail)
    adele.sees("This invitation is for another account", "adele.vance@woodgrove.example",
               "g•••e@g•••.com", at="/redeem")  # fmt: skip
    assert found(program, SAM) == before
    adele.presses("Switch account")
    story.sees_who_invites(adele).presses("Get Started")
    story.proves_the_address(adele, SAM)
    story.makes_an_account(adele, "Sam", "Oogle")
    story.reviews_permissions(adele, SAM).presses("Accept")
    story.sees_the_profile(adele, Display_name="Sam Oogle")
    identity = found(program, SAM).identity
    assert identity is not None
    assert identity["label"] == SAM


@pytest.mark.long
def test_a_link_scanner_leaves_the_link_as_it_was(program: Program, enter: Enter) -> None:
    john = story.opens_the_portal(enter("John"))
    story.fills_in_the_form(john, SAM)
    story.sends(john, SAM)
    mail = program.wait_for_mail(SAM)
    before = found(program, SAM)

    scanner = Client(program.url)
    for number in range(50):
        answer = scanner.request("HEAD" if number % 2 else "GET", mail.link)
        assert answer.status == 200
        assert urlsplit(answer.url).path == "/redeem"
    robot = story.opens_the_link(enter("Robot"), mail)
    story.sees_who_invites(robot)
    robot.page.wait_for_load_state("networkidle")
    assert robot.path == "/redeem", "scripts send nothing by themselves"
    assert found(program, SAM) == before
    assert len(program.mails(SAM)) == 1

    sam = story.opens_the_link(enter("Sam"), mail)
    story.sees_who_invites(sam).presses("Get Started")
    story.proves_the_address(sam, SAM).presses("Use a mailed code each time instead")
    story.reviews_permissions(sam, SAM).presses("Accept")
    story.sees_the_profile(sam)
    assert found(program, SAM).user["source"] is Source.PASSCODE
