"""From cookie to actor: who asks, under which correlation id, in which language, and may he."""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

import flask
from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b import clock, database, keys
from b2b.actor import Actor, ExternalIdentity
from b2b.extensions import db
from b2b.services import permissions, sessions
from b2b.services.belonging import Place
from b2b.services.permissions import Action
from b2b.web import routing

SESSION = "b2b_session"
ACCOUNTS = "b2b_accounts"
"""Holds the secrets of the browser's other sessions, with a dot in between."""
_MOST_OTHERS = 4
_SECRET = re.compile(r"[\w-]{43}")
RTL = {"ar", "he", "fa", "ur"}
NAMES = {"en": "English", "ko": "한국어"}

View = Callable[..., ResponseReturnValue]


class RetryingFlask(Flask):
    """Runs a request again that the database rolled back because of another one (threats.md,
    REL-7).
    """

    url_rule_class = routing.Rule

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """*func* itself: nothing here is a coroutine, and Flask would ask so a dozen times a
        request.
        """
        return func

    def dispatch_request(self) -> ResponseReturnValue:
        """As Flask, up to three times."""
        for _ in range(2):
            try:
                return super().dispatch_request()
            except DBAPIError as error:
                if not database.is_conflict(error):
                    raise
                db.session.rollback()
        return super().dispatch_request()


class CookieSessions(SecureCookieSessionInterface):
    """Flask's own, with its signer made once: deriving its keys costs as much as signing."""

    def __init__(self) -> None:
        self._made: Any = None

    def get_signing_serializer(self, app: Flask) -> Any:
        """The signer of browser cookies."""
        if self._made is None:
            self._made = super().get_signing_serializer(app)
        return self._made


def register(app: Flask) -> None:
    """Bind what happens before and after each request."""
    app.session_interface = CookieSessions()
    app.before_request(_begin)
    app.after_request(_finish)
    app.context_processor(_for_templates)


@contextmanager
def writing() -> Iterator[Session]:
    """A transaction that may write: committed at the end, undone if anything is raised."""
    with _turn_to_write():
        database.begin_write(db.session)
        try:
            yield db.session()
            db.session.commit()
        except BaseException:
            db.session.rollback()
            raise


_writer = threading.RLock()


@contextmanager
def _turn_to_write() -> Iterator[None]:
    """One thread of this process at a time on SQLite, which has one writer anyway.

    Waiting threads are woken; SQLite itself would have each look again and again, and with many of
    them some would look in vain until their time-out (threats.md, REL-12).
    """
    taken = db.engine.dialect.name == "sqlite" and _writer.acquire(
        timeout=current_app.config["BUSY_TIMEOUT"]
    )
    try:
        yield
    finally:
        if taken:
            _writer.release()


# Who asks ----------------------------------------------------------------------------------------


def _begin() -> None:
    view: Any = current_app.view_functions.get(request.endpoint or "")
    if (most := getattr(view, "most_bytes", None)) is not None:
        request.max_content_length = most
    g.now = clock.now()
    g.correlation_id = uuid4()
    g.live = None
    g.new_session = None
    g.others = None
    g.new_others = None
    secret = request.cookies.get(cookie_name())
    if secret and request.endpoint != "static" and _SECRET.fullmatch(secret):
        g.live = _find(secret)
        if g.live is not None and g.now - g.live.seen_at > sessions.SEEN_EVERY:
            _note_seen(g.live)


def _find(secret: str) -> sessions.Live | None:
    # By itself: a transaction for this one query would end unused wherever something is posted.
    with db.engine.connect() as connection:
        return sessions.find(
            connection,
            secret,
            now=g.now,
            correlation_id=g.correlation_id,
            ip_address=request.remote_addr,
            user_agent=request.user_agent.string,
        )


def _note_seen(found: sessions.Live) -> None:
    """Best effort: nobody's page fails because this cannot be written at the moment."""
    try:
        with writing() as database_session:
            sessions.seen(database_session, found.id_hash, g.now)
    except DBAPIError as error:
        if not (database.is_busy(error) or database.is_full(error)):
            raise


def cookie_name(name: str = SESSION) -> str:
    """The session cookie's name: the __Host- prefix needs https (decisions.md, cookies)."""
    return f"__Host-{name}" if current_app.config["SESSION_COOKIE_SECURE"] else name


def live() -> sessions.Live | None:
    """The session of this request."""
    return cast(sessions.Live | None, g.get("live"))


def _others() -> list[tuple[str, sessions.Live]]:
    """The browser's other sessions that are in force, each with its secret."""
    if g.others is None:
        secrets = request.cookies.get(cookie_name(ACCOUNTS), "").split(".")[:_MOST_OTHERS]
        own = request.cookies.get(cookie_name())
        named = [one for one in dict.fromkeys(secrets) if _SECRET.fullmatch(one) and one != own]
        looked = [(secret, _find(secret)) for secret in named]
        g.others = [(secret, one) for secret, one in looked if one is not None]
    return cast(list[tuple[str, sessions.Live]], g.others)


def accounts() -> list[sessions.Live]:
    """Everybody who is signed in in this browser: whom its pages are for, then the others."""
    here = live()
    return [*([] if here is None else [here]), *(one for _, one in _others())]


def actor_or_none() -> Actor | None:
    """Who acts, if somebody is signed in to a tenant."""
    found = live()
    return None if found is None else found.actor


def actor() -> Actor:
    """Who acts; only behind `signed_in` or `allowed`."""
    found = actor_or_none()
    assert found is not None
    return found


def identity() -> ExternalIdentity | None:
    """The proven identity of this browser, also before it is anybody in a tenant."""
    found = live()
    return None if found is None else found.identity


def acting_at(place: Place) -> Actor:
    """This browser's person at *place*, from the transaction that takes him there."""
    return Actor(
        tenant_id=place.tenant_id,
        tenant_name=place.tenant_name,
        tenant_domain=place.tenant_domain,
        now=now(),
        user_id=place.user_id,
        is_guest=place.is_guest,
        correlation_id=correlation_id(),
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
    )


def now() -> datetime:
    """The one instant of this request."""
    return cast(datetime, g.now)


def correlation_id() -> UUID:
    """Under which everything of this request is logged and audited."""
    return cast(UUID, g.correlation_id)


def browser() -> str:
    """A secret of this browser before it is signed in; passcodes are bound to it."""
    if "browser" not in session:
        session["browser"] = keys.new_secret()
    return cast(str, session["browser"])


def start_session(
    database_session: Session,
    who: ExternalIdentity,
    *,
    tenant_id: UUID | None = None,
    user_id: UUID | None = None,
    beside: bool = False,
) -> None:
    """Sign this browser in under a new secret; the old session of the browser ends.

    *beside*: somebody else's goes on, so that he can be chosen again (tokens.md, select_account).
    """
    before = live()
    kept_secret = request.cookies.get(cookie_name()) if before and beside else None
    if before is not None and _same(before, who):
        kept_secret = None
    _regroup(database_session, who, kept_secret)
    g.new_session = sessions.start(
        database_session,
        who,
        now=now(),
        tenant_id=tenant_id,
        user_id=user_id,
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
        replacing=before.id_hash if before and kept_secret is None else None,
        # The identity of this very session has not been proven anew.
        continuing=before if before and who is before.identity else None,
    )
    kept = {name: session[name] for name in ("redeem", "language") if name in session}
    session.clear()  # a new CSRF token and a new browser secret with the new rights (SES-1)
    session.update(kept)


def _same(one: sessions.Live, who: ExternalIdentity) -> bool:
    return (one.identity.issuer, one.identity.subject) == (who.issuer, who.subject)


def _regroup(database_session: Session, who: ExternalIdentity, kept_secret: str | None) -> None:
    """The other sessions of this browser from now on: *kept_secret* comes first, and nobody twice;
    what is left out ends.
    """
    found = _others()
    staying = [(secret, one) for secret, one in found if not _same(one, who)]
    most = _MOST_OTHERS - (kept_secret is not None)
    for secret, one in found:
        if (secret, one) not in staying[:most]:
            sessions.end(database_session, one.id_hash)
    secrets = [secret for secret, _ in staying[:most]]
    if kept_secret is not None or len(secrets) < len(found):
        g.new_others = [*([] if kept_secret is None else [kept_secret]), *secrets]


def switch_account(chosen: sessions.Live) -> None:
    """Make another session of this browser the one that its pages are for."""
    before = request.cookies.get(cookie_name())
    [secret] = [secret for secret, one in _others() if one.id == chosen.id]
    staying = [one for one, found in _others() if found.id != chosen.id]
    g.new_session = secret
    g.new_others = [*([before] if before and live() is not None else []), *staying]
    kept = {name: session[name] for name in ("language",) if name in session}
    session.clear()  # a new CSRF token for somebody else (SES-1)
    session.update(kept)


def end_account(database_session: Session, ended: sessions.Live) -> None:
    """Sign one account out of this browser; the others stay."""
    sessions.end(database_session, ended.id_hash)
    here = live()
    if here is not None and here.id == ended.id:
        _forget(("language",), [ended])
    else:
        g.new_others = [secret for secret, one in _others() if one.id != ended.id]
        session["ended"] = [str(ended.id)]


def end_session(database_session: Session, *, keep_redemption: bool = False) -> None:
    """Sign this browser out, of every account; *keep_redemption*: of the one at hand alone."""
    before = live()
    ended = [one for one in (before,) if one is not None] if keep_redemption else accounts()
    for one in ended:
        sessions.end(database_session, one.id_hash)
    if not keep_redemption and cookie_name(ACCOUNTS) in request.cookies:
        g.new_others = []
    _forget(("redeem", "language") if keep_redemption else ("language",), ended)


def _forget(names: tuple[str, ...], ended: list[sessions.Live]) -> None:
    """A browser without anybody; it remembers for a page which sessions have ended."""
    kept = {name: session[name] for name in names if name in session}
    session.clear()
    session.update(kept)
    if ended:
        session["ended"] = [str(one.id) for one in ended]
    g.new_session = ""


def farewells() -> list[sessions.Farewell]:
    """Applications that have to hear which sessions of this browser ended last."""
    try:
        ended = [UUID(one) for one in session.get("ended", [])[: _MOST_OTHERS + 1]]
    except (TypeError, ValueError, AttributeError):
        return []
    return sessions.farewells(db.session(), ended)


def _finish(response: Response) -> Response:
    others = g.get("new_others")
    for name, value in (
        (SESSION, g.get("new_session")),
        (ACCOUNTS, None if others is None else ".".join(others)),
    ):
        if value is not None:
            response.set_cookie(
                cookie_name(name),
                value,
                max_age=0 if value == "" else None,
                path="/",
                secure=current_app.config["SESSION_COOKIE_SECURE"],
                httponly=True,
                samesite="Lax",
            )
    return response


# May he ------------------------------------------------------------------------------------------


def _declare(view: View, access: str) -> View:
    view.access = access  # type: ignore[attr-defined]
    return view


def public(view: View) -> View:
    """A page for everybody; the list of these is checked by a test."""
    return _declare(view, "public")


def signed_in(view: View) -> View:
    """A page for anybody who acts in a tenant."""

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if actor_or_none() is None:
            return to_sign_in()
        return view(*args, **kwargs)

    return _declare(guarded, "signed in")


def allowed(action: Action) -> Callable[[View], View]:
    """A page that needs a permission; without it Denied names the role that would help."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
            if actor_or_none() is None:
                return to_sign_in()
            permissions.require(actor(), action)
            return view(*args, **kwargs)

        return _declare(guarded, str(action))

    return decorate


def takes_up_to(most_bytes: int) -> Callable[[View], View]:
    """A page that takes larger requests than MAX_CONTENT_LENGTH: files are uploaded to it."""

    def decorate(view: View) -> View:
        view.most_bytes = most_bytes  # type: ignore[attr-defined]
        return view

    return decorate


def to_sign_in() -> ResponseReturnValue:
    """To the sign-in page and back here afterwards; what was posted is not replayed."""
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("sign_in.address", next=back), 303)


# In which language -------------------------------------------------------------------------------


def choose_language() -> str:
    """Chosen here, else the person's own, else the invitation's, else the browser's, else
    English.
    """
    shipped: list[str] = current_app.config["LANGUAGES"]
    if not flask.has_request_context():
        return "en"
    found = live()
    candidates = [session.get("language"), found.language if found else None]
    candidates.append((session.get("redeem") or {}).get("language"))
    for candidate in candidates:
        short = (candidate or "").split("-")[0].lower()
        if short in shipped:
            return short
    return request.accept_languages.best_match(shipped) or "en"


def shipped_languages() -> list[str]:
    """Codes of the languages that the pages exist in."""
    return cast(list[str], current_app.config["LANGUAGES"])


def lang() -> str:
    """The language tag of this page or letter."""
    return str(get_locale() or "en").replace("_", "-")


def text_direction() -> str:
    """`rtl` or `ltr`, for the dir attribute."""
    return "rtl" if lang().split("-")[0] in RTL else "ltr"


def _for_templates() -> dict[str, Any]:
    return {
        "lang": lang,
        "text_direction": text_direction,
        "languages": [(code, NAMES[code]) for code in current_app.config["LANGUAGES"]],
        "actor": actor_or_none(),
        "identity": identity(),
        "brand": g.get("brand"),
        "banners": current_app.config["BANNERS"],
        "correlation_id": g.get("correlation_id"),
        "now": g.get("now"),
        "inbox": current_app.config["INBOX"],
    }
