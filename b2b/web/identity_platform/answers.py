"""What programs are told when it goes wrong, and what goes with every answer to them."""

from datetime import UTC
from uuid import UUID, uuid4

from flask import Response, jsonify, request

from b2b import links
from b2b.services.aadsts import SignInRefused
from b2b.web import context
from b2b.web.context import now

KEYS_FOR = "public, max-age=3600"
"""Well under the time that a key is published before it signs (threats.md, OIDC-6)."""


def refused_in_json(refused: SignInRefused) -> Response:
    """An OAuth error in the real service's shape (errors of tokens.md, section 5)."""
    at = now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid4()), asked_correlation()
    answer = {
        "error": refused.error,
        "error_description": f"{description(refused)}\r\nTrace ID: {trace}"
        f"\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}",
        "error_codes": [refused.number],
        "timestamp": at,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": links.absolute(f"/error?code={refused.number}"),
    }
    if refused.number == 65001 and refused.error == "invalid_grant":
        answer["suberror"] = "consent_required"  # by this libraries know that a page will help
    response = jsonify(answer)
    response.status_code = 401 if refused.error == "invalid_client" else 400
    if response.status_code == 401 and request.authorization is not None:
        response.headers["WWW-Authenticate"] = 'Basic realm="b2b"'
    return uncached(response)


def asked_correlation() -> str:
    """The correlation id: the client's own if it sent one, else this request's."""
    try:
        return str(UUID(request.headers.get("client-request-id", "")))
    except ValueError:
        return str(context.correlation_id())


def description(refused: SignInRefused) -> str:
    """The code and the sentence for programs."""
    return f"{refused.code}: {refused}"


def uncached(response: Response) -> Response:
    """Keep secrets out of caches (threats.md, OIDC-9)."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response
