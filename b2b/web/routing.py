"""Routes that are quick to make: a process has hundreds, and most never put an address together."""

from collections.abc import Callable
from typing import Any

import werkzeug.routing

_Builder = Callable[..., tuple[str, str]]


class Rule(werkzeug.routing.Rule):
    """A route whose code for putting its address together is compiled when it is first asked for.

    Werkzeug compiles two functions a route at once, which is most of what making an app costs.
    """

    def _compile_builder(self, append_unknown: bool = True) -> _Builder:
        compiled = super()._compile_builder
        name = "_build_unknown" if append_unknown else "_build"

        def at_first(rule: werkzeug.routing.Rule, /, **values: Any) -> tuple[str, str]:
            builder = compiled(append_unknown)
            setattr(rule, name, builder.__get__(rule, None))
            return builder(rule, **values)

        return at_first
