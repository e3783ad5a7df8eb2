"""Faults on purpose: rules that refuse, delay, slow down or cut off what a client sends.

Rules live in the store, so that a page, the API or a file can set them; a running sink obeys a
change within a tenth of a second. Without rules a connection asks one question that costs nothing.

A file is a JSON list of objects with the names of ``Rule``::

    [{"stage": "rcpt", "action": "reject", "recipient": "*@full.example", "code": 452,
      "words": "4.2.2 Mailbox full"},
     {"stage": "content", "action": "delay", "percent": 10, "milliseconds": 3000}]
"""

import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from dataclasses import replace as replaced
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from b2b import clock
from b2b.sink.tables import mailbox, smtp_faults

if TYPE_CHECKING:
    from b2b.sink.store import Store

STAGES = ("connect", "helo", "auth", "mail", "rcpt", "data", "content")
"""When a rule is asked: at the greeting, EHLO, AUTH, MAIL, RCPT, DATA, and after the final dot."""

ACTIONS = ("reject", "delay", "slow", "drop", "greylist")

MAX_RULES = 100
MAX_PATTERN = 320
MAX_DELAY = 10 * 60 * 1000
MAX_RATE = 1_000_000_000

OBEYED_WITHIN = 0.5
"""Seconds that ``replace`` waits for a running sink."""

_WORDS = re.compile(r"[ -~]{0,200}")
_MAX_GREYLISTED = 10_000


class BadRule(ValueError):
    """A rule that cannot be obeyed; ``field`` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault. The first rule that matches a stage wins.

    Args:
        stage: one of ``STAGES``.
        action: ``reject`` answers ``code`` (421 also closes); ``delay`` waits ``milliseconds`` and
            goes on; ``slow`` reads at ``bytes_per_second`` from here on; ``drop`` closes the
            connection without a word; ``greylist`` answers 451 to a sender and recipient not seen
            before, until ``milliseconds`` have passed.
        sender, recipient: a pattern with ``*`` and ``?``, letter case aside; empty for anybody.
            A recipient can be asked for from RCPT on; of several one must match.
        percent: how many of those that match are hit, by chance.
        code: 400 to 599. words: what follows it, printable ASCII.
        origin: who set it: ``file``, ``page``, ``api`` or ``chaos``.
    """

    stage: str
    action: str
    sender: str = ""
    recipient: str = ""
    percent: int = 100
    code: int = 451
    words: str = ""
    milliseconds: int = 0
    bytes_per_second: int = 0
    origin: str = "api"

    @property
    def reply(self) -> str:
        """The line that ``reject`` answers."""
        return f"{self.code} {self.words or f'{self.code // 100}.0.0 Refused on purpose'}"


def checked(given: Mapping[str, Any]) -> Rule:
    """A rule from names and values as a file or a request has them. Raises BadRule."""
    kinds = {field.name: field.type for field in fields(Rule)}
    for name, value in given.items():
        if name not in kinds:
            raise BadRule(name, f"A rule has no “{name}”.")
        wanted = int if kinds[name] is int else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise BadRule(name, f"“{name}” is not {'a number' if wanted is int else 'text'}.")
    for name in ("stage", "action"):
        if name not in given:
            raise BadRule(name, f"A rule needs “{name}”.")
    rule = Rule(**given)
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    def require(holds: bool, field: str, message: str) -> None:
        if not holds:
            raise BadRule(field, message)

    require(rule.stage in STAGES, "stage", f"“stage” is one of {', '.join(STAGES)}.")
    require(rule.action in ACTIONS, "action", f"“action” is one of {', '.join(ACTIONS)}.")
    require(400 <= rule.code <= 599, "code", "“code” lies between 400 and 599.")
    require(0 <= rule.percent <= 100, "percent", "“percent” lies between 0 and 100.")
    require(
        _WORDS.fullmatch(rule.words) is not None,
        "words",
        "“words” are at most 200 printable ASCII characters.",
    )
    for name in ("sender", "recipient"):
        pattern = getattr(rule, name)
        require(
            len(pattern) <= MAX_PATTERN, name, f"“{name}” has at most {MAX_PATTERN} characters."
        )
    require(
        not rule.recipient or rule.stage in ("rcpt", "data", "content"),
        "recipient",
        "A recipient is known from RCPT on.",
    )
    require(
        not rule.sender or rule.stage not in ("connect", "helo", "auth"),
        "sender",
        "A sender is known from MAIL on.",
    )
    require(
        (rule.action in ("delay", "greylist")) <= rule.milliseconds <= MAX_DELAY,
        "milliseconds",
        f"“milliseconds” lies between 1 and {MAX_DELAY}.",
    )
    require(
        (rule.action == "slow") <= rule.bytes_per_second <= MAX_RATE,
        "bytes_per_second",
        f"“bytes_per_second” lies between 1 and {MAX_RATE}.",
    )
    if rule.action == "greylist":
        require(rule.stage == "rcpt", "stage", "Greylisting happens at RCPT.")


def read_file(path: Path) -> list[Rule]:
    """The rules of a file. Raises BadRule, naming the place, and OSError."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadRule("file", f"{path.name} is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadRule("file", f"{path.name} is not a list of rules.")
    rules = []
    for number, one in enumerate(found, 1):
        try:
            rules.append(checked({**one, "origin": "file"}))
        except BadRule as error:
            raise BadRule(error.field, f"{path.name}, rule {number}: {error}") from error
    return rules


# The store's side ---------------------------------------------------------------------------------


def version(store: "Store") -> int:
    """Grows with every change of the rules."""
    with store.reading() as connection:
        found: int = connection.execute(select(mailbox.c.faults_version)).scalar_one()
    return found


def rules(store: "Store", origin: str | None = None) -> list[Rule]:
    """The rules in the order in which they are asked; those of one origin only, if given."""
    return [rule for rule in numbered(store).values() if origin in (None, rule.origin)]


def numbered(store: "Store") -> dict[int, Rule]:
    """All rules by their numbers, which ``remove`` takes, in the order in which they are asked."""
    names = [field.name for field in fields(Rule)]
    columns = [smtp_faults.c.id, *(smtp_faults.c[name] for name in names)]
    with store.reading() as connection:
        found = connection.execute(select(*columns).order_by(smtp_faults.c.id))
        return {number: Rule(*values) for number, *values in found}


def replace(store: "Store", origin: str, wanted: Sequence[Rule], *, wait: bool = True) -> bool:
    """Put ``wanted`` in the place of all rules of that origin; True once a running sink obeys.

    Waits ``OBEYED_WITHIN`` for it at most, so that who sets a rule meets it with the next mail.

    Raises:
        BadRule: a rule cannot be obeyed, or there are more than ``MAX_RULES``.
    """
    if len(wanted) > MAX_RULES:
        raise _too_many()
    for rule in wanted:
        _check(rule)
    with store.writing() as connection:
        connection.execute(delete(smtp_faults).where(smtp_faults.c.origin == origin))
        _insert(connection, [replaced(rule, origin=origin) for rule in wanted])
        new = _next_version(connection)
    return wait and _is_obeyed(store, new)


def add(store: "Store", rule: Rule) -> int:
    """Put *rule* behind all others; its number. A running sink is waited for as in ``replace``.

    Raises:
        BadRule: it cannot be obeyed, or there are ``MAX_RULES`` already.
    """
    _check(rule)
    with store.writing() as connection:
        count = select(func.count()).select_from(smtp_faults)
        if connection.execute(count).scalar_one() >= MAX_RULES:
            raise _too_many()
        _insert(connection, [rule])
        number: int = connection.execute(select(func.max(smtp_faults.c.id))).scalar_one()
        new = _next_version(connection)
    _is_obeyed(store, new)
    return number


def remove(store: "Store", number: int) -> bool:
    """Forget the rule of that number, whoever set it; False if there is none."""
    if not 0 < number < 1 << 63:
        return False
    with store.writing() as connection:
        gone = connection.execute(delete(smtp_faults).where(smtp_faults.c.id == number)).rowcount
        new = _next_version(connection)
    _is_obeyed(store, new)
    return gone > 0


def _too_many() -> BadRule:
    return BadRule("rules", f"There are at most {MAX_RULES} rules.")


def _insert(connection: Connection, wanted: Sequence[Rule]) -> None:
    if wanted:
        now = clock.now()
        connection.execute(
            insert(smtp_faults), [{**asdict(rule), "created_at": now} for rule in wanted]
        )


def _next_version(connection: Connection) -> int:
    connection.execute(update(mailbox).values(faults_version=mailbox.c.faults_version + 1))
    new: int = connection.execute(select(mailbox.c.faults_version)).scalar_one()
    return new


def _is_obeyed(store: "Store", wanted: int) -> bool:
    until = time.monotonic() + OBEYED_WITHIN
    while time.monotonic() < until:
        with store.reading() as connection:
            obeyed = connection.execute(select(mailbox.c.faults_obeyed)).scalar_one()
        if obeyed >= wanted:
            return True
        time.sleep(0.02)
    return False


def obeyed(store: "Store", which: int) -> None:
    """Note that the sink obeys the rules of that version."""
    with store.writing() as connection:
        connection.execute(update(mailbox).values(faults_obeyed=which))


# The sink's side ----------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(translate(text.casefold()))


def _fits(pattern: str, address: str) -> bool:
    return not pattern or _pattern(pattern).match(address.casefold()) is not None


def find(rules: Sequence[Rule], stage: str, sender: str, recipients: Sequence[str]) -> Rule | None:
    """The rule that hits at this stage, by its share; ``recipients`` are those concerned."""
    for rule in rules:
        if rule.stage != stage or not _fits(rule.sender, sender):
            continue
        if rule.recipient and not any(_fits(rule.recipient, one) for one in recipients):
            continue
        if rule.percent >= 100 or random.random() * 100 < rule.percent:
            return rule
    return None


class Greylist:
    """Who has been asked to come again, in the memory of one sink."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str, str], float] = {}

    def lets_pass(self, who: tuple[str, str, str], seconds: float, now: float) -> bool:
        """Whether ``who`` (peer, sender, recipient) was first seen at least so long ago."""
        since = self._since.setdefault(who, now)
        if len(self._since) > _MAX_GREYLISTED:
            del self._since[next(iter(self._since))]
        return now - since >= seconds
