"""Webhooks in /mail/api/v2."""

from typing import Any

from flask import current_app, url_for
from flask.typing import ResponseReturnValue

from b2b import inbox_webhooks, keys
from b2b.sink import hooks
from b2b.sink.hooks import BadHook, BadURL, Hook
from b2b.web.context import public
from b2b.web.inbox import wire
from b2b.web.inbox.api import BadRequest, answer, body, bp, error
from b2b.web.inbox.mailbox import store


@bp.errorhandler(BadURL)
@bp.errorhandler(BadHook)
def _bad(problem: Exception) -> ResponseReturnValue:
    return error(400, "BadRequest", str(problem))


def _shown(hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": list(hook.events),
        "query": hook.query,
        "createdAt": wire.instant(hook.created_at),
    }


@bp.post("/webhooks")
@public
def make_webhook() -> ResponseReturnValue:
    """Call ``url`` for each new mail that ``query`` finds; the secret is told this once."""
    said = body()
    url, query = said.get("url", ""), said.get("query", "")
    secret = said.get("secret") or keys.new_secret()
    if not all(isinstance(one, str) for one in (url, query, secret)):
        raise BadRequest("url, query and secret are texts.")
    if not 16 <= len(secret) <= 200:
        raise BadRequest("A secret has 16 to 200 characters.")
    inbox_webhooks.checked(url, current_app.config["WEBHOOK_HOSTS"])
    made = hooks.make(store(), url, query, lambda of: inbox_webhooks.sealed(secret, of))
    response = answer(_shown(made) | {"secret": secret}, 201)
    response.headers["Location"] = url_for(".get_webhook", hook_id=made.id)
    return response


@bp.get("/webhooks")
@public
def list_webhooks() -> ResponseReturnValue:
    """All webhooks, newest first."""
    return answer({"webhooks": [_shown(hook) for hook in hooks.every(store())]})


@bp.get("/webhooks/<hook_id>")
@public
def get_webhook(hook_id: str) -> ResponseReturnValue:
    """One webhook with its newest deliveries: waiting, sent or failed, and why."""
    hook = hooks.find(store(), hook_id)
    if hook is None:
        return error(404, "NotFound", "There is no such webhook.")
    told = [
        {
            "id": one.id,
            "event": one.event,
            "messageId": one.message_id,
            "state": one.state,
            "attempts": one.attempts,
            "lastStatus": one.last_status,
            "lastError": one.last_error,
        }
        for one in hooks.deliveries(store(), hook_id)
    ]
    return answer(_shown(hook) | {"deliveries": told})


@bp.delete("/webhooks/<hook_id>")
@public
def delete_webhook(hook_id: str) -> ResponseReturnValue:
    """Delete a webhook; what it was not told yet is not told."""
    if not hooks.remove(store(), hook_id):
        return error(404, "NotFound", "There is no such webhook.")
    return answer({"deleted": True})
