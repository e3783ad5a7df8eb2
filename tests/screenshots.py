"""Makes the pictures of the README's tour anew, by playing the nine steps: `make screenshots`."""

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from tests.journeys import story
from tests.journeys.conftest import launch
from tests.journeys.people import Visitor
from tests.journeys.program import ROOT, Program, is_free
from tests.journeys.story import INVITATION, MESSAGE, SAM
from tests.journeys.words import ENGLISH

PICTURES = ROOT / "docs" / "pictures"
LARGEST = 200_000
PHONE = {"width": 390, "height": 844}
LETTER_LARGEST = 40_000
LETTER = {"width": 620, "height": 400}
SHAPES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": LETTER},
    "phone": {"viewport": {"width": 360, "height": 400}},
    "dark": {"viewport": LETTER, "color_scheme": "dark"},
}


def take(visitor: Visitor, name: str) -> None:
    """What is on the screen, as docs/pictures/NAME.png."""
    file = PICTURES / f"{name}.png"
    visitor.page.screenshot(path=file, animations="disabled", caret="hide")
    assert file.stat().st_size < LARGEST, f"{file} is larger than {LARGEST} bytes"


def tour(browser: Browser, program: Program) -> None:
    """The nine steps, with a picture at each stop."""
    seen: set[str] = set()

    def enter(name: str, **options: object) -> Visitor:
        return Visitor(name, browser, program, ENGLISH, seen, **options)

    john, sam = enter("John"), enter("Sam")
    john.goes_to("/admin").sees("Sign in")
    take(john, "sign-in")
    story.opens_the_portal(john)
    take(john, "portal")
    story.opens_users(john)
    take(john, "users")
    story.fills_in_the_form(john, SAM, name="Sam Oogle")
    john.main.get_by_label("Harbour Street partners").check()
    story.sees_the_preview(john, MESSAGE, "WoodGrove Projects")
    john.field("E-mail addresses").focus()
    take(john, "invite")
    story.sends(john, SAM)

    mail = program.wait_for_mail(SAM)
    story.waits_at_the_inbox(sam)
    subject = ENGLISH.say(INVITATION, organisation="WoodGrove")
    story.opens_the_mail(sam, SAM, subject)
    expect(sam.page.frame_locator("iframe").locator("body")).to_contain_text(MESSAGE)
    take(sam, "inbox")

    for name, options in {
        "landing-phone": {"viewport": PHONE, "is_mobile": True, "device_scale_factor": 2},
        "landing-dark": {"color_scheme": "dark"},
    }.items():
        other = story.opens_the_link(enter(name, **options), mail)
        story.sees_who_invites(other)
        take(other, name)

    story.opens_the_link(sam, mail)
    story.sees_who_invites(sam)
    take(sam, "landing")
    sam.presses("Get Started").sees("Check your mail")
    take(sam, "code")
    story.proves_the_address(sam, SAM)
    sam.sees("Make a personal account")
    take(sam, "account")
    story.makes_an_account(sam, "Sam", "Oogle")
    story.reviews_permissions(sam)
    take(sam, "review-permissions")
    sam.presses("Accept")
    story.sees_the_profile(sam)
    take(sam, "profile")
    sam.presses("Skip")
    story.sees_my_apps(sam)
    take(sam, "my-apps")

    john.page.reload()
    john.sees_named("Sam Oogle")
    take(john, "user")
    letters(browser, john)
    john.goes_to("/admin/branding").sees("Branding")
    expect(john.page.frame_locator("iframe[name=preview]").locator("img")).to_be_visible()
    take(john, "branding")
    complaints = [*john.complaints, *sam.complaints]
    assert complaints == []


def letters(browser: Browser, john: Visitor) -> None:
    """The invitation in both layouts and languages, as desktop, phone and dark."""
    # Without scripts, so that the frame changes when it is asked to and at no other time.
    context = browser.new_context(
        storage_state=john.context.storage_state(), java_script_enabled=False
    )
    page = context.new_page()
    page.goto(f"{john.program.url}/admin/branding")
    for layout in ("classic", "current"):
        page.locator(f"input[name=layout][value={layout}]").check()
        for language in ("en", "ko"):
            page.get_by_label("Language of mails").select_option(language)
            with page.expect_response("**/branding/preview") as answer:
                page.get_by_role("button", name="Update preview").click()
            html = answer.value.text()
            assert f'<html lang="{language}"' in html
            for shape, options in SHAPES.items():
                picture(browser, html, PICTURES / f"mail-{layout}-{language}-{shape}.png", options)
    context.close()


def picture(browser: Browser, html: str, file: Path, options: dict[str, Any]) -> None:
    """One letter as a file of few colours."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_content(html)
    page.screenshot(path=file, full_page=True)
    context.close()
    with Image.open(file) as taken:
        few = taken.convert("RGB").quantize(96, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    size = file.stat().st_size
    assert size < LETTER_LARGEST, f"{file} is larger than {LETTER_LARGEST} bytes"


def main() -> None:
    """Play it on a demo of its own, whose links read as those of `make run` where that is free."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    port = {"PORT": 5000} if is_free(5000) else {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        program = Program(Path(folder), **port)
        try:
            tour(launch(playwright), program.start())
        finally:
            program.stop()


if __name__ == "__main__":
    main()
