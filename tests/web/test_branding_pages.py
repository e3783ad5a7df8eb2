"""The Branding page, its preview, and the face that guests see."""

import gc
import io
from typing import Any

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from PIL import Image
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, Picture, Tenant, TenantPolicy
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser, Page


def logo(colour: str = "green", size: tuple[int, int] = (200, 40)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def file(content: bytes, name: str = "logo.png") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def save(browser: Browser, **values: Any) -> Page:
    page = browser.get("/admin/branding")
    chosen = page.soup.select_one("input[name=layout][checked]")
    assert chosen is not None
    return page.submit("/admin/branding", **{"banner": None, "square": None} | values)


def test_what_is_saved_is_shown_and_reaches_the_guests_pages(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    page = save(
        john, accent="#285943", banner=file(logo()), square=file(logo("red", (80, 80))),
        privacy_url="https://woodgrove.example/privacy", invitation_days="",
        layout="current", notification_language="ko", drop_unsigned_messages="y",
    )  # fmt: skip
    assert page.path == "/admin/branding"
    assert "Saved." in page.text
    assert page.soup.select_one("input[name=layout][value=current][checked]")
    with app.app_context():
        branding = db.session.get_one(Tenant, cast.woodgrove).branding
        policy = db.session.get_one(TenantPolicy, cast.woodgrove)
        assert (policy.invitation_days, policy.drop_unsigned_messages) == (None, True)
        with worker.transaction() as session:
            invited = factories.invite(session, cast, clock.now)
            link = factories.link_of(session, cast.woodgrove, invited.user_id)
    sam = Browser(app)
    landing = sam.get(link)
    mark = landing.soup.select_one("header .brand img")
    assert mark is not None
    assert mark["src"] == f"/branding/{cast.woodgrove}/{branding['banner']}"
    assert mark["alt"] == "WoodGrove"
    sheet = landing.soup.select_one('link[href^="/brand/"]')
    assert sheet is not None
    css = sam.client.get(str(sheet["href"]), base_url=ORIGIN).get_data(as_text=True)
    assert "--accent: light-dark(#285943, " in css
    assert landing.soup.select_one('footer a[href="https://woodgrove.example/privacy"]')


def test_a_logo_is_served_to_everybody_for_ever_under_its_own_name_alone(
    app: Flask, cast: Cast, john: Browser
) -> None:
    save(john, banner=file(logo()))
    with app.app_context():
        digest = db.session.get_one(Tenant, cast.woodgrove).branding["banner"]
    client = app.test_client()
    response = client.get(f"/branding/{cast.woodgrove}/{digest}", base_url=ORIGIN)
    assert response.status_code == 200
    assert response.mimetype == "image/png"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for other in (
        f"/branding/{cast.woodgrove}/{'0' * 64}",
        f"/branding/{cast.contoso}/{digest}",
        f"/branding/nobody/{digest}",
    ):
        assert client.get(other, base_url=ORIGIN).status_code == 404


def test_a_colour_that_is_too_pale_is_darkened_and_that_is_said(
    app: Flask, cast: Cast, john: Browser
) -> None:
    page = save(john, accent="#FFFF00")
    assert "too pale for white text" in page.text
    assert "#707000" in page.text
    field = page.soup.select_one("input[name=accent]")
    assert field is not None
    assert field["value"] == "#707000"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("logo.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
        ("logo.png", b"<!doctype html><script>alert(1)</script>"),
        ("logo.png", logo()[:50]),
        ("../../../logo.png", b"\0" * 100),
    ],
)
def test_what_is_no_picture_is_refused_beside_its_field(
    app: Flask, cast: Cast, john: Browser, name: str, content: bytes
) -> None:
    page = save(john, square=file(content, name), technical_contact="it@woodgrove.example")
    assert page.status == 200
    assert page.errors == ["This file is not a PNG or JPEG picture."]
    assert page.title.startswith("Error:")
    error = page.soup.select_one("#square-error")
    assert error is not None
    field = page.soup.select_one("#square")
    assert field is not None
    assert "square-error" in str(field["aria-describedby"])
    kept = page.soup.select_one("input[name=technical_contact]")
    assert kept is not None
    assert kept["value"] == "it@woodgrove.example", "what was typed is kept"
    with app.app_context():
        assert db.session.scalars(select(Picture)).all() == []


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_files_of_just_over_1_mib_are_told_beside_the_field(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """threats.md, 3: a larger request is taken here, and only here"""
    large = b"\0" * (1024 * 1024 + 1)
    page = save(john, banner=file(large))
    assert page.errors == ["The picture is larger than 1 MiB."]
    token = page.soup.select_one("input[name=csrf_token]")
    assert token is not None
    elsewhere = john.client.post(
        "/profile", base_url=ORIGIN, data={"csrf_token": token["value"], "x": file(large)}
    )
    assert elsewhere.status_code == 413
    elsewhere.close()
    assert save(john, banner=file(b"\0" * 3 * 1024 * 1024)).status == 413
    # Werkzeug leaves the files of a request that was refused half read to the collector.
    del elsewhere, page
    gc.collect()


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("accent", "red; }", "Enter a colour as six digits, such as #0b5a69."),
        ("privacy_url", "ftp://x.example", "Enter an address that begins with https://."),
        ("privacy_contact", "me", "Enter one e-mail address, such as name@example.com."),
        ("invitation_days", "soon", "Enter a number of days from 1 to 3650."),
        ("invitation_days", "-1", "Enter a number of days from 1 to 3650."),
        ("layout", "nice", "Choose one from the list."),
    ],
)
def test_a_wrong_value_is_refused_beside_its_field(
    cast: Cast, john: Browser, field: str, typed: str, sentence: str
) -> None:
    page = save(john, **{field: typed})
    assert page.errors == [sentence]
    assert page.soup.select_one(f"#{field}-error")


def test_the_preview_shows_settings_and_logo_that_are_not_saved(
    app: Flask, cast: Cast, john: Browser
) -> None:
    page = john.get("/admin/branding")
    token = page.soup.select_one("input[name=csrf_token]")
    assert token is not None
    data = {
        "csrf_token": token["value"], "layout": "current", "accent": "#7a1f5c",
        "notification_language": "ko", "square": file(logo("red", (80, 80))),
    }  # fmt: skip
    response = john.client.post("/admin/branding/preview", base_url=ORIGIN, data=data)
    assert "sandbox" in response.headers["Content-Security-Policy"]
    html = BeautifulSoup(response.get_data(as_text=True), "html5lib")
    assert html.html is not None
    assert html.html["lang"] == "ko"
    [picture] = html.select("img")
    assert str(picture["src"]).startswith("data:image/png;base64,")
    assert "#7a1f5c" in str(html)
    with app.app_context():
        assert db.session.get_one(Tenant, cast.woodgrove).branding == {}
        assert db.session.scalars(select(Picture)).all() == []
    text = john.client.get("/admin/branding/preview?as=text", base_url=ORIGIN)
    assert text.mimetype == "text/plain"
    assert "Get Started" in text.get_data(as_text=True)


def test_a_preview_that_cannot_be_made_says_why(cast: Cast, john: Browser) -> None:
    token = john.get("/admin/branding").soup.select_one("input[name=csrf_token]")
    assert token is not None
    for data, why in (
        ({"layout": "classic", "accent": "reddish"}, "Enter a colour as six digits"),
        ({"layout": "nice"}, "Choose one from the list."),
    ):
        response = john.client.post(
            "/admin/branding/preview",
            base_url=ORIGIN,
            data={"csrf_token": token["value"], **data},
        )
        assert response.status_code == 200
        assert why in response.get_data(as_text=True)


def test_members_may_look_and_not_change(app: Flask, cast: Cast, adele: Browser) -> None:
    """ADM-2: the forced post is refused"""
    page = adele.get("/admin/branding")
    assert page.status == 200
    assert page.soup.select_one("fieldset[disabled] input[name=accent]")
    assert not page.soup.select("main button[type=submit]")
    token = page.soup.select_one("input[name=csrf_token]")
    assert token is not None
    forced = adele.post("/admin/branding", {"csrf_token": token["value"], "layout": "current"})
    assert forced.status == 403
    assert "This needs the role Global Administrator." in forced.text
    with app.app_context():
        assert (
            "Set Company Information" not in db.session.scalars(select(AuditEvent.activity)).all()
        )
