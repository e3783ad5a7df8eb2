"""Checks of one mail in Mailpit's API: HTML, links, thumbnails. Nothing is fetched (BOX-4)."""

from typing import Any
from urllib.parse import urlsplit

from flask import Response
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from b2b.sink import compatibility, markup
from b2b.sink.compatibility import PROGRAMS, Feature, Use
from b2b.web.context import public
from b2b.web.inbox import thumbs
from b2b.web.inbox.mailpit import Refused, as_json, bp, found, plain, read

_SUPPORT = {"y": "yes", "p": "partial", "n": "no"}
NOT_FETCHED = "Not checked: links are never followed from here"


@bp.get("/api/v1/message/<message_id>/part/<part_id>/thumb")
@public
def thumb(message_id: str, part_id: str) -> ResponseReturnValue:
    """A JPEG of 180 by 120 pixels, blank unless the part is a picture."""
    mail = read(found(message_id))
    content, kind = mail.part(part_id), mail.part_type(part_id) or ""
    if content is None:
        raise BadRequest(response=plain("no such part", 400))
    return Response(
        thumbs.jpeg(content if kind.startswith("image/") else b""), mimetype="image/jpeg"
    )


@bp.get("/api/v1/message/<message_id>/html-check")
@public
def html_check(message_id: str) -> ResponseReturnValue:
    """HTMLCheck, from a table of our own; 400 without HTML."""
    mail = read(found(message_id))
    if not mail.html:
        raise Refused("message does not contain HTML")
    report = compatibility.report(mail.html)
    supported, partial, unsupported = report.shares
    families: dict[str, list[str]] = {}
    for family, platform in PROGRAMS:
        families.setdefault(family, []).append(platform)
    return as_json(
        {
            "Total": {
                "Tests": len(compatibility.FEATURES),
                "Nodes": report.nodes,
                "Supported": supported,
                "Partial": partial,
                "Unsupported": unsupported,
            },
            "Platforms": families,
            "Warnings": [_warning(use) for use in report.uses],
        }
    )


def _warning(use: Use) -> dict[str, Any]:
    feature = use.feature
    counts = {letter: feature.support.count(letter) for letter in _SUPPORT}
    return {
        "Slug": feature.slug,
        "Title": feature.title,
        "Description": feature.note,
        "URL": "",
        "Category": feature.category,
        "Tags": [],
        "Keywords": feature.title,
        "Results": _results(feature),
        "NotesByNumber": {"1": feature.note} if feature.note else {},
        "Score": {
            "Found": use.found,
            "Supported": 100 * counts["y"] / len(PROGRAMS),
            "Partial": 100 * counts["p"] / len(PROGRAMS),
            "Unsupported": 100 * counts["n"] / len(PROGRAMS),
        },
    }


def _results(feature: Feature) -> list[dict[str, str]]:
    return [
        {
            "Name": f"{family} {platform}",
            "Platform": platform,
            "Family": family,
            "Version": "",
            "Support": _SUPPORT[letter],
            "NoteNumber": "1" if letter == "p" and feature.note else "",
        }
        for (family, platform), letter in zip(PROGRAMS, feature.support, strict=True)
    ]


@bp.get("/api/v1/message/<message_id>/link-check")
@public
def link_check(message_id: str) -> ResponseReturnValue:
    """LinkCheck by the shape of the addresses alone: 200 for one that can be read, else 0."""
    mail = read(found(message_id))
    urls = [link.url for link in mail.links if link.url.lower().startswith(("http:", "https:"))]
    urls += markup.addresses_of_resources(mail.html)
    links = [_link(url) for url in dict.fromkeys(urls)]
    errors = sum(link["StatusCode"] == 0 for link in links)
    return as_json({"Errors": errors, "Links": links})


def _link(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        readable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        readable = False
    if readable:
        return {"URL": url, "StatusCode": 200, "Status": NOT_FETCHED}
    return {"URL": url, "StatusCode": 0, "Status": "This address cannot be read"}
