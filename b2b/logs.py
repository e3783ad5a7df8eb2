"""Structured logs: one JSON object a line, with the correlation id, secrets left out (threats.md,
LOG-1).
"""

import logging
import re
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_SECRETS = re.compile(
    r"(?i)((?:ticket|token|code|password|secret|rd|authorization|cookie)\"?\s*[=:]\s*\"?)[^\s&\",;]+"
    r"|(/setup/)[\w-]+"
)
_LONGEST = 2000


class _Formatter(JsonFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Cap and redact every text; JSON itself escapes control characters."""
        return {name: _clean(value) for name, value in log_data.items()}


def redact(text: str) -> str:
    """*text* without the values of links, codes and credentials."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}[redacted]", text)


def _clean(value: Any) -> Any:
    return redact(value)[:_LONGEST] if isinstance(value, str) else value


class _Correlation(logging.Filter):
    """Adds the correlation id of the request that is under way."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def filter(self, record: logging.LogRecord) -> bool:
        record.part = self._part
        # The sink has no requests, and does without the library.
        flask = sys.modules.get("flask")
        if flask is not None and flask.has_request_context() and "correlation_id" in flask.g:
            record.correlation_id = str(flask.g.correlation_id)
        return True


def configure(part: str, level: str) -> None:
    """Send everything to standard error as JSON lines; *part* is web, worker or sink."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"asctime": "at"}
        )
    )
    handler.addFilter(_Correlation(part))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's own
