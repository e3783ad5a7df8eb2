"""Who may open the inbox, where somebody named who; and the inbox without anything beside it."""

import hmac

from flask import Flask, Response, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from b2b.errors import StartRefused
from b2b.sink.settings import CannotServe, read_users

_INBOX = frozenset(("inbox", "mailpit", "inbox_api"))
_BESIDE = frozenset(("static", "health.live"))
_OPEN = frozenset(("mailpit.livez", "mailpit.readyz"))
_USERS = "inbox_users"


def register(app: Flask) -> None:
    """Ask for a name of SINK_USERS at every page and path of the inbox, if that file is set.

    By HTTP Basic, as the API's clients do it (threats.md, BOX-5). Raises StartRefused for a file
    that cannot be read.
    """
    file = app.config["SINK_USERS"]
    if not file or not app.config["INBOX"]:
        return
    try:
        app.extensions[_USERS] = read_users(file)
    except CannotServe as error:
        raise StartRefused(str(error)) from error
    app.before_request(_ask)


def _ask() -> ResponseReturnValue | None:
    if request.blueprint not in _INBOX or request.endpoint in _OPEN:
        return None
    given = request.authorization
    users: dict[str, str] = current_app.extensions[_USERS]
    if given is not None and given.type == "basic":
        wanted = users.get(given.username or "")
        right = hmac.compare_digest((wanted or "").encode(), (given.password or "").encode())
        if wanted is not None and right:
            return None
    refused = Response("Unauthorized.\n", 401, mimetype="text/plain")
    refused.headers["WWW-Authenticate"] = 'Basic realm="Login"'
    return refused


def close_all_but_the_inbox(app: Flask) -> None:
    """For a sink that runs without the directory: everything else is not there."""
    app.before_request(_inbox_alone)


def _inbox_alone() -> ResponseReturnValue | None:
    if request.blueprint in _INBOX or request.endpoint in _BESIDE:
        return None
    if request.path == "/":
        return redirect(url_for("inbox.index"))
    abort(404)
