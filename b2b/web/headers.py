"""Headers of every response, and where an unsafe request may come from."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, request
from flask.typing import ResponseReturnValue

from b2b import links

View = Callable[..., ResponseReturnValue]

_PAGE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "frame-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
PAGE_POLICY = "; ".join(f"{name} {value}" for name, value in _PAGE.items())

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")

LETTER_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""For the HTML of a letter in a frame of ours: no script, no form, nothing fetched (BOX-1)."""


_DEFAULTS = (
    ("Content-Security-Policy", PAGE_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ("Cache-Control", "no-store"),
    ("Vary", "Cookie"),
)


def register(app: Flask) -> None:
    """Bind the checks and headers of this module."""
    # Before the CSRF check, whose error page offers to send the form again with a good token.
    app.before_request_funcs.setdefault(None, []).insert(0, _own_origin)
    app.after_request(_headers)


def as_letter(response: Response) -> Response:
    """Mark *response* as the HTML of a letter, to be shown in a sandboxed frame of our own."""
    response.headers["Content-Security-Policy"] = LETTER_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def source_of(url: str) -> str | None:
    """A registered address as a policy names it: by its origin, or by a program's own scheme; None
    for what cannot be named there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme}:" if _SCHEME.fullmatch(parts.scheme) else None
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if _ORIGIN.fullmatch(origin) else None


def open_to(response: Response, directive: str, urls: Sequence[str]) -> None:
    """Let a page of ours, besides what every page may, reach registered addresses by *directive*:
    send its form there, or show them in frames.
    """
    named = dict.fromkeys(source_of(url) for url in urls)
    sources = " ".join(one for one in named if one is not None) or "'none'"
    response.headers["Content-Security-Policy"] = PAGE_POLICY.replace(
        f"{directive} 'self'", f"{directive} {sources}"
    )


def from_anywhere(view: View) -> View:
    """An endpoint that scripts of other sites may post to: no cookie counts at it."""
    view.from_anywhere = True  # type: ignore[attr-defined]
    return view


def _own_origin() -> None:
    """Refuse unsafe requests that another site caused (threats.md, SES-3, BOX-3)."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "from_anywhere", False):
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        # Origin says nothing then: a page that sends no Referer sends "null" even to itself.
        if site not in ("same-origin", "none"):
            abort(403)
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403)


def _headers(response: Response) -> Response:
    """On every response, errors and static files included (threats.md, HTTP-2, SES-4)."""
    headers = response.headers
    # Looked through once: asked one by one, the headers would be searched for each of these.
    there = {name.lower() for name, _ in headers}
    is_static = request.endpoint == "static"
    for name, value in of_every_answer(current_app.config):
        if name.lower() in there or (is_static and name in _OF_PAGES):
            continue
        headers.add(name, value)
    if is_static:
        headers["Cache-Control"] = "public, max-age=300"
    elif "vary" in there:
        response.vary.add("Cookie")
    return response


_OF_PAGES = ("Cache-Control", "Vary")


def of_every_answer(config: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Headers of an answer that says nothing else of its own."""
    # Browsers remember it for every port of a name: other programs on this machine speak http.
    if config["SESSION_COOKIE_SECURE"]:
        host = urlsplit(config["BASE_URL"]).hostname or ""
        if not links.is_loopback(host):
            return (*_DEFAULTS, ("Strict-Transport-Security", "max-age=31536000"))
    return _DEFAULTS
