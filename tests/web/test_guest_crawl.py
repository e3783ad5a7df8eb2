"""Everything that a guest can reach by clicking, and every form on the way."""

from urllib.parse import urljoin, urlsplit

from flask import Flask

from tests.cast import Cast
from tests.pages import ORIGIN, Browser, Page
from tests.web.test_every_route import assert_secured

ENDS = ("/signout", "/static/", "/mail")
"""Leads out of the session, or out of the pages that are looked at here."""


def crawl(browser: Browser, start: str) -> dict[str, Page]:
    """Every page that links lead to, by its path; ids count as one page each."""
    found: dict[str, Page] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith(ENDS) or len(found) > 60:
            continue
        page = browser.get(path)
        found[path] = page
        for link in page.soup.select("a[href]"):
            target = urlsplit(urljoin(page.url, str(link["href"])))
            if f"{target.scheme}://{target.netloc}" == ORIGIN:
                waiting.append(target.path)
    return found


def test_every_form_within_a_guests_reach_needs_this_browsers_token(
    app: Flask, cast: Cast, otto: Browser, adele: Browser
) -> None:
    """SES-3: removed, altered, borrowed; SES-4: and no page may be kept by anybody"""
    first = otto.get("/profile")
    pages = {"/profile of the first time": first}
    first.submit("/profile/skip")
    pages |= crawl(otto, "/myapps")
    assert {
        "/myapps", "/profile", "/account/sign-in", "/account/sessions", "/account/organisations",
        f"/account/organisations/{cast.woodgrove}/leave",
    } <= set(pages)  # fmt: skip
    borrowed = str(adele.get("/profile").form().select("input[name=csrf_token]")[0]["value"])
    actions = set()
    for path, page in pages.items():
        assert_secured(page.response, path)
        assert page.response.headers["Cache-Control"] == "no-store", path
        for form in page.soup.select("form[method=post]"):
            target = urljoin(page.url, str(form.get("action") or page.url))
            if target in actions:
                continue
            actions.add(target)
            token = str(form.select("input[name=csrf_token]")[0]["value"])
            fields = {
                str(field["name"]): str(field.get("value", ""))
                for field in form.select("input[name]")
            }
            for wrong in (None, token[:-2] + "AA", borrowed):
                data = {name: value for name, value in fields.items() if name != "csrf_token"}
                if wrong is not None:
                    data["csrf_token"] = wrong
                answer = otto.post(target, data)
                assert answer.status == 400, f"{target} with {wrong}"
                assert "This form expired" in answer.text
    assert len(actions) >= 6
    assert otto.get("/account/organisations").status == 200, "still signed in, still there"
    assert "WoodGrove" in otto.get("/account/organisations").text
