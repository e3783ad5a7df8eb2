"""Pages around the list, the tabs of a message, and what is done to many mails at once."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert

from b2b.sink import boxes, tags
from b2b.sink.store import Arrival
from b2b.sink.tables import refusals
from tests.conftest import Clock
from tests.pages import Browser
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import html_letter, letter, with_files

# Many at once -------------------------------------------------------------------------------------


def test_ticked_mails_are_deleted_and_come_back(browser: Browser, mails: Mails) -> None:
    first, second, _ = mails.add(letter("One"), letter("Two"), letter("Three"))
    page = browser.get("/mail/")
    assert len(page.soup.select("li > input[type=checkbox][form=picked]")) == 3
    page = page.submit("/picked/delete", mail=[first, second])
    assert "2 messages are deleted." in page.text
    assert mails.store.counters().total == 1
    page = page.submit("/undo", mail=[first, second])
    assert "2 messages are back." in page.text
    subjects = [mail.subject for mail in mails.store.list().messages]
    assert subjects == ["Three", "Two", "One"]
    assert not page.soup.select("form[action$='/undo']")


def test_one_mail_comes_back_as_it_was(browser: Browser, mails: Mails) -> None:
    message_id = mails.one("Back again")
    tags.replace(mails.store, [message_id], ["blue"])
    source = mails.store.source(message_id)
    browser.get(f"/mail/{message_id}").submit("/delete").submit("/undo")
    row = mails.store.get(message_id)
    assert row is not None
    assert (row.subject, row.is_read, row.tags) == ("Back again", True, ("blue",))
    assert mails.store.source(message_id) == source


def test_what_is_gone_for_good_is_said(browser: Browser, mails: Mails, clock: Clock) -> None:
    message_id = mails.one()
    page = browser.get("/mail/").submit("/picked/delete", mail=[message_id])
    mails.store.delete()
    assert "It is too late" in page.submit("/undo", mail=[message_id]).text


def test_ticked_mails_are_marked(browser: Browser, mails: Mails) -> None:
    first, second = mails.add(letter("One"), letter("Two"))
    page = browser.get("/mail/")
    token = page.form("/picked/delete").select_one("input[name=csrf_token]")
    assert token is not None
    for state, read in (("read", True), ("unread", False)):
        fields = {"csrf_token": token["value"], "mail": first}
        browser.post(f"/mail/picked/{state}", fields)
        assert mails.is_read(first) is read
    assert not mails.is_read(second)


def test_nothing_changes_without_a_token(client: FlaskClient, mails: Mails) -> None:
    """BOX-3."""
    message_id = mails.one()
    for path in ("picked/delete", "picked/read", "undo", f"{message_id}/release"):
        client.post(f"/mail/{path}", data={"mail": message_id, "to": "a@b.example"})
    assert mails.store.counters().unread == 1


# Tabs ---------------------------------------------------------------------------------------------


def test_every_part_is_listed_where_it_belongs(browser: Browser, mails: Mails) -> None:
    page = browser.get(f"/mail/{mails.add(html_letter('<p>x</p>'))[0]}?tab=mime")
    rows = [row.get_text(" ", strip=True) for row in page.soup.select(".table tbody tr")]
    kinds = [row.split()[0] for row in rows]
    assert kinds == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    depths = [row.select_one(".depth")["class"][1] for row in page.soup.select(".table tbody tr")]  # type: ignore[index]
    assert depths == ["depth--0", "depth--1", "depth--1", "depth--2", "depth--2"]


def test_checks_name_what_is_wrong_and_what_helps(browser: Browser, mails: Mails) -> None:
    html = '<p style="color:#aaa;background:#fff;display:grid">x <img src="cid:picture"></p>'
    page = browser.get(f"/mail/{mails.add(html_letter(html))[0]}?tab=checks")
    assert "Every picture has words (1)" in page.text
    assert "#aaa / #fff: 2.3" in page.text
    assert "display: grid" in page.text
    assert "Outlook (Windows, classic)" in page.text
    page = browser.get(f"/mail/{mails.one()}?tab=checks")
    assert "There is no HTML to check." in page.text


def test_headers_are_explained(browser: Browser, mails: Mails) -> None:
    page = browser.get(f"/mail/{mails.one()}?tab=headers")
    assert "What the list shows." in page.text


def test_a_header_that_nobody_knows_is_shown_without_words(browser: Browser, mails: Mails) -> None:
    page = browser.get(f"/mail/{mails.one(X_Our_Own='left as it is')}?tab=headers")
    assert "X-Our-Own" in page.text
    assert "left as it is" in page.text


def test_the_smtp_log_is_shown_as_text(browser: Browser, mails: Mails) -> None:
    said = "S: 220 ready\nC: EHLO <script>\n"
    arrival = Arrival("a@b.example", ("c@d.example",), letter(), conversation=said)
    page = browser.get(f"/mail/{mails.store.add([arrival])[0]}?tab=smtp")
    assert page.soup.select_one("pre.letter") is not None
    assert "C: EHLO <script>" in page.text
    assert "did not come by SMTP" in browser.get(f"/mail/{mails.one()}?tab=smtp").text


def test_pictures_can_be_left_out(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(html_letter('<img src="cid:picture" alt="Logo">'))[0]
    assert b"data:image/png;base64" in client.get(f"/mail/{message_id}/html").data
    without = client.get(f"/mail/{message_id}/html?pictures=off").data
    assert b"data:image/png" not in without
    assert b"Logo" in without
    page = client.get(f"/mail/{message_id}?pictures=off").get_data(as_text=True)
    assert f'src="/mail/{message_id}/html?pictures=off"' in page


def test_an_inline_picture_is_no_file(browser: Browser, mails: Mails) -> None:
    message_id = mails.add(html_letter('<img src="cid:picture">'))[0]
    headings = [h2.get_text() for h2 in browser.get(f"/mail/{message_id}").soup.select("h2")]
    assert "Pictures within the HTML" in headings
    assert "Files" not in headings
    message_id = mails.add(with_files({"a.txt": ("text/plain", b"x")}))[0]
    headings = [h2.get_text() for h2 in browser.get(f"/mail/{message_id}").soup.select("h2")]
    assert "Files" in headings


def test_the_other_mails_of_the_same_guest_are_at_hand(browser: Browser, mails: Mails) -> None:
    mails.add(letter("For Sam"), to=("sam@contoso.example",))
    mails.add(letter("For Eve"), to=("eve@contoso.example",))
    answer = letter("Answer of Sam", sender="sam@contoso.example")
    mails.add(answer, to=("john@woodgrove.example",))
    here = mails.add(letter("Again for Sam"), to=("sam@contoso.example",))[0]
    page = browser.get(f"/mail/{here}")
    about = page.soup.select_one("aside.about")
    assert about is not None
    assert "For Sam" in about.get_text()
    assert "For Eve" not in about.get_text()
    found = page.follow("The whole conversation")
    subjects = [one.get_text() for one in found.soup.select(".mails .subject")]
    assert subjects == ["Again for Sam", "Answer of Sam", "For Sam"]


# Around -------------------------------------------------------------------------------------------


def test_mailboxes_by_recipient_domain_and_tag(browser: Browser, mails: Mails) -> None:
    first = mails.add(letter("One"), to=("sam@contoso.example", "eve@contoso.example"))[0]
    mails.add(letter("Two"), to=("sam@contoso.example",))
    tags.replace(mails.store, [first], ["blue"])
    boxes.make(mails.store, "run-7")
    page = browser.get("/mail/mailboxes")
    shown = [" ".join(li.get_text(" ").split()) for li in page.soup.select(".boxes li")]
    assert shown == [
        "sam@contoso.example 2", "eve@contoso.example 1", "@contoso.example 2", "blue 1", "run-7",
    ]  # fmt: skip
    found = page.follow("eve@contoso.example")
    assert [one.get_text() for one in found.soup.select(".mails .subject")] == ["One"]


def test_two_mails_stand_side_by_side(browser: Browser, mails: Mails) -> None:
    first, second = mails.add(html_letter("<p>Hello</p>", "English"), letter("한국어", "안녕"))
    page = browser.get(f"/mail/{first}").follow("Compare")
    [link] = page.soup.select("main li a")
    page = browser.get(str(link["href"]))
    assert [h2.get_text() for h2 in page.soup.select(".pairs h2")] == ["English", "한국어"]
    frame = page.soup.select_one(".pairs iframe")
    assert frame is not None
    assert "allow-scripts" not in str(frame["sandbox"])
    assert browser.get(f"/mail/compare?a={'A' * 22}&b={second}").status == 404


def test_refused_mail_is_kept_with_its_reason(browser: Browser, mails: Mails, clock: Clock) -> None:
    assert "Nothing was refused" in browser.get("/mail/refused").text
    row: dict[str, Any] = {
        "refused_at": clock.now, "stage": "DATA", "reply": "554 5.6.0 Bare line feed",
        "sender": "a@b.example", "recipients": ["c@d.example"], "subject": "Bad <b>mail</b>",
        "size": 10, "packed": None, "conversation": "S: 220\nC: EHLO x",
    }  # fmt: skip
    with mails.store.writing() as connection:
        connection.execute(insert(refusals), [row])
    page = browser.get("/mail/refused").follow("Bad <b>mail</b>")
    assert "554 5.6.0 Bare line feed" in page.text
    assert "C: EHLO x" in page.text
    assert browser.get("/mail/refused/999").status == 404


def test_keys_are_explained_on_a_page(browser: Browser, mails: Mails) -> None:
    assert browser.get("/mail/keys").h1 == "Keys"


def test_mailpits_address_of_a_search_leads_to_ours(browser: Browser, mails: Mails) -> None:
    assert browser.get("/mail/search?q=hello").url.endswith("/mail/?q=hello")


def test_the_box_offers_fields_and_tags(browser: Browser, mails: Mails) -> None:
    tags.replace(mails.store, [mails.one()], ["two words"])
    page = browser.get("/mail/?q=hello")
    offered = [option["value"] for option in page.soup.select("#search-terms option")]
    assert "hello is:unread" in offered
    assert 'hello tag:"two words"' in offered


# Release ------------------------------------------------------------------------------------------


def test_release_is_there_only_with_a_server(app: Flask, browser: Browser, mails: Mails) -> None:
    message_id = mails.one()
    assert "Test mail: nothing leaves here" in str(browser.get(f"/mail/{message_id}").soup)
    assert not browser.get(f"/mail/{message_id}").soup.select("form[action*=release]")
    app.config["RELEASE_SERVER"] = "smtp://127.0.0.1:1"
    page = browser.get(f"/mail/{message_id}")
    assert "nothing leaves here" not in str(page.soup)
    page = page.submit("/release", to="sam@contoso.example")
    assert "The server did not take it" in page.text


# What is sent -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/static/css/components.css", "/mail/api/v1/messages"])
def test_sheets_and_answers_are_packed_for_whoever_takes_it(
    client: FlaskClient, mails: Mails, path: str
) -> None:
    mails.add(*(letter(f"No {number}") for number in range(20)))
    with client.get(path) as plain, client.get(path, headers={"Accept-Encoding": "gzip"}) as packed:
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 2


def test_pages_are_not_packed_beside_their_tokens(client: FlaskClient, mails: Mails) -> None:
    """SES-3: the size of tokens and foreign words packed together would tell of the tokens."""
    response = client.get("/mail/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers
