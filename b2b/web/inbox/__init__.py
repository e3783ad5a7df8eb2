"""The inbox at /mail: captured mail for testers, as pages and as a part of Mailpit's API."""

from flask import Blueprint

pages = Blueprint("inbox", __name__, url_prefix="/mail")


@pages.get("/")
def index() -> str:
    return "soon"


index.access = "public"


def blueprints() -> list[Blueprint]:
    return [pages]
