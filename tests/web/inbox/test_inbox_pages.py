"""The inbox's pages through the client, over a store on disk."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from b2b import create_app
from b2b.sink.store import Store
from b2b.web.inbox import mailbox
from config import Config
from tests.conftest import Clock
from tests.pages import Browser, Page
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import html_letter, letter, with_files

LINK = "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost"


def subjects(page: Page) -> list[str]:
    return [tag.get_text().strip() for tag in page.soup.select(".mails .subject")]


def test_an_empty_mailbox_says_where_to_send(browser: Browser, mails: Mails) -> None:
    page = browser.get("/mail")
    assert (page.status, page.title, page.h1) == (200, "Mail", "Captured mail")
    assert "Point any program at 127.0.0.1:1025" in page.text
    assert "Test mail: nothing leaves here" in page.soup.get_text()


def test_the_newest_mail_stands_first_and_unread_is_counted(browser: Browser, mails: Mails) -> None:
    mails.add(letter("First"), letter("Second"), to=("sam@contoso.example", "ada@contoso.example"))
    page = browser.get("/mail/")
    assert subjects(page) == ["Second", "First"]
    assert page.title == "(2) Mail"
    assert "Unread: sam@contoso.example + 1" in page.text
    assert page.soup.select_one(".filters [aria-current]").get_text() == "All 2"  # type: ignore[union-attr]


def test_fifty_mails_a_page_and_older_ones_by_key(browser: Browser, mails: Mails) -> None:
    mails.add(*(letter(f"Mail {n}") for n in range(120)))
    seen: list[str] = []
    page = browser.get("/mail/")
    for expected in (50, 50, 20):
        assert len(subjects(page)) == expected
        seen += subjects(page)
        if expected == 50:
            page = page.follow("Older")
    assert seen == [f"Mail {n}" for n in reversed(range(120))]
    assert not page.soup.select("a[rel=next]")
    assert subjects(page.follow("Newest"))[0] == "Mail 119"


def test_a_message_stands_in_the_list_on_the_page_it_belongs_to(
    browser: Browser, mails: Mails
) -> None:
    ids = mails.add(*(letter(f"Mail {n}") for n in range(60)))
    page = browser.get(f"/mail/{ids[3]}")
    assert subjects(page) == ["Mail 3", "Mail 2", "Mail 1", "Mail 0"]
    here = page.soup.select_one(".mails [aria-current]")
    assert here is not None
    assert "Mail 3" in here.get_text()


def test_the_list_stays_on_its_page_while_messages_are_opened(
    browser: Browser, mails: Mails
) -> None:
    mails.add(*(letter(f"Mail {n}") for n in range(120)))
    page = browser.get("/mail/").follow("Older")
    listed = subjects(page)
    page = page.follow("Mail 40").follow("Older message").follow("Text")
    assert (page.h1, subjects(page)) == ("Mail 39", listed)
    assert (
        subjects(page.submit("/delete?" + page.url.partition("?")[2].partition("&")[0]))[0]
        == (listed[0])
    )
    newest = mails.one("Newest")
    before = page.url.partition("before=")[2].partition("&")[0]
    assert subjects(browser.get(f"/mail/{newest}?before={before}"))[0] == "Newest"


def test_opening_an_unread_message_leaves_the_list_of_unread_ones_in_place(
    browser: Browser, mails: Mails
) -> None:
    mails.add(letter("One"), letter("Two"), letter("Three"))
    page = browser.get("/mail/?q=is:unread").follow("Two")
    assert subjects(page) == ["Three", "One"]
    assert page.follow("Older message").h1 == "One"


def test_search_narrows_and_is_kept_on_the_way(browser: Browser, mails: Mails) -> None:
    mails.add(letter("Red one"), letter("Blue"), letter("Red two"))
    page = browser.get("/mail/?q=subject:red")
    assert subjects(page) == ["Red two", "Red one"]
    assert "2 found" in page.text
    opened = page.follow("Red two")
    assert opened.h1 == "Red two"
    assert opened.follow("Older message").h1 == "Red one"
    assert subjects(browser.get("/mail/?q=nobody")) == []


@pytest.mark.parametrize(
    ("query", "position", "words"),
    [('"open', 1, "This quotation mark is not closed."), ("a is:new", 3, "“is:” is followed by")],
)
def test_a_bad_query_is_explained_beside_the_box(
    browser: Browser, mails: Mails, query: str, position: int, words: str
) -> None:
    mails.one()
    page = browser.get("/mail/", query_string={"q": query})
    assert page.status == 400
    assert page.title.startswith("Error:")
    box = page.soup.select_one("input[name=q]")
    assert box is not None
    assert (box["value"], box["aria-invalid"]) == (query, "true")
    said = page.soup.find(id=box["aria-describedby"])
    assert said is not None
    assert words in said.get_text()
    assert f"It is at character {position}." in said.get_text()
    mark = page.soup.select_one("mark")
    assert mark is not None
    assert mark.get_text() == query[position - 1 :]
    assert subjects(page) == []


def test_a_bad_query_does_not_hide_an_open_message(browser: Browser, mails: Mails) -> None:
    page = browser.get(f"/mail/{mails.one('Here')}?q=to:")
    assert (page.status, page.h1) == (200, "Here")


def test_chips_narrow_to_unread_and_to_invitations(browser: Browser, mails: Mails) -> None:
    ids = mails.add(letter("Other"), letter("Invited", f"Get Started:\n{LINK}"), letter("New"))
    mails.store.mark(read=True, ids=ids[:2])
    page = browser.get("/mail/")
    assert subjects(page.follow("Unread 1")) == ["New"]
    assert subjects(page.follow("Invitations")) == ["Invited"]


def test_the_fragment_answers_304_until_something_changes(
    client: FlaskClient, mails: Mails, clock: Clock
) -> None:
    mails.one("First")
    page = client.get("/mail/").get_data(as_text=True)
    tag = re.search(r'data-etag="([^"]+)"', page)
    assert tag is not None
    known = {"If-None-Match": tag[1].replace("&#34;", '"')}
    same = client.get("/mail/live", headers=known)
    assert (same.status_code, same.data) == (304, b"")
    clock.advance(minutes=1)  # rows say how long ago
    assert client.get("/mail/live", headers=known).status_code == 200
    mails.one("Second")
    changed = client.get("/mail/live", headers=known)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != known["If-None-Match"]
    text = changed.get_data(as_text=True)
    assert "Second" in text
    assert 'data-title-count="2"' in text
    assert "<html" not in text


def test_opening_marks_read_but_asking_for_the_head_does_not(
    client: FlaskClient, mails: Mails
) -> None:
    message_id = mails.add(html_letter("<p>Hello</p>"))[0]
    assert client.head(f"/mail/{message_id}").status_code == 200
    for quiet in ("html", "source"):
        assert client.get(f"/mail/{message_id}/{quiet}").status_code == 200
    assert not mails.is_read(message_id)
    client.get(f"/mail/{message_id}")
    assert mails.is_read(message_id)


def test_tabs_are_pages(browser: Browser, mails: Mails) -> None:
    message_id = mails.add(html_letter("<p>In HTML</p>", "Très bien", "In text"))[0]
    page = browser.get(f"/mail/{message_id}")
    frame = page.soup.select_one("iframe")
    assert frame is not None
    assert frame["src"] == f"/mail/{message_id}/html"
    assert frame["sandbox"] == ["allow-popups", "allow-popups-to-escape-sandbox"]
    text = page.follow("Text").soup.select_one("pre")
    assert text is not None
    assert text.get_text() == "In text"
    headers = page.follow("Headers").text
    assert "Très bien" in headers
    assert "=?utf-8?" in headers
    source = page.follow("Source").soup.select_one("pre")
    assert source is not None
    assert "Content-Type: multipart/alternative" in source.get_text()


def test_a_mail_without_html_opens_as_text(browser: Browser, mails: Mails) -> None:
    page = browser.get(f"/mail/{mails.one(text='Only words')}?tab=html")
    assert not page.soup.select("iframe")
    assert "Only words" in page.text
    assert browser.get(f"/mail/{mails.one()}/html").status == 404


def test_the_frame_keeps_its_width_and_colours_from_mail_to_mail(
    browser: Browser, mails: Mails
) -> None:
    ids = mails.add(html_letter("<p>1</p>", "One"), html_letter("<p>2</p>", "Two"))
    page = browser.get(f"/mail/{ids[1]}")
    assert page.soup.select_one(".frame.frame--phone.frame--light")
    page = page.follow("Tablet").follow("Dark").follow("Older message")
    assert page.h1 == "One"
    assert page.soup.select_one(".frame.frame--tablet.frame--dark")


def test_the_invitation_link_stands_first_with_its_button(browser: Browser, mails: Mails) -> None:
    html = (
        f'<a href="https://woodgrove.example/privacy">Privacy</a> <a href="{LINK}">Get Started</a>'
        f' <a href="{LINK}">the plain link</a> <a href="mailto:john@woodgrove.example">John</a>'
        ' <a href="http://localhost:5000.evil.example/redeem?rd=x">Get Started</a>'
        ' <a href="javascript:alert(1)">Run</a>'
    )
    page = browser.get(f"/mail/{mails.add(html_letter(html))[0]}")
    opened = page.soup.select_one(".found .btn--primary")
    assert opened is not None
    assert opened["href"] == LINK
    assert (opened["target"], opened["rel"]) == ("_top", ["noreferrer"])
    assert len(page.soup.select(".found section")) == 1
    others = page.soup.select(".about section")[0]
    assert "Privacy woodgrove.example" in " ".join(others.get_text(" ").split()).replace(
        "(opens a new tab) ", ""
    )
    assert "E-mail address" in others.get_text()
    assert "localhost" not in str(others.select("a")[0]["href"])
    assert not page.soup.select('a[href^="javascript"]')


def test_a_code_can_be_copied_without_its_space(browser: Browser, mails: Mails) -> None:
    message_id = mails.one("Your code for WoodGrove", "Your code:\n\n  4829 1706\n")
    assert "4829 1706" in browser.get("/mail/").text
    code = browser.get(f"/mail/{message_id}").soup.select_one("#code-1")
    assert code is not None
    assert code.get_text() == "48291706"


def test_the_envelope_is_shown_apart_and_names_blind_copies(browser: Browser, mails: Mails) -> None:
    message_id = mails.add(letter(), to=("sam@contoso.example", "blind@contoso.example"))[0]
    envelope = browser.get(f"/mail/{message_id}").soup.select(".about section")[-1]
    words = " ".join(envelope.get_text(" ").split())
    assert "john@woodgrove.example" in words
    assert "blind@contoso.example (blind copy)" in words
    assert "sam@contoso.example (blind copy)" not in words


@pytest.mark.parametrize(
    ("name", "content_type", "saved"),
    [
        ("page.html", "text/html", "page.html"),
        ("drawing.svg", "image/svg+xml", "drawing.svg"),
        ("..\\..\\run.js", "text/javascript", "run.js"),
        ("../../etc/passwd", "application/x-sh", "passwd"),
        ("Übersicht 2026.pdf", "application/pdf", "UTF-8''%C3%9Cbersicht%202026.pdf"),
        ("招待.html", "text/html", "UTF-8''%E6%8B%9B%E5%BE%85.html"),
    ],
)
def test_attachments_are_only_ever_saved(
    client: FlaskClient, browser: Browser, mails: Mails, name: str, content_type: str, saved: str
) -> None:
    content = b"<script>alert(document.domain)</script>"
    message_id = mails.add(with_files({name: (content_type, content)}))[0]
    page = browser.get(f"/mail/{message_id}")
    assert page.soup.select_one(f'a[href="/mail/{message_id}/part/2"]')
    response = client.get(f"/mail/{message_id}/part/2")
    assert response.data == content
    assert response.content_type == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    disposition = response.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename")
    assert disposition.endswith((saved, f'"{saved}"'))
    assert response.headers["Cache-Control"] == "no-store"


def test_only_attachments_are_parts_to_save(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(html_letter("<p>Hello</p>"))[0]
    assert client.get(f"/mail/{message_id}/part/1").status_code == 404
    assert client.get(f"/mail/{message_id}/part/nine").status_code == 404


def test_the_eml_is_byte_for_byte(client: FlaskClient, mails: Mails) -> None:
    source = letter('Quotes " and / slashes')
    response = client.get(f"/mail/{mails.add(source)[0]}/source")
    assert response.data == source
    assert response.headers["Content-Disposition"] == "attachment; filename=slashes.eml"


def test_a_long_source_is_cut_on_the_page_and_whole_in_the_file(
    browser: Browser, client: FlaskClient, mails: Mails
) -> None:
    message_id = mails.one(text="A line of words.\n" * 40_000)
    for tab in ("source", "text"):
        page = browser.get(f"/mail/{message_id}?tab={tab}")
        assert "This is the beginning." in page.text
        assert len(page.response.data) < 400_000
    assert len(client.get(f"/mail/{message_id}/source").data) > 600_000


# Changes ------------------------------------------------------------------------------------------


def test_delete_takes_the_message_away(browser: Browser, mails: Mails) -> None:
    message_id = mails.one("Gone")
    page = browser.get(f"/mail/{message_id}").submit("/delete")
    assert (page.path, mails.store.get(message_id)) == ("/mail/", None)
    assert "The message is deleted." in page.text
    assert browser.get(f"/mail/{message_id}").status == 404


def test_mark_unread_leads_back_to_the_list(browser: Browser, mails: Mails) -> None:
    message_id = mails.one()
    page = browser.get(f"/mail/{message_id}?q=hello").submit("/unread?q=hello")
    assert page.url.endswith("/mail/?q=hello")
    assert not mails.is_read(message_id)


def test_mark_all_read(browser: Browser, mails: Mails) -> None:
    mails.add(letter(), letter())
    page = browser.get("/mail/")
    token = page.soup.select_one('form[action="/mail/read"] input[name=csrf_token]')
    assert token is not None
    browser.post("/mail/read", {"csrf_token": token["value"]})
    assert mails.store.counters().unread == 0


def test_delete_all_asks_first(browser: Browser, mails: Mails) -> None:
    mails.add(letter("One"), letter("Two"))
    page = browser.get("/mail/").follow("Delete all")
    assert mails.store.counters().total == 2
    assert "Delete 2 messages" in page.text
    assert "Deleted: 2." in page.submit().text
    assert mails.store.counters().total == 0
    assert "There is nothing to delete." in browser.get("/mail/delete").text


def test_what_a_search_found_is_deleted_alone(browser: Browser, mails: Mails) -> None:
    mails.add(letter("Red"), letter("Blue"))
    browser.get("/mail/?q=red").follow("Delete what is found").submit()
    assert [mail.subject for mail in mails.store.list().messages] == ["Blue"]


def test_nothing_is_deleted_by_a_query_that_cannot_be_read(
    browser: Browser, mails: Mails, app: Flask
) -> None:
    mails.one()
    page = browser.get("/mail/delete?q=to:")
    assert page.status == 400
    assert not (page.soup.find("main") or page.soup).select("form")  # type: ignore[union-attr]
    token = page.soup.select_one("input[name=csrf_token]")
    assert token is not None
    assert browser.post("/mail/delete?q=to:", {"csrf_token": token["value"]}).status == 404
    assert mails.store.counters().total == 1


@pytest.mark.parametrize("action", ["{id}/delete", "{id}/unread", "read", "delete"])
def test_changes_need_a_token_and_our_own_origin(
    client: FlaskClient, browser: Browser, mails: Mails, action: str
) -> None:
    message_id = mails.one()
    mails.store.mark(read=action == "{id}/unread")
    before = mails.store.counters()
    url = "/mail/" + action.format(id=message_id)
    assert client.post(url).status_code == 400
    token = browser.get(f"/mail/{message_id}" if before.unread == 0 else "/mail/").soup.select_one(
        "input[name=csrf_token]"
    )
    assert token is not None
    foreign = browser.client.post(
        url, data={"csrf_token": token["value"]}, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert mails.store.counters() == before


# Who may look -------------------------------------------------------------------------------------


def test_a_foreign_host_is_not_served(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.one("Secret")
    for url in ("/mail/", f"/mail/{message_id}", f"/mail/{message_id}/html"):
        response = client.get(url, base_url="http://rebound.evil.example:5000")
        assert response.status_code == 400
        assert b"Secret" not in response.data


def test_unknown_messages_are_not_found(client: FlaskClient, mails: Mails) -> None:
    unknown = "0" * 22
    for url in ("", "/html", "/source", "/part/1"):
        response = client.get(f"/mail/{unknown}{url}")
        assert response.status_code == 404
        assert response.mimetype == "text/html"
    assert client.get("/mail/short").status_code == 404
    assert client.get(f"/mail/%00{unknown[1:]}").status_code == 404
    assert client.get("/mail/live?at=%00").status_code == 200


def test_a_full_or_busy_store_can_still_be_read(
    client: FlaskClient, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OperationalError("UPDATE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(Store, "mark", refuse)
    message_id = mails.one("Still here")
    assert b"Still here" in client.get(f"/mail/{message_id}").data
    assert client.get(f"/mail/api/v1/message/{message_id}").status_code == 200


def test_no_page_says_that_another_site_may_read_it(client: FlaskClient, mails: Mails) -> None:
    for url in ("/mail/", f"/mail/{mails.one()}"):
        response = client.get(url, headers={"Origin": "https://evil.example"})
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_there_is_no_inbox_in_production(settings: dict[str, Any], tmp_path: Any) -> None:
    production = {"PRODUCTION": True, "BASE_URL": "https://b2b.example", "PASSWORD_HASHING": ""}
    settings = {**settings, **production, "PASSWORD_HASHING": "strong"}
    built = create_app(Config(**settings))
    for url in ("/mail", "/mail/", "/mail/api/v1/messages"):
        response = built.test_client().get(url, base_url="https://b2b.example")
        assert response.status_code == 404


def test_a_store_that_does_not_answer_is_503_in_both_shapes(
    settings: dict[str, Any], tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings["MAIL_STORE_URL"] = f"sqlite:///{tmp_path}/file/mail.sqlite3"
    built = create_app(Config(**settings))
    page = built.test_client().get("/mail/")
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert "does not answer" in page.get_data(as_text=True)
    answer = built.test_client().get("/mail/api/v1/messages")
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")
    assert built.test_client().get("/mail/readyz").status_code == 503
    assert built.test_client().get("/mail/livez").status_code == 200
    mailbox.close(built)


def test_each_process_opens_a_store_of_its_own(
    app: Flask, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        first = mailbox.store()
        assert mailbox.store() is first
        monkeypatch.setattr("b2b.web.inbox.mailbox.os.getpid", lambda: -1)
        child = mailbox.store()
        assert child is not first
        assert child.counters().total == 0
        mailbox.close(app)
    first.close()
