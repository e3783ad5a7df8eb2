"""Tells other programs of new mail: signed, and again until they have it.

A hook may call this machine, and the hosts of WEBHOOK_HOSTS, nobody else: whoever reaches the inbox
could otherwise send requests from here to anywhere (threats.md, BOX-4). Redirects are not followed.
"""

import hashlib
import hmac
import http.client
import json
import logging
import signal
import ssl
import threading
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from b2b import clock, links
from b2b.keys import Keyring
from b2b.sink import hooks
from b2b.sink.hooks import BadURL, Delivery, Hook
from b2b.sink.rows import Summary
from b2b.sink.store import Store
from b2b.web.inbox import api
from b2b.web.inbox.mailbox import StoreUnavailable, store

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between two looks while there are hooks; four times that while there are none."""
TIMEOUT = 5.0
_PURPOSE = "inbox webhook"
_MAX_URL = 2_000


def checked(url: str, hosts: list[str]) -> str:
    """*url* if a hook may call it. Raises BadURL."""
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise BadURL("This is no address.") from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or not port_is_good or parts.username:
        raise BadURL("An address begins with http:// or https:// and a host.")
    if len(url) > _MAX_URL or not url.isprintable() or " " in url or not url.isascii():
        raise BadURL("This address has characters that cannot be sent, or too many.")
    if not links.is_loopback(host) and host not in hosts:
        raise BadURL(f"{host} may not be called: name it in WEBHOOK_HOSTS.")
    return url


def sealed(secret: str, hook_id: str) -> str:
    """A hook's secret as it is stored."""
    return links.keyring().seal(secret.encode(), _PURPOSE, hook_id).hex()


def _opened(hook: Hook) -> str:
    """A hook's secret. Raises KeyError when its key is gone, ValueError when altered."""
    return links.keyring().unseal(bytes.fromhex(hook.secret), _PURPOSE, hook.id).decode()


def seal_anew(mails: Store, gone: Collection[str]) -> None:
    """Seal with the present root key what was sealed with the root keys that are to go.

    What cannot be opened any more stays as it is; its deliveries fail and say so.
    """
    for hook in hooks.every(mails):
        if Keyring.sealer(bytes.fromhex(hook.secret)) not in gone:
            continue
        try:
            secret = _opened(hook)
        except (KeyError, ValueError):
            log.warning("the secret of a webhook cannot be opened", extra={"hook": hook.id})
            continue
        hooks.keep_secret(mails, hook.id, sealed(secret, hook.id))


def forget_all(mails: Store) -> int:
    """After a theft: who has the secrets could sign as this inbox. How many hooks there were."""
    return sum(hooks.remove(mails, hook.id) for hook in hooks.every(mails))


def signature(secret: str, at: int, body: str) -> str:
    """What the header says: ``t=<seconds>,v1=<HMAC-SHA-256 of "<seconds>.<body>">`` in hex."""
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def body_of(row: Summary) -> str:
    """The JSON that is sent for a new mail."""
    value = {"event": "message", "message": api.summary(row)}
    return json.dumps(value, ensure_ascii=False)


def one_round(mails: Store, hosts: list[str]) -> int:
    """Plan what is new and send what is due; how many were sent or tried."""
    hooks.plan(mails, body_of)
    due = hooks.lease(mails)
    for told in due:
        hook = hooks.find(mails, told.webhook_id)
        if hook is None:
            continue
        status, error = _sent(hook, told, hosts)
        hooks.settle(mails, told, status, error)
    return len(due)


def _sent(hook: Hook, told: Delivery, hosts: list[str]) -> tuple[int | None, str]:
    try:
        parts = urlsplit(checked(hook.url, hosts))
        secret = _opened(hook)
    except Exception as error:  # the key, or the permission, is gone since
        return None, str(error) or type(error).__name__
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        trust = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.hostname or "", port, timeout=TIMEOUT, context=trust
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=TIMEOUT)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "b2b-inbox",
        "X-Inbox-Event": told.event,
        "X-Inbox-Delivery": str(told.id),
        "X-Inbox-Signature": signature(secret, int(clock.now().timestamp()), told.body),
    }
    try:
        connection.request("POST", path, told.body.encode(), headers)
        response = connection.getresponse()
        response.read(64 * 1024)
        return response.status, "" if response.status < 300 else f"It answered {response.status}."
    except (OSError, http.client.HTTPException) as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def run(app: Flask, stop: threading.Event) -> None:
    """Tell of new mail until *stop*; a store that is away is waited for."""
    with app.app_context():
        while not stop.is_set():
            wait = EVERY
            try:
                mails = store()
                if not hooks.every(mails):
                    wait = EVERY * 4
                elif one_round(mails, app.config["WEBHOOK_HOSTS"]):
                    wait = 0.0
            except (StoreUnavailable, SQLAlchemyError):
                log.warning("webhooks wait for the mail store", exc_info=True)
                wait = 5.0
            stop.wait(wait)


def start(app: Flask, stop: threading.Event) -> threading.Thread | None:
    """A thread that runs beside the worker, where there is an inbox at all."""
    if not app.config["INBOX"]:
        return None
    thread = threading.Thread(target=run, args=(app, stop), name="webhooks", daemon=True)
    thread.start()
    return thread


def serve(app: Flask) -> None:
    """The same in a process of its own, until SIGTERM or SIGINT: for a sink without a worker."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(app, stop)
