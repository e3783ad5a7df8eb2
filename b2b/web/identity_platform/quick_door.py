"""A door in front of Flask for what programs send all day: a plain form with their id and secret,
for a token of their own.

It answers what `services.programs` can answer. Whatever is otherwise - another shape, a refusal, a
fault of the test tools - goes on to Flask as it came, whose view knows all the rules and reasons.
"""

import functools
import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.sansio.utils import host_is_trusted

from b2b import clock
from b2b.extensions import db
from b2b.services import grants, programs
from b2b.services.grants import Asked, Issued
from b2b.services.sign_in_log import ProgramSignIn
from b2b.test_double import state
from b2b.web import headers
from b2b.web.identity_platform import program_log
from b2b.web.test_double import faults

Environ = dict[str, Any]
Program = Callable[[Environ, Any], Iterable[bytes]]

_PATH = "/oauth2/v2.0/token"
_ID = slice(1, 37)
_FORM = "application/x-www-form-urlencoded"
_LONGEST = 4096
"""Bytes of a form that is looked at here."""
_MOST_FIELDS = 20
_ELSEWHERE = ("QUERY_STRING", "SCRIPT_NAME", "HTTP_AUTHORIZATION", "HTTP_ORIGIN")
"""What a request that says any of these has to be asked about by the view."""
_write = json.JSONEncoder(separators=(",", ":")).encode


def install(app: Flask) -> None:
    """Put the door in front of *app*, behind whatever looks after proxies."""
    app.wsgi_app = _QuickDoor(app)  # type: ignore[method-assign]


class _QuickDoor:
    def __init__(self, app: Flask) -> None:
        self._app = app
        self._flask: Program = app.wsgi_app
        with app.app_context():
            self._engine = db.engine
        trusted = app.config["TRUSTED_HOSTS"]
        self._knows = functools.lru_cache(64)(lambda host: host_is_trusted(host, trusted))
        self._headers = [
            ("Content-Type", "application/json"),
            ("Pragma", "no-cache"),
            *headers.of_every_answer(app.config),
        ]

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"][37:] == _PATH and environ["REQUEST_METHOD"] == "POST":
            issued = self._issued(environ)
            if issued is not None:
                return self._answer(issued, start_response)
        return self._flask(environ, start_response)

    def _issued(self, environ: Environ) -> Issued | None:
        """The token, logged; None for what is the view's, to which the form is left."""
        double = state.of(self._app)
        if double is not None and double.state().rules:
            return None
        form = self._form(environ)
        if form is None or form.get("grant_type") != [grants.CLIENT_CREDENTIALS]:
            return None
        asked = Asked(
            None,
            environ["PATH_INFO"][_ID],
            form,
            ip_address=environ.get("REMOTE_ADDR"),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
            correlation_id=uuid4(),
        )
        found = self._ask(asked)
        if found is None:
            return None
        issued, entry = found
        program_log.note(self._app, environ, entry)
        return issued

    def _form(self, environ: Environ) -> dict[str, list[str]] | None:
        if any(environ.get(name) for name in _ELSEWHERE):
            return None
        length = environ.get("CONTENT_LENGTH") or ""
        if not length.isdecimal() or int(length) > _LONGEST or environ.get("CONTENT_TYPE") != _FORM:
            return None
        if not self._knows(environ.get("HTTP_HOST", "")):
            return None
        sent: bytes = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = io.BytesIO(sent)
        if len(sent) != int(length) or not sent.isascii():
            return None
        try:
            return parse_qs(sent.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return None

    def _ask(self, asked: Asked) -> tuple[Issued, ProgramSignIn] | None:
        try:
            with self._engine.connect() as connection:
                return programs.issue(connection, asked, now=clock.now())
        except SQLAlchemyError:
            return None  # the view meets it as well, and says what it means

    def _answer(self, issued: Issued, start_response: Any) -> list[bytes]:
        body = _write(
            {
                "token_type": "Bearer",
                "expires_in": issued.expires_in,
                "ext_expires_in": issued.expires_in,
                "access_token": issued.access_token,
            }
        ).encode()
        told = [*self._headers, ("Content-Length", str(len(body)))]
        double = state.of(self._app)
        if double is not None:
            told.append((faults.HEADER, faults.in_header(double.state())))
        start_response("200 OK", told)
        return [body]
