"""`$skiptoken` and `$deltatoken`: what a next page needs to know, signed, bound to the tenant and
the path, so that nobody can ask with them for anything else (threats.md, API-3).
"""

import base64
import binascii
import hmac
from typing import Any

import orjson

from b2b import links
from b2b.web.graph.calls import Call, GraphError


def seal(call: Call, purpose: str, value: Any) -> str:
    """*value* as one word for a link."""
    packed = base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")
    return f"{packed}.{_mac(call, purpose, packed, 0)}"


def unseal(call: Call, purpose: str, token: str, option: str) -> Any:
    """What `seal` was given. Raises GraphError (400)."""
    packed, dot, mac = token.partition(".")
    keys = range(len(links.keyring().ids))
    if not dot or not any(
        hmac.compare_digest(mac.encode(), _mac(call, purpose, packed, key).encode()) for key in keys
    ):
        raise GraphError(
            400, "Request_BadRequest", f"{option} was not given out for this request.",
            target=option,
        )  # fmt: skip
    try:
        return orjson.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, binascii.Error) as error:
        raise GraphError(400, "Request_BadRequest", f"{option} cannot be read.") from error


def _mac(call: Call, purpose: str, packed: str, key: int) -> str:
    secret = links.keyring().purpose_keys("graph page")[key]
    text = "\x1f".join((purpose, str(call.actor.tenant_id), packed))
    made = hmac.digest(secret.encode(), text.encode(), "sha256")[:18]
    return base64.urlsafe_b64encode(made).decode()
