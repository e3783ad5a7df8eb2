"""The refusals that the product knows. They carry no status code; each surface renders them in its
own shape.

A message is a template and its values, so that the edge which shows it can translate it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any


def N_(text: str) -> str:
    """Mark *text* for translation where it is written; it is translated where it is shown."""
    return text


class Refused(Exception):
    """Base of all refusals: `template % values` is the English sentence."""

    code = "Refused"

    def __init__(self, template: str, *, code: str | None = None, **values: object) -> None:
        self.template = template
        self.values = values
        if code is not None:
            self.code = code
        super().__init__(template % values if values else template)


class NotFound(Refused):
    """The thing is not there, or lies in another tenant: both answer alike (threats.md, ADM-3)."""

    code = "NotFound"

    def __init__(self, template: str = N_("There is nothing here."), **values: object) -> None:
        super().__init__(template, code=None, **values)


class Denied(Refused):
    """The actor may not do this; the sentence names what would help, where one thing would."""

    code = "Forbidden"


class Invalid(Refused):
    """One value is wrong. `field` is the name of the parameter, so that a form can show it in
    place.
    """

    code = "BadRequest"

    def __init__(
        self, field: str, template: str, *, code: str | None = None, **values: object
    ) -> None:
        super().__init__(template, code=code, **values)
        self.field = field


class Conflict(Refused):
    """The state of the thing has changed, or something else already has what was asked for."""

    code = "Conflict"


class NotAll(Conflict):
    """Nothing was done, because it cannot be done for each of several: `verdicts`, of the service
    that was asked, say for whom.
    """

    def __init__(self, verdicts: Sequence[Any]) -> None:
        super().__init__(N_("Nothing was done, because it cannot be done for everybody."))
        self.verdicts = verdicts


class Throttled(Refused):
    """Too many tries. `until` is the instant from which another one is taken."""

    code = "TooManyRequests"

    def __init__(self, template: str, *, until: datetime, **values: object) -> None:
        super().__init__(template, code=None, **values)
        self.until = until


class StartRefused(Exception):
    """The program cannot start; the text is one sentence for the person at the terminal."""
