"""Mailpit's triggers of failures on purpose, kept as fault rules of the sink (see sink.faults)."""

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue

from b2b.sink import faults
from b2b.sink.faults import Rule
from b2b.web.context import public
from b2b.web.inbox.mailbox import store
from b2b.web.inbox.mailpit import Refused, as_json, body, bp

ORIGIN = "chaos"
_STAGES = {"Sender": ("mail", 451), "Recipient": ("rcpt", 451), "Authentication": ("auth", 535)}
"""Mailpit's name: the stage of our rule, and the code unless said."""


def _state() -> Response:
    rules = {rule.stage: rule for rule in faults.rules(store(), ORIGIN)}
    state = {}
    for name, (stage, code) in _STAGES.items():
        rule = rules.get(stage)
        state[name] = {
            "ErrorCode": rule.code if rule else code,
            "Probability": rule.percent if rule else 0,
        }
    return as_json(state)


@bp.get("/api/v1/chaos")
@public
def chaos() -> ResponseReturnValue:
    """With which code, and how often of a hundred times, the sink refuses on purpose."""
    return _state()


@bp.put("/api/v1/chaos")
@public
def put_chaos() -> ResponseReturnValue:
    """Set the triggers; one that is left out is reset. Other rules stay as they are."""
    said = body()
    wanted = []
    for name, (stage, usual) in _STAGES.items():
        trigger = said.get(name.lower())
        if trigger is None:
            continue
        if not isinstance(trigger, dict):
            raise Refused(f"{name} is not an object.")
        lower: dict[str, Any] = {str(key).lower(): value for key, value in trigger.items()}
        code, share = lower.get("errorcode") or usual, lower.get("probability") or 0
        if type(code) is not int or not 400 <= code <= 599:
            raise Refused(f"The ErrorCode of {name} is a number from 400 to 599.")
        if type(share) is not int or not 0 <= share <= 100:
            raise Refused(f"The Probability of {name} is a number from 0 to 100.")
        if share:
            wanted.append(Rule(stage, "reject", percent=share, code=code, origin=ORIGIN))
    faults.replace(store(), ORIGIN, wanted)
    return _state()
