"""The nine steps in the words of those who take them."""

import re

from playwright.sync_api import Locator, expect

from tests.journeys.people import Visitor
from tests.journeys.program import Mail

JOHN = "john.doe@woodgrove.example"
SAM = "gsamoogle@gmail.com"
OTTO = "otto.brandt@contoso.example"
PHRASE = "a long phrase that only Sam would write"
MESSAGE = "Hi Sam, the drawings for Harbour Street are ready."
PERSON = r"/admin/users/[0-9a-f-]{36}"
INVITATION = "You’re invited to the %(organisation)s organisation"


def sign_in(visitor: Visitor, address: str, password: str | None = None) -> Visitor:
    """Address, then password, once the sign-in page is open."""
    visitor.sees("Sign in", at="/signin")
    visitor.fills({"E-mail address": address}).presses("Continue")
    visitor.sees("Enter your password", address, at="/signin/password")
    visitor.fills({"Password": password or visitor.program.password(address)})
    return visitor.presses("Sign in")


def told(visitor: Visitor, english: str, **values: object) -> Visitor:
    """The page says what the last action came to."""
    expect(visitor.main.get_by_role("status").first).to_have_text(visitor.say(english, **values))
    return visitor


# John ----------------------------------------------------------------------------------------


def opens_the_portal(john: Visitor) -> Visitor:
    """1. John Doe signs in to the portal."""
    john.goes_to("/admin")
    return sign_in(john, JOHN).sees("Home", at="/admin")


def opens_users(john: Visitor) -> Visitor:
    """1. Users, by the navigation."""
    if john.is_on_a_phone:
        john.button("Open menu").click()
    return john.follows("Users", within="nav.side").sees("Users", at="/admin/users")


def fills_in_the_form(
    john: Visitor, *addresses: str, name: str = "", language: str = "", message: str = MESSAGE
) -> Visitor:
    """2. Addresses, a name, words of his own, an application."""
    opens_users(john).follows("Invite external user").sees("Invite external user")
    john.fills({"E-mail addresses": "\n".join(addresses), "Personal message": message})
    if name:
        john.fills({"Display name": name})
    john.main.get_by_label("WoodGrove Projects").check()
    if language:
        john.field("Language of the mail").select_option(language)
    return john


def sees_the_preview(john: Visitor, *words: str) -> Visitor:
    """2. The mail as the guest will see it, beside the form."""
    if not john.scripted:
        john.button("Update preview").click()
    preview = john.page.frame_locator("iframe[name=preview]").locator("body")
    for expected in words:
        expect(preview).to_contain_text(expected)
    return john


def sends(john: Visitor, address: str) -> Visitor:
    """2. He sends, and comes to the guest's page."""
    john.presses("Invite")
    return told(john, "Invited %(shown)s.", shown=address)


def finds(john: Visitor, words: str, name: str, **filters: str) -> Visitor:
    """9. The users list: filters, search, and the one who is found."""
    opens_users(john)
    for label, value in filters.items():
        choice = john.main.get_by_label(john.say(label.capitalize()), exact=True)
        if john.scripted:
            john.leaving(lambda choice=choice, value=value: choice.select_option(value))
        else:
            choice.select_option(value)
    search = john.main.get_by_role("searchbox")
    search.fill(words)
    john.leaving(lambda: search.press("Enter"))
    john.sees("Users")
    expect(john.main.get_by_role("row")).to_have_count(2)
    john.leaving(john.main.get_by_role("link", name=name).click)
    return john.sees_named(name, at=PERSON)


def reads_the_timeline(john: Visitor) -> list[str]:
    """9. What happened to a guest, oldest first."""
    return list(reversed(john.main.locator(".timeline li b").all_inner_texts()))


# The tester at the inbox -------------------------------------------------------------------------


def row_of(tester: Visitor, address: str, subject: str) -> Locator:
    """A mail in the list."""
    return tester.page.locator(".mails a").filter(has_text=address).filter(has_text=subject)


def waits_at_the_inbox(tester: Visitor) -> Visitor:
    """5. The inbox is open, and the mail is not there yet."""
    return tester.goes_to("/mail").sees("Captured mail", at="/mail/?")


def opens_the_mail(tester: Visitor, address: str, subject: str) -> Visitor:
    """5. It arrives in the open page; without scripts, when the page is asked for again."""
    if not tester.scripted:
        tester.program.wait_for_mail(address)
        tester.goes_to("/mail")
    row = row_of(tester, address, subject).first
    expect(row).to_be_visible()
    tester.leaving(row.click)
    expect(tester.page.get_by_role("heading", level=1)).to_have_text(subject)
    return tester


def reads_every_view(tester: Visitor, *words: str, source: str) -> Visitor:
    """5. HTML in its sandbox, text, headers and source; back at the HTML."""
    frame = tester.page.locator("iframe")
    assert "allow-scripts" not in (frame.get_attribute("sandbox") or "allow-scripts")
    assert "allow-same-origin" not in (frame.get_attribute("sandbox") or "")
    for expected in words:
        expect(tester.page.frame_locator("iframe").locator("body")).to_contain_text(expected)
    tester.check()
    tester.follows("Text")
    for expected in words:
        expect(tester.main.locator("pre")).to_contain_text(re.compile(spaced(expected)))
    tester.check()
    tester.follows("Headers")
    expect(tester.main).to_contain_text("Message-ID")
    tester.check()
    tester.follows("Source")
    expect(tester.main.locator("pre")).to_contain_text(source)
    tester.check()
    return tester.follows("HTML")


def spaced(words: str) -> str:
    """A pattern for words that may be wrapped anywhere."""
    return r"\s+".join(re.escape(word) for word in words.split())


def gets_started(tester: Visitor) -> Visitor:
    """5. The button in the mail itself, which opens a page of its own."""
    button = tester.page.frame_locator("iframe").get_by_role(
        "link", name=tester.say("Get Started"), exact=True
    )
    with tester.context.expect_page() as opened:
        button.click()
    tester.page = opened.value
    tester.page.wait_for_load_state()
    return tester


def opens_the_link(guest: Visitor, mail: Mail) -> Visitor:
    """5. The link, for somebody who has the mail elsewhere."""
    return guest.goes_to(mail.link)


# The guest ---------------------------------------------------------------------------------------


def sees_who_invites(guest: Visitor, *others: str) -> Visitor:
    """6. The landing page: who invites, where to, for what."""
    return guest.sees(
        "%(name)s invites you to %(organisation)s",
        "woodgrove.example",
        "WoodGrove Projects",
        *others,
        at="/redeem",
        name="John Doe",
        organisation="WoodGrove",
    )


def proves_the_address(guest: Visitor, address: str, count: int = 2) -> Visitor:
    """6. A mailed code: the *count*-th mail to this address."""
    guest.sees("Check your mail", at="/signin/code")
    code = guest.program.wait_for_mail(address, count).code
    return guest.fills({"Code": code}).presses("Continue")


def makes_an_account(guest: Visitor, given_name: str, surname: str) -> Visitor:
    """6. A personal account, made on the way."""
    guest.sees("Make a personal account", at="/signin/account")
    guest.fills({"Given name": given_name, "Surname": surname, "New password": PHRASE})
    return guest.presses("Make the account")


def reviews_permissions(guest: Visitor, *others: str) -> Visitor:
    """6. What WoodGrove asks for."""
    return guest.sees("Review permissions", "woodgrove.example", *others, at="/redeem/review")


def sees_the_profile(guest: Visitor, **values: str) -> Visitor:
    """8. The profile that the sign-in has filled in."""
    guest.sees("Your profile at %(organisation)s", at="/profile", organisation="WoodGrove")
    for label, value in values.items():
        expect(guest.field(label.replace("_", " "))).to_have_value(value)
    return guest


def sees_my_apps(guest: Visitor) -> Visitor:
    """8. My Apps with what was assigned."""
    guest.sees("Apps", "WoodGrove Projects", at="/myapps")
    tile = guest.main.get_by_role("link", name="WoodGrove Projects")
    expect(tile).to_have_attribute("href", re.compile("^/myapps/signin/WoodGrove-Projects/"))
    return guest


def is_welcome_back(guest: Visitor) -> Visitor:
    """8. The same link, after acceptance."""
    return guest.sees(
        "Welcome back to %(organisation)s", "WoodGrove Projects", at="/redeem",
        organisation="WoodGrove",
    )  # fmt: skip


def signs_out(visitor: Visitor) -> Visitor:
    """8. By the account menu."""
    visitor.page.locator("summary.me").click()
    return visitor.presses("Sign out").sees("You are signed out", at="/signedout")


def reaches(visitor: Visitor, target: Locator) -> Visitor:
    """With the Tab key alone; whatever has the focus on the way can be seen to have it."""
    for _ in range(40):
        visitor.page.keyboard.press("Tab")
        assert visitor.page.evaluate(
            """() => {
                const focused = document.activeElement, style = getComputedStyle(focused);
                return focused === document.body || focused.matches(":focus-visible")
                    && (style.outlineStyle !== "none" || style.boxShadow !== "none");
            }"""
        ), f"the focus cannot be seen: {visitor.page.url}"
        if target.evaluate("element => element === document.activeElement"):
            return visitor
    raise AssertionError(f"not reached with Tab: {target}")


def types(visitor: Visitor, english: str, text: str) -> Visitor:
    """Reach a field and type into it."""
    reaches(visitor, visitor.field(english)).page.keyboard.type(text)
    return visitor


def hits_enter_on(visitor: Visitor, english: str) -> Visitor:
    """Reach a button and press it with the keyboard."""
    reaches(visitor, visitor.button(english))
    visitor.leaving(lambda: visitor.page.keyboard.press("Enter"))
    return visitor
