"""Faults of the sink in /mail/api/v2, under the names of `sink.faults.Rule`."""

from dataclasses import asdict
from typing import Any

from flask.typing import ResponseReturnValue

from b2b.sink import faults
from b2b.sink.faults import BadRule, Rule
from b2b.web.context import public
from b2b.web.inbox.api import answer, body, bp, error
from b2b.web.inbox.mailbox import store

ORIGIN = "api"


@bp.errorhandler(BadRule)
def _bad_rule(problem: BadRule) -> ResponseReturnValue:
    return error(400, "BadRule", str(problem), field=problem.field)


def _shown(number: int, rule: Rule) -> dict[str, Any]:
    return {"id": number, **asdict(rule)}


@bp.get("/faults")
@public
def list_faults() -> ResponseReturnValue:
    """The rules by which the sink goes wrong on purpose; the first that matches a stage wins."""
    found = faults.numbered(store())
    return answer({"faults": [_shown(number, rule) for number, rule in found.items()]})


@bp.post("/faults")
@public
def make_fault() -> ResponseReturnValue:
    """Put a rule behind all others; the sink obeys it with the next command.

    ``stage`` and ``action`` are needed. The body has the names that a file of rules has.
    """
    rule = faults.checked({**body(), "origin": ORIGIN})
    return answer(_shown(faults.add(store(), rule), rule), 201)


@bp.delete("/faults")
@public
def delete_faults() -> ResponseReturnValue:
    """Forget every rule that was set here; those of the page and of a file stay."""
    gone = len(faults.rules(store(), ORIGIN))
    faults.replace(store(), ORIGIN, [])
    return answer({"deleted": gone})


@bp.delete("/faults/<int:number>")
@public
def delete_fault(number: int) -> ResponseReturnValue:
    """Forget one rule, whoever set it."""
    if not faults.remove(store(), number):
        return error(404, "NotFound", "There is no such rule.")
    return answer({"deleted": True})
