"""One request to Graph and its answer as plain values, so that an item of a batch is like any
other; and the table of routes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.services.tokens import Access
from b2b.web.graph.access import Needs

VERSIONS = ("v1.0", "beta")
JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"  # noqa: E501


class GraphError(Exception):
    """A refusal of the interface itself; services raise those of b2b.errors."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = headers or {}


def bad(message: str, *, target: str | None = None, code: str = "Request_BadRequest") -> GraphError:
    """A request that makes no sense: 400."""
    return GraphError(400, code, message, target=target)


def unsupported(message: str) -> GraphError:
    """A query that could make sense, and is not answered: 400."""
    return GraphError(400, "Request_UnsupportedQuery", message)


def missing(what: object) -> GraphError:
    """Nothing has this id, or somebody else has it: 404, and the two are one (ADM-3)."""
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"There is no resource {str(what)[:200]!r} here, or something that it refers to is gone.",
    )


def denied(message: str) -> GraphError:
    """403."""
    return GraphError(403, "Authorization_RequestDenied", message)


@dataclass(frozen=True)
class Answer:
    """What goes back: an object as JSON, bytes of another kind, or nothing."""

    status: int = 200
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


NO_CONTENT = Answer(204)


class Sent(Protocol):
    """Headers of a request; names are asked for in small letters."""

    def get(self, name: str, default: str, /) -> str:
        """The value of *name*, else *default*."""


@dataclass
class Call:
    """A request that may be answered: who asks is known, and that the route is open to him."""

    session: Session
    actor: Actor
    access: Access
    version: str
    method: str
    path: str
    """Behind the version, decoded once."""
    options: Mapping[str, str]
    """Those that begin with `$`, in small letters, and `$`-less names as they came."""
    headers: Sent
    read_body: Callable[[], Any]
    """The JSON object of the body; raises GraphError."""
    read_bytes: Callable[[], bytes]
    params: Mapping[str, str] = field(default_factory=dict)
    """Keys of the path, by their names in the route."""
    prepared: Any = None
    """What `Route.prepare` returned."""

    @property
    def now(self) -> datetime:
        """The one instant of the request."""
        return self.actor.now

    @property
    def root(self) -> str:
        """The address that every path of this version hangs on."""
        return links.absolute(f"/{self.version}")

    @property
    def is_eventual(self) -> bool:
        """`ConsistencyLevel: eventual`."""
        return self.headers.get("consistencylevel", "").strip().lower() == "eventual"

    @property
    def wants_count(self) -> bool:
        """`$count=true`."""
        return self.options.get("$count", "").lower() == "true"

    @property
    def prefers_minimal(self) -> bool:
        """`Prefer: return=minimal`."""
        return "return=minimal" in self.headers.get("prefer", "").replace(" ", "").lower()

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent. Raises GraphError."""
        found: dict[str, Any] = self.read_body()
        return found

    def context(self, what: str) -> str:
        """`@odata.context` for *what*, such as `users/$entity`."""
        return f"{self.root}/$metadata#{what}"

    def id(self, name: str) -> UUID:
        """A key of the path that has to be an id. Raises GraphError (404)."""
        try:
            return UUID(self.params[name])
        except ValueError:
            raise missing(self.params[name]) from None


View = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """One operation. The table of these is what `$metadata` and OpenAPI are made of."""

    method: str
    pattern: str
    """Such as `users/{user}/memberOf/{cast}`: literals, keys, and `{cast}` for a type."""
    needs: Needs
    view: View
    writes: bool
    """Whether it runs in a transaction that may write."""
    prepare: Callable[[Call], Any] | None = None
    """What takes long and needs no lock, done before that transaction begins."""
    takes: str | None = None
    """Of the body: a resource by its type, `$ref`, or an action's parameters by the route."""
    returns: str | None = None
    """A type, or `Collection(type)`; None: 204."""
    refusals: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Status and code for refusals of services, by class name, where they differ from the rest."""

    @property
    def words(self) -> str:
        """What it does, in a sentence."""
        return (self.view.__doc__ or "").strip().partition("\n")[0]


ROUTES: list[Route] = []
_READING = {"GET", "HEAD"}


def route(
    method: str,
    *patterns: str,
    needs: Needs,
    writes: bool | None = None,
    **facts: Any,
) -> Callable[[View], View]:
    """Bind a view to one or several patterns; *facts* are those of Route."""

    def bind(view: View) -> View:
        for pattern in patterns:
            changes = method not in _READING if writes is None else writes
            made = Route(method, pattern, needs, view, changes, **facts)
            ROUTES.append(made)
            _root.add(made)
        return view

    return bind


# Finding one -------------------------------------------------------------------------------------


class _Node:
    """A tree over the segments of patterns: literals before casts before keys."""

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.cast: _Node | None = None
        self.key: _Node | None = None
        self.routes: dict[str, Route] = {}

    def add(self, made: Route) -> None:
        node = self
        for part in made.pattern.split("/"):
            if part == "{cast}":
                node.cast = node.cast or _Node()
                node = node.cast
            elif part.startswith("{"):
                node.key = node.key or _Node()
                node = node.key
            else:
                node = node.literals.setdefault(part.lower(), _Node())
        if made.method in node.routes:
            raise ValueError(f"{made.method} {made.pattern} is bound twice")
        node.routes[made.method] = made

    def find(self, parts: list[str]) -> Iterator["_Node"]:
        if not parts:
            if self.routes:
                yield self
            return
        part, rest = parts[0], parts[1:]
        is_cast = part.startswith("graph.")
        for name in (part, part.removeprefix("graph.")) if is_cast else (part,):
            if (found := self.literals.get(name.lower())) is not None:
                yield from found.find(rest)
        if is_cast and self.cast is not None:
            yield from self.cast.find(rest)
        if not is_cast and self.key is not None and not part.startswith("$"):
            yield from self.key.find(rest)


_root = _Node()
_KEYED = re.compile(r"([A-Za-z$][\w.$]*)\((.*)\)")
_ALTERNATE = re.compile(r"([A-Za-z]\w*)='((?:[^']|'')*)'")


def segments(path: str) -> list[str]:
    """The parts of a path, with `users('x')` read as `users/x`, `delta()` as `delta`, and casts in
    one spelling.
    """
    found = []
    for part in path.strip("/").split("/"):
        keyed = _KEYED.fullmatch(part)
        name, key = (keyed[1], keyed[2]) if keyed else (part, "")
        if name.lower().startswith("microsoft.graph."):
            name = "graph." + name[len("microsoft.graph.") :]
        found.append(name)
        if _ALTERNATE.fullmatch(key):
            found.append(key)
        elif key:
            found.append(key[1:-1].replace("''", "'") if key[0] == key[-1] == "'" else key)
    return found


def alternate_key(text: str) -> tuple[str, str] | None:
    """Name and value of a key such as `appId='…'`."""
    found = _ALTERNATE.fullmatch(text)
    return None if found is None else (found[1], found[2].replace("''", "'"))


def resolve(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request and the keys in its path.

    Raises GraphError: 405 where other methods are taken, 400 for a path that does not exist.
    """
    parts = segments(path)
    asked = "GET" if method == "HEAD" else method
    others: set[str] = set()
    for node in _root.find(parts):
        made = node.routes.get(asked)
        if made is not None:
            names = made.pattern.split("/")
            keys = {
                name[1:-1]: part
                for name, part in zip(names, parts, strict=True)
                if name.startswith("{")
            }
            return made, keys
        others |= node.routes.keys()
    if others:
        raise GraphError(
            405,
            "Request_BadRequest",
            f"{method} is not taken here.",
            headers={"Allow": ", ".join(sorted(others))},
        )
    known = parts[0].lower() in _root.literals
    raise GraphError(
        404 if known else 400,
        "Request_ResourceNotFound" if known else "BadRequest",
        f"There is no resource for the segment {_unknown(parts)!r}.",
    )


def _unknown(parts: list[str]) -> str:
    """The first segment that leads nowhere."""
    nodes = [_root]
    for part in parts:
        below = []
        for node in nodes:
            below += [node.literals[part.lower()]] if part.lower() in node.literals else []
            below += [one for one in (node.cast, node.key) if one is not None]
        if not below:
            return part[:100]
        nodes = below
    return (parts or [""])[-1][:100]
