"""YAML read into values that know where they stand, so that every refusal names line and path."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import yaml

from b2b.errors import N_, Invalid, Refused

DEEPEST = 12
T = TypeVar("T")


class BadFile(Invalid):
    """Something in the file cannot be; the sentence begins with its line and its path."""

    def __init__(self, line: int, path: str, reason: str) -> None:
        where = (
            N_("Line %(line)s, %(path)s: %(reason)s") if path else N_("Line %(line)s: %(reason)s")
        )
        super().__init__("file", where, code="BadFile", line=line, path=path, reason=reason)
        self.line, self.path = line, path


class At:
    """One value of the file and its place."""

    def __init__(self, node: yaml.Node, path: str) -> None:
        self._node, self.path = node, path
        self.line: int = node.start_mark.line + 1

    def bad(self, reason: str) -> BadFile:
        """What to raise when this value will not do."""
        return BadFile(self.line, self.path, reason)

    def refused(self, error: Refused) -> BadFile:
        """The same for a refusal of a service."""
        return self.bad(str(error))

    @property
    def is_text(self) -> bool:
        """Whether it is a single value."""
        return isinstance(self._node, yaml.ScalarNode)

    def mapping(self, *known: str) -> dict[str, "At"]:
        """The values by their names; only *known* ones, each once. Null counts as absent."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.bad("a mapping is expected here")
        found: dict[str, At] = {}
        for key, value in self._node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            at = At(value, f"{self.path}.{name}" if self.path else name)
            at.line = key.start_mark.line + 1
            if name not in known:
                raise at.bad(f"not known here; there are {', '.join(known)}")
            if name in found:
                raise at.bad("is there twice")
            if not at._is_null:
                found[name] = at
            else:
                found.pop(name, None)
        return found

    @property
    def _is_null(self) -> bool:
        return self._node.tag == "tag:yaml.org,2002:null"

    def items(self) -> list["At"]:
        """The values of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.bad("a list is expected here")
        return [At(node, f"{self.path}[{place}]") for place, node in enumerate(self._node.value)]

    def text(self) -> str:
        """A text; numbers and dates count as they are written."""
        if not isinstance(self._node, yaml.ScalarNode) or self._is_null:
            raise self.bad("a text is expected here")
        value = str(self._node.value)
        if not value.strip():
            raise self.bad("is empty")
        return value

    def texts(self) -> list[str]:
        """A list of texts."""
        return [one.text() for one in self.items()]

    def flag(self) -> bool:
        """true or false."""
        if self._node.tag != "tag:yaml.org,2002:bool":
            raise self.bad("true or false is expected here")
        return str(self._node.value).lower() in ("true", "yes", "on")

    def whole(self) -> int:
        """A whole number."""
        try:
            if self._node.tag != "tag:yaml.org,2002:int":
                raise ValueError
            return int(str(self._node.value))
        except ValueError:
            raise self.bad("a whole number is expected here") from None

    def choice(self, known: Mapping[str, T]) -> T:
        """One of several words."""
        word = self.text()
        if word not in known:
            raise self.bad(f"one of {', '.join(known)} is expected here")
        return known[word]


def words(kind: Iterable[T]) -> dict[str, T]:
    """The members of a StrEnum by their values."""
    return {str(one): one for one in kind}


def parse(text: str, *, largest: int) -> At:
    """The one document of *text*. Raises BadFile; no tags, anchors or aliases, at most *largest*
    characters.
    """
    if len(text) > largest:
        raise BadFile(1, "", f"the file is larger than {largest:,} characters")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadFile(line, "", "anchors and aliases are not taken")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise BadFile(line, "", "this is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadFile(mark.line + 1 if mark else 1, "", error.problem or "is no YAML") from None
    except yaml.YAMLError as error:
        raise BadFile(1, "", " ".join(str(error).split())[:200]) from None
    if node is None:
        raise BadFile(1, "", "the file is empty")
    return At(node, "")
