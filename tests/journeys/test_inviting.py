"""Inviting in full, at a browser: several at once, the preview in each shape, owners' rooms."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.journeys import story
from tests.journeys.conftest import Enter
from tests.journeys.people import PHONE, Visitor
from tests.journeys.program import Program
from tests.journeys.story import MESSAGE, SAM

pytestmark = pytest.mark.browser

ADELE = "adele.vance@woodgrove.example"
DARK = "matchMedia('(prefers-color-scheme: dark)').matches"


def results(visitor: Visitor) -> dict[str, str]:
    """The page of results: name and what became of the person."""
    return {
        row.get_by_role("link").inner_text(): row.locator("b + span").inner_text()
        for row in visitor.main.locator("ul.checked > li").all()
    }


def chooses(john: Visitor, shape: str) -> None:
    """One way of looking at the preview."""
    john.main.locator(".joined label", has_text=shape).click()
    expect(john.main.get_by_role("radio", name=shape)).to_be_checked()


def test_several_are_invited_at_once_and_the_wrong_one_is_corrected(
    program: Program, enter: Enter
) -> None:
    john = story.opens_the_portal(enter("John"))
    story.opens_users(john).follows("Invite external user").sees("Invite external user")
    typed = f"Sam Oogle <{SAM}>\nlayla@alnoor.example, bo@nordlicht.example; ana+x@partner.example"
    john.fills({"E-mail addresses": typed, "Personal message": MESSAGE})
    expect(john.main.get_by_text("Characters left: 1,950")).to_be_visible()
    john.main.get_by_label("Deliveries").check()
    john.presses("Invite").sees("Invite external user")
    expect(john.main.locator(".summary")).to_be_focused()
    expect(john.main.locator(".summary")).to_contain_text("Nothing was sent.")
    wrong = john.main.get_by_role("list", name="Addresses that cannot be invited")
    expect(wrong.get_by_role("listitem")).to_have_text(
        re.compile("ana\\+x@partner.example.*“\\+” is not allowed before the @.", re.DOTALL)
    )
    expect(john.field("E-mail addresses")).to_have_value(typed)
    expect(john.field("Personal message")).to_have_value(MESSAGE)
    expect(john.main.get_by_label("Deliveries")).to_be_checked()
    john.field("E-mail addresses").fill(typed.replace("ana+x@", "ana@"))
    john.presses("Invite").sees("4 people", at="/admin/users/invite/result")
    on_its_way = "Invited; the mail is on its way."
    assert results(john) == {
        "Sam Oogle": on_its_way, "layla": on_its_way, "bo": on_its_way, "ana": on_its_way,
    }  # fmt: skip
    assert MESSAGE in program.wait_for_mail(SAM).text
    assert "Deliveries" in program.wait_for_mail("ana@partner.example").text


def test_the_preview_shows_phone_dark_and_text_and_follows_what_is_typed(
    program: Program, enter: Enter
) -> None:
    # The browser's own wish for a colour scheme, which a test otherwise dictates to frames too.
    john = story.opens_the_portal(enter("John", color_scheme="null"))
    story.fills_in_the_form(john, SAM)
    story.sees_the_preview(john, MESSAGE, "WoodGrove Projects", SAM)
    frame = john.page.locator("iframe[name=preview]")
    preview = john.page.frame_locator("iframe[name=preview]").locator("body")
    wide = frame.bounding_box()
    assert wide is not None
    assert wide["width"] > 450
    assert preview.evaluate(DARK) is False
    chooses(john, "Phone")
    narrow = frame.bounding_box()
    assert narrow is not None
    assert narrow["width"] <= 392
    expect(preview).to_contain_text(MESSAGE)
    chooses(john, "Dark")
    expect(frame).to_have_css("color-scheme", "dark")
    expect(preview).to_contain_text(MESSAGE)
    assert preview.evaluate(DARK) is True
    chooses(john, "Text")
    expect(preview).to_contain_text("From: John Doe from WoodGrove")
    expect(preview).to_contain_text("Subject: ")
    chooses(john, "Desktop")
    john.field("Language of the mail").select_option("ko")
    expect(preview).to_contain_text("WoodGrove Projects")
    expect(preview).not_to_contain_text("Get Started")
    assert john.path == "/admin/users/invite", "the page itself stays"
    # Signed out elsewhere, the frame says so instead of being blocked.
    john.context.clear_cookies()
    john.fills({"Personal message": "Once more"})
    expect(preview).to_contain_text("You are signed out. Sign in again to see the preview.")


@pytest.mark.parametrize(
    "options",
    [
        {"java_script_enabled": False},
        pytest.param({}, marks=pytest.mark.long),
        pytest.param({"viewport": PHONE}, marks=pytest.mark.long),
    ],
    ids=["no scripts", "desktop", "phone"],
)
def test_only_the_link_is_made_and_passed_on(
    program: Program, enter: Enter, options: dict[str, Any]
) -> None:
    john = story.opens_the_portal(enter("John", **options))
    story.fills_in_the_form(john, SAM)
    story.sees_the_preview(john, MESSAGE)
    john.main.get_by_label("Only make the link; I pass it on myself").check()
    john.presses("Invite").sees("1 person", "Invited, without a mail. Pass on this link:")
    link = john.main.locator("li code").inner_text()
    copy = john.main.get_by_role("button", name="Copy")
    expect(copy).to_have_count(1 if john.scripted else 0)
    sam = enter("Sam")
    sam.goes_to(link).sees("%(name)s invites you to %(organisation)s", name="John Doe",
                           organisation="WoodGrove")  # fmt: skip
    assert program.mails(SAM) == []


@pytest.mark.long
def test_an_owner_invites_to_his_group_and_application_and_keeps_them(
    program: Program, enter: Enter
) -> None:
    """APP-2"""
    adele = enter("Adele").goes_to("/admin")
    story.sign_in(adele, ADELE).sees("Home")
    adele.follows("Groups", within="nav.side").sees("Groups")
    adele.follows("Groups I own").sees("Groups", "Harbour Street partners")
    expect(adele.main.locator("tbody tr")).to_have_count(1)
    adele.follows("Harbour Street partners").sees_named("Harbour Street partners")
    adele.follows("Invite somebody").sees("Invite external user")
    expect(adele.main.get_by_label("Harbour Street partners")).to_be_checked()
    expect(adele.main.get_by_label("Deliveries")).to_be_visible()
    expect(adele.main.get_by_label("WoodGrove Projects")).to_have_count(0)
    adele.fills({"E-mail addresses": "bo@nordlicht.example"}).presses("Invite")
    story.told(adele, "Invited %(shown)s.", shown="bo@nordlicht.example")
    adele.follows("Groups", within="nav.side").follows("Harbour Street partners")
    adele.sees_named("Harbour Street partners", "bo@nordlicht.example")
    adele.leaving(adele.main.get_by_role("button", name="Remove bo from the group").click)
    story.told(adele, "%(name)s is out of the group.", name="bo")
    adele.follows("Add a member").sees_named("Add a member to Harbour Street partners")
    search = adele.main.get_by_role("searchbox")
    search.fill("bo")
    adele.leaving(lambda: search.press("Enter"))
    adele.leaving(adele.main.get_by_role("button", name="Add bo", exact=True).click)
    story.told(adele, "%(name)s is in the group.", name="bo")
    adele.follows("Applications", within="nav.side").sees("Applications")
    adele.follows("WoodGrove Projects").sees_named("WoodGrove Projects", "You can read this.")
    adele.follows("Applications", within="nav.side").follows("Deliveries")
    adele.sees_named("Deliveries", "Harbour Street partners")
    adele.follows("Assign").sees_named("Assign to Deliveries")


def test_a_long_list_is_narrowed_by_typing(program: Program, enter: Enter) -> None:
    john = story.opens_the_portal(enter("John"))
    for number in range(12):
        john.goes_to("/admin/groups/new").fills({"Name": f"Team {number:02}"})
        john.presses("Make the group")
    john.goes_to("/admin/users/invite?group=").sees("Invite external user")
    groups = john.main.get_by_role("group", name="Groups")
    expect(groups.get_by_role("checkbox")).to_have_count(13)
    groups.get_by_label("Team 03").check()
    box = john.main.get_by_role("searchbox", name="Find in Groups")
    box.fill("team 1")
    expect(groups.get_by_role("checkbox")).to_have_count(3)
    box.fill("nothing like it")
    expect(groups.get_by_role("checkbox")).to_have_count(1)
    box.press("Enter")
    assert john.path == "/admin/users/invite"
    box.fill("")
    expect(groups.get_by_role("checkbox")).to_have_count(13)
    expect(groups.get_by_label("Team 03")).to_be_checked()
    john.check()
