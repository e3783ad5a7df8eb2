"""An administrator dresses the letter, and a guest who does not want it blocks the next one."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.journeys import story
from tests.journeys.conftest import Enter
from tests.journeys.people import PHONE
from tests.journeys.program import Program

pytestmark = pytest.mark.browser

SAM = "sam.unwilling@gmail.com"
SUBJECT = "John Doe invited you to access applications within their organisation"


def logo(folder: Path, colour: str) -> Path:
    out = folder / f"{colour}.png"
    Image.new("RGB", (300, 300), colour).save(out)
    return out


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_branding_then_blocking(program: Program, enter: Enter, tmp_path: Path, theme: str) -> None:
    """mail.md, 1 and 5, by keyboardable pages without a fault that axe finds"""
    john = enter("John", color_scheme=theme)
    story.opens_the_portal(john).follows("Branding", within="nav.side").sees("Branding")
    preview = john.page.frame_locator("iframe[name=preview]").locator("body")
    expect(preview).to_contain_text("Get Started")
    john.main.locator("input[name=layout][value=current]").check()
    john.fills({"Accent colour": "#ffd24d"})
    john.field("Square logo").set_input_files(logo(tmp_path, "maroon"))
    expect(preview).to_contain_text("Accept invitation")
    picture = preview.locator("img")
    expect(picture).to_have_attribute("src", re.compile("^data:image/png"))
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    john.presses("Save").sees("Branding", "too pale for white text")

    story.opens_users(john).follows("Invite external user").sees("Invite external user")
    john.fills({"E-mail addresses": SAM})
    story.sends(john, SAM)
    mail = program.wait_for_mail(SAM)
    tester = story.opens_the_mail(
        story.waits_at_the_inbox(enter("Tester", color_scheme=theme)), SAM, SUBJECT
    )
    letter = tester.page.frame_locator("iframe").first.locator("body")
    expect(letter).to_contain_text("Act on this mail only if you expected an invitation")
    shown = letter.locator("img").first
    assert shown.evaluate("image => image.complete && image.naturalWidth > 0")

    block = re.search(r"http\S+/invitations/block\?\S+", mail.text)
    assert block
    sam = enter("Sam", viewport=PHONE, color_scheme=theme)
    sam.goes_to(block[0]).sees("Block future invitations", "WoodGrove")
    sam.leaving(sam.main.get_by_role("button", name="Block invitations from WoodGrove").click)
    sam.sees("Invitations are blocked").follows("See and undo what is blocked")
    sam.sees("Blocked invitations").fills({"E-mail address": SAM}).presses("Send the code")
    sam.sees("Check your mail", at="/invitations/blocked/code")
    code = program.wait_for_mail(SAM, 2).code
    sam.fills({"Code": code}).presses("Continue").sees("Blocked invitations", "WoodGrove")
    sam.leaving(sam.main.get_by_role("button", name="Allow again: WoodGrove").click)
    sam.sees("Blocked invitations", "Nobody is blocked")


def test_everything_works_without_scripts(program: Program, enter: Enter, tmp_path: Path) -> None:
    john = enter("John", java_script_enabled=False)
    story.opens_the_portal(john).follows("Branding", within="nav.side").sees("Branding")
    john.main.locator("input[name=layout][value=current]").check()
    john.button("Update preview").click()
    preview = john.page.frame_locator("iframe[name=preview]").locator("body")
    expect(preview).to_contain_text("Accept invitation")
    wrong = tmp_path / "logo.png"
    wrong.write_bytes(b"<svg/>")
    john.field("Banner logo").set_input_files(wrong)
    john.presses("Save").sees("Branding", "This file is not a PNG or JPEG picture.")
