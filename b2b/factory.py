"""Puts the application together: settings, extensions, services' settings, edges, in this order."""

from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from b2b import cli, database, links
from b2b import web as edge
from b2b.errors import StartRefused
from b2b.extensions import babel, csrf, db, mail
from b2b.files import ROOT
from b2b.keys import Keyring
from b2b.services import attempts, invitation_quotas, passwords, sign_in
from b2b.test_double import state as test_double
from b2b.web import context
from config import Config

LANGUAGES = ["en", "ko"]


def build(config: Config) -> Flask:
    """The app for *config*. Makes DATA_DIR and its keys where they are missing; touches no
    database.
    """
    prepare_folder(config.DATA_DIR)
    keyring = (
        Keyring.from_secrets(config.SECRET_KEYS)
        if config.SECRET_KEYS
        else Keyring.from_file(config.DATA_DIR)
    )
    app = context.RetryingFlask(
        "b2b", root_path=str(ROOT), template_folder="templates", static_folder="static"
    )
    app.config.from_object(config)
    _derive(app, config, keyring)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    links.configure(config.BASE_URL, keyring)
    attempts.configure(config.rate_factor)
    invitation_quotas.configure(config.rate_factor)
    sign_in.configure(config.CONSUMER_DOMAINS)
    passwords.use_weak_hashing(config.PASSWORD_HASHING == "weak")

    db.init_app(app)
    mail.init_app(app)
    babel.init_app(app, locale_selector=context.choose_language)
    with app.app_context():
        database.prepare(db.engine)
    test_double.install(app)
    edge.register(app)
    if config.TRUSTED_PROXIES:  # around whatever the edge has put in front of Flask
        hops = config.TRUSTED_PROXIES
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    csrf.init_app(app)  # after the edge's hooks: an expired form is told under a correlation id
    cli.register(app)
    return app


def prepare_folder(folder: Path) -> None:
    """Make DATA_DIR, for its owner alone (threats.md, DB-2). Raises StartRefused."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _derive(app: Flask, config: Config, keyring: Keyring) -> None:
    own = urlsplit(config.BASE_URL)
    host = own.hostname or "localhost"
    https = own.scheme == "https"
    trusted = [host]
    if links.is_loopback(host):
        trusted = ["localhost", "127.0.0.1", "[::1]"]
    cookie_keys = keyring.purpose_keys("browser cookie")
    app.config.update(
        SECRET_KEY=cookie_keys[0],
        SECRET_KEY_FALLBACKS=cookie_keys[1:],
        WTF_CSRF_SECRET_KEY=cookie_keys[::-1],  # the signer takes the last, checks with all
        TRUSTED_HOSTS=trusted,
        SESSION_COOKIE_NAME="__Host-b2b_browser" if https else "b2b_browser",
        SESSION_COOKIE_SECURE=https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        WTF_CSRF_SSL_STRICT=False,  # headers.py checks Origin; Referer is never sent
        SQLALCHEMY_ENGINE_OPTIONS=database.engine_options(config.DATABASE_URL, config.BUSY_TIMEOUT),
        MAIL_DEFAULT_SENDER=config.MAIL_FROM,
        MAIL_SUPPRESS_SEND=False,
        MAIL_DEBUG=False,
        BABEL_DEFAULT_LOCALE="en",
        BABEL_TRANSLATION_DIRECTORIES=str(ROOT / "translations"),
        LANGUAGES=LANGUAGES,
        INBOX=config.sink_allowed,
        BANNERS=[],
        TEMPLATES_AUTO_RELOAD=False,
    )
