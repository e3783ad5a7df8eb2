"""HTML of mails as the frame gets it (threats.md, BOX-1)."""

import re

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient

from b2b.sink import message
from b2b.web.inbox import letters
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import HOSTILE, PNG, html_letter

POLICY = {
    "sandbox": "allow-popups allow-popups-to-escape-sandbox",
    "default-src": "'none'",
    "img-src": "data:",
    "style-src": "'unsafe-inline'",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'self'",
}


def document(app: Flask, html: str) -> BeautifulSoup:
    with app.test_request_context():
        return BeautifulSoup(letters.document(message.read(html_letter(html))), "html5lib")


def test_the_frame_may_nothing_but_open_tabs(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(html_letter("<p>Hello</p>"))[0]
    response = client.get(f"/mail/{message_id}/html")
    said = response.headers["Content-Security-Policy"].split("; ")
    assert dict(directive.split(" ", 1) for directive in said) == POLICY
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_that_acts_is_left_in_the_markup(app: Flask, kind: str) -> None:
    page = document(app, HOSTILE[kind])
    assert not page.select(
        "script, iframe, frame, object, embed, form, input, button, svg, math, link, "
        "video, audio, source, template, noscript, textarea, select"
    )
    assert [str(base) for base in page.select("base")] == ['<base target="_blank"/>']
    assert not page.select("meta[http-equiv]")
    for tag in page.find_all(True):
        for name, value in tag.attrs.items():
            assert not name.startswith("on"), tag
            assert name not in ("srcset", "srcdoc", "action", "background", "poster"), tag
            if name in ("href", "src") and tag.name != "a":
                assert str(value).startswith("data:"), tag
    for link in page.select("a[href]"):
        assert re.match(r"https?://|mailto:|tel:|#", str(link["href"])), link
        assert link["target"] == "_blank"
        assert link["rel"] == ["noopener", "noreferrer"]


def test_own_pictures_come_within_the_document(app: Flask) -> None:
    page = document(
        app, '<img src="cid:picture"><img src="cid:unknown"><p style="background:url(cid:picture)">'
    )
    own, unknown = page.select("img")
    assert str(own["src"]).startswith("data:image/png;base64,iVBORw0KGgo")
    assert not unknown.has_attr("src")
    paragraph = page.select_one("p")
    assert paragraph is not None
    assert "url(data:image/png;base64," in str(paragraph["style"])


def test_a_part_that_is_no_raster_picture_is_not_shown(app: Flask) -> None:
    source = html_letter('<img src="cid:picture">').replace(b"image/png", b"image/svg+xml")
    with app.test_request_context():
        shown = letters.document(message.read(source))
    assert 'src="data:,"' in shown


def test_a_picture_repeated_a_thousand_times_stays_within_bounds(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "MAX_PICTURES", 10 * len(PNG))
    page = document(app, '<img src="cid:picture">' * 1_000)
    sources = [str(picture["src"]) for picture in page.select("img")]
    assert 0 < sum(source != "data:," for source in sources) < 10


def test_the_page_that_the_mail_made_of_itself_is_kept(app: Flask) -> None:
    page = document(
        app,
        "<html lang=ar dir=rtl onclick=x><body class=page style='background:#eee' onload=x>"
        "<style>:root{color-scheme:light dark}</style>",
    )
    assert page.html is not None
    assert page.body is not None
    assert page.html.attrs == {"lang": "ar", "dir": "rtl"}
    assert page.body.attrs == {"class": ["page"], "style": "background:#eee"}
    assert "color-scheme" in str(page.select("style"))


def test_the_title_is_the_subject_and_nothing_more(app: Flask) -> None:
    mail = message.read(html_letter("<p>x</p>", "</title><script>alert(1)</script>"))
    with app.test_request_context():
        page = BeautifulSoup(letters.document(mail), "html5lib")
    assert page.title is not None
    assert page.title.get_text() == "</title><script>alert(1)</script>"
    assert not page.select("script")


def test_pictures_from_outside_are_counted_not_fetched(client: FlaskClient, mails: Mails) -> None:
    html = (
        '<img src="http://canary.invalid/1"><img src="//canary.invalid/2"><img src="cid:picture">'
    )
    page = client.get(f"/mail/{mails.add(html_letter(html))[0]}").get_data(as_text=True)
    assert "2 pictures from outside are not fetched." in page


@pytest.mark.parametrize(
    ("code", "groups"),
    [("48291706", ["4829", "1706"]), ("123456", ["123", "456"]), ("1234", ["1234"])],
)
def test_codes_are_read_in_groups(code: str, groups: list[str]) -> None:
    assert letters.grouped(code) == groups
