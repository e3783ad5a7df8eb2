"""People at the inbox in a real Chromium; pages with scripts are read by axe, a script itself."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import Clock
from tests.web.inbox.chromium import Served, in_chromium, served
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import html_letter, letter

__all__ = ["served"]

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}
LINK = "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost%3a5000%2fredeem%3fticket%3dabc"
INVITATION = f"""<html lang="en"><head><title>You are invited</title>
<meta name="viewport" content="width=device-width">
<style>:root{{color-scheme:light dark}} p{{color:#222;background:#fff}}
@media (prefers-color-scheme:dark){{p{{color:#eee;background:#111}}}}
@media (max-width:500px){{.wide{{display:none}}}}</style></head>
<body><p>John Doe invites you.</p><p class="wide">Seen on wide screens alone</p>
<a href="{LINK}">Get Started</a></body></html>"""


def read_by_axe(page: Page) -> None:
    """Nothing is wrong with the page, and it does not scroll sideways."""
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], page.url
    size = page.viewport_size
    assert size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], page.url


def subjects(page: Page) -> list[str]:
    return page.locator(".mails .subject").all_inner_texts()


def in_hand(page: Page) -> str:
    """The subject of the row that has the focus; empty without one."""
    return str(
        page.evaluate(
            "document.activeElement.querySelector?.('.mails .subject')?.textContent ?? ''"
        )
    )


@pytest.mark.long
def test_twenty_mails_are_sorted_by_keyboard_alone(mails: Mails, served: Served) -> None:
    mails.add(*(letter(f"Mail {number}") for number in range(1, 21)))

    def unread() -> int:
        return mails.store.counters().unread

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        press = page.keyboard.press

        def said(words: str) -> None:
            expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()

        page.goto(f"{served.url}/mail/")
        expect(page).to_have_title("(20) Mail")
        for key in "jjjk":
            press(key)
        assert in_hand(page) == "Mail 19"
        # Open it, go on to the older one, and come back to the row of that.
        press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Mail 19")
        press("j")
        expect(page.get_by_role("heading", level=1)).to_have_text("Mail 18")
        read_by_axe(page)
        press("k")
        expect(page.get_by_role("heading", level=1)).to_have_text("Mail 19")
        press("j")
        expect(page.get_by_role("heading", level=1)).to_have_text("Mail 18")
        press("u")
        expect(page).to_have_title("(18) Mail")
        assert in_hand(page) == "Mail 18"
        # Mark one unread by its row, several read by ticks.
        press("n")
        expect(page).to_have_title("(19) Mail")
        assert in_hand(page) == "Mail 18"
        for key in "xjxjx":
            press(key)
        expect(page.get_by_role("button", name="Delete ticked")).to_be_visible()
        read_by_axe(page)
        press("r")
        expect(page).to_have_title("(16) Mail")
        assert in_hand(page) == "Mail 16"
        assert unread() == 16
        # Delete several at once, and have them back.
        for key in "xjx":
            press(key)
        press("d")
        said("2 messages are deleted.")
        assert in_hand(page) == "Mail 14"
        assert len(subjects(page)) == 18
        press("z")
        said("2 messages are back.")
        assert subjects(page)[4:6] == ["Mail 16", "Mail 15"]
        # What the keys are.
        press("?")
        expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
        read_by_axe(page)
        press("u")
        expect(page).to_have_title("(16) Mail")
        # Search, and throw away what is found, one by one.
        press("/")
        page.keyboard.type("subject:2 is:unread")
        press("Enter")
        expect(page.get_by_text("3 found")).to_be_visible()
        assert subjects(page) == ["Mail 20", "Mail 12", "Mail 2"]
        press("j")
        for left in (["Mail 12", "Mail 2"], ["Mail 2"], []):
            press("d")
            said("1 message is deleted.")
            assert subjects(page) == left
        expect(page.get_by_text("Nothing found")).to_be_visible()
        # An open message goes as well, and the next one is in hand.
        page.goto(f"{served.url}/mail/")
        press("j")
        press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Mail 19")
        press("d")
        said("The message is deleted.")
        assert in_hand(page) == "Mail 18"
        assert mails.store.counters().total == 16

    in_chromium(visit, viewport=DESKTOP)


@pytest.mark.long
def test_ticks_outlive_new_mail(mails: Mails, served: Served) -> None:
    mails.add(letter("One"), letter("Two"))

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/")
        page.get_by_label("Tick: One").check()
        page.get_by_role("combobox").focus()  # what is in use is not replaced
        mails.one("Three")
        expect(page.get_by_role("link", name="Three")).to_be_visible()
        assert page.get_by_label("Tick: One").is_checked()
        assert not page.get_by_label("Tick: Two").is_checked()
        page.get_by_role("button", name="Delete ticked").click()
        expect(page.get_by_text("1 message is deleted.")).to_be_visible()
        assert subjects(page) == ["Three", "Two"]

    in_chromium(visit, viewport=DESKTOP)


def test_a_code_and_a_link_are_copied_by_one_click(mails: Mails, served: Served) -> None:
    code = mails.one("Your code", "Your code is 4829 1706.")
    invitation = mails.add(html_letter(INVITATION))[0]

    def visit(context: BrowserContext) -> None:
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.url)
        page = context.new_page()
        pasted = "navigator.clipboard.readText()"
        page.goto(f"{served.url}/mail/{code}")
        button = page.get_by_role("button", name="Copy code")
        button.click()
        expect(page.get_by_role("button", name="Copied – Copy code")).to_be_visible()
        assert page.evaluate(pasted) == "48291706"
        page.goto(f"{served.url}/mail/{invitation}")
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("button", name="Copied – Copy link")).to_be_visible()
        assert page.evaluate(pasted) == LINK
        read_by_axe(page)
        page.goto(f"{served.url}/mail/{code}")
        page.keyboard.press("c")
        page.wait_for_function(f"async () => await {pasted} === '48291706'")

    in_chromium(visit, viewport=DESKTOP)


@pytest.mark.long
def test_a_mail_is_looked_at_as_on_a_phone_and_on_one(mails: Mails, served: Served) -> None:
    message_id = mails.add(html_letter(INVITATION, "Invited"))[0]

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/{message_id}")
        wide = page.frame_locator("iframe").get_by_text("Seen on wide screens alone")
        expect(page.frame_locator("iframe").get_by_text("John Doe invites you.")).to_be_visible()
        expect(wide).to_be_hidden()
        frame = page.locator("iframe").bounding_box()
        assert frame is not None
        assert 340 <= frame["width"] <= 400
        for width in ("Desktop", "Tablet"):
            page.get_by_role("link", name=width).click()
            expect(page.get_by_role("link", name=width)).to_have_attribute("aria-current", "true")
            expect(wide).to_be_visible()
            read_by_axe(page)
        page.get_by_role("link", name="Phone").click()
        expect(wide).to_be_hidden()
        # On a phone: the list, then the mail with what was found in it first.
        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        page.goto(f"{served.url}/mail/")
        read_by_axe(page)
        page.get_by_role("link", name="Invited").tap()
        expect(page.get_by_role("heading", level=1)).to_have_text("Invited")
        read_by_axe(page)
        found = page.get_by_role("complementary", name="Found in this message").bounding_box()
        stage = page.locator(".stage").bounding_box()
        assert found is not None
        assert stage is not None
        assert found["y"] < stage["y"]
        page.get_by_role("link", name="All mail").tap()
        expect(page.get_by_role("link", name="Invited")).to_be_visible()

    in_chromium(visit, viewport=DESKTOP, has_touch=True)


@pytest.mark.long
def test_inbox_and_mail_are_dark_each_by_its_own_switch(mails: Mails, served: Served) -> None:
    message_id = mails.add(html_letter(INVITATION, "Invited"))[0]
    ground = "getComputedStyle(document.body).backgroundColor"

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/{message_id}")
        page.locator("summary", has_text="Inbox menu").click()
        page.get_by_role("button", name="Dark", exact=True).click()
        page.keyboard.press("Escape")
        assert page.evaluate(ground) == "rgb(17, 19, 20)"
        mail = page.frame_locator("iframe").get_by_text("John Doe invites you.")
        expect(mail).to_have_css("background-color", "rgb(255, 255, 255)")
        read_by_axe(page)
        page.get_by_label("Colours").get_by_role("link", name="Dark").click()
        expect(mail).to_have_css("background-color", "rgb(17, 17, 17)")
        expect(mail).to_have_css("color", "rgb(238, 238, 238)")
        read_by_axe(page)
        for tab in ("Text", "Headers", "Source", "Parts", "Checks", "SMTP log"):
            page.get_by_role("link", name=tab, exact=True).click()
            tabs = page.get_by_role("navigation", name="Views of the message")
            expect(tabs.locator("[aria-current]")).to_have_text(tab)
            read_by_axe(page)
        page.goto(f"{served.url}/mail/")
        assert page.evaluate(ground) == "rgb(17, 19, 20)"
        read_by_axe(page)

    # An emulated scheme would hold for the mail as well, whatever its frame says.
    in_chromium(visit, viewport=DESKTOP, color_scheme="null")


@pytest.mark.long
def test_the_inbox_speaks_korean(mails: Mails, served: Served) -> None:
    mails.one("Sam님, 초대장이 도착했습니다", "인증 코드는 4829 1706입니다.")

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/")
        expect(page.locator("html")).to_have_attribute("lang", "ko")
        expect(page.get_by_role("heading", name="메시지를 선택하세요")).to_be_visible()
        expect(page.get_by_role("link", name="읽지 않음 1", exact=True)).to_be_visible()
        read_by_axe(page)
        page.get_by_role("combobox").fill("초대장")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="초대장이 도착했습니다").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sam님, 초대장이 도착했습니다")
        expect(page.get_by_role("button", name="코드 복사")).to_be_visible()
        expect(page.locator("#code-1")).to_have_text("48291706")
        read_by_axe(page)
        page.get_by_role("link", name="헤더", exact=True).click()
        expect(page.get_by_role("heading", name="헤더")).to_be_visible()
        page.get_by_role("button", name="삭제", exact=True).click()
        expect(page.get_by_text("메시지를 삭제했습니다.")).to_be_visible()
        read_by_axe(page)

    in_chromium(visit, viewport=DESKTOP, locale="ko-KR")


@pytest.mark.long
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_arabic_mail_runs_from_right_to_left(
    mails: Mails, served: Served, viewport: dict[str, int]
) -> None:
    html = '<html lang="ar" dir="rtl"><body><p>مرحبًا بك في WoodGrove</p></body></html>'
    plain = "مرحبًا بك\n\nرمزك هو 4829 1706\n"
    message_id = mails.add(html_letter(html, "دعوة من WoodGrove", plain))[0]
    side = "element => getComputedStyle(element).direction"

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/")
        # The page stays from left to right, the words of the mail do not.
        assert page.locator("html").evaluate(side) == "ltr"
        assert page.locator(".mails .subject bdi").evaluate(side) == "rtl"
        page.get_by_role("link", name="دعوة من WoodGrove").click()
        title = page.get_by_role("heading", level=1)
        expect(title).to_have_text("دعوة من WoodGrove")
        assert title.locator("bdi").evaluate(side) == "rtl"
        words = page.frame_locator("iframe").get_by_text("مرحبًا بك في WoodGrove")
        expect(words).to_be_visible()
        assert words.evaluate(side) == "rtl"
        box, frame = words.bounding_box(), page.locator("iframe").bounding_box()
        assert box is not None
        assert frame is not None
        assert box["x"] + box["width"] > frame["x"] + frame["width"] / 2
        read_by_axe(page)
        page.goto(f"{served.url}/mail/{message_id}?tab=text")
        assert page.locator("pre.letter").evaluate(side) == "rtl"
        # A code is read from left to right wherever it stands.
        assert page.locator("#code-1").evaluate(side) == "ltr"
        read_by_axe(page)

    in_chromium(visit, viewport=viewport)


@pytest.mark.long
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_without_scripts_mail_is_listed_read_deleted_and_brought_back(
    mails: Mails, served: Served, clock: Clock, viewport: dict[str, int]
) -> None:
    mails.add(letter("First"), letter("Second"), letter("Third", "Code: 4829 1706"))

    def visit(context: BrowserContext) -> None:
        page = context.new_page()

        def button(name: str) -> Any:
            return page.get_by_role("button", name=name, exact=True)

        page.goto(f"{served.url}/mail/")
        assert subjects(page) == ["Third", "Second", "First"]
        page.get_by_role("link", name="Third").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Third")
        expect(page.locator("#code-1")).to_have_text("48291706")
        expect(page.get_by_role("button", name="Copy code")).to_be_hidden()
        button("Delete").click()
        expect(page.get_by_text("The message is deleted.")).to_be_visible()
        assert subjects(page) == ["Second", "First"]
        button("Undo").click()
        expect(page.get_by_text("1 message is back.")).to_be_visible()
        assert subjects(page) == ["Third", "Second", "First"]
        page.get_by_label("Tick: Second").check()
        page.get_by_label("Tick: First").check()
        button("Delete ticked").click()
        expect(page.get_by_text("2 messages are deleted.")).to_be_visible()
        page.get_by_role("combobox").fill("is:unread")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Nothing found")).to_be_visible()
        page.locator("summary", has_text="Inbox menu").click()
        page.get_by_role("link", name="Delete what is found").click()
        expect(page.get_by_text("There is nothing to delete.")).to_be_visible()
        page.goto(f"{served.url}/mail/delete")
        button("Delete 1 message").click()
        expect(page.get_by_text("No mail yet").first).to_be_visible()
        assert mails.store.counters().total == 0

    in_chromium(visit, viewport=viewport, java_script_enabled=False)
