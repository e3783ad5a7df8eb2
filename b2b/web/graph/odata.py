"""The query language of OData as Graph speaks it: text in, small trees out, with the place of
every mistake (users.md, section 6).

Written by hand: the parsers that exist read `$filter` alone and do not say where it is wrong.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

LONGEST = 8192
"""Characters of one option."""
DEEPEST = 32
MOST_TERMS = 128
"""How far an expression nests, and how many comparisons it has."""

Value = str | int | float | bool | datetime | UUID | None


class Malformed(Exception):
    """An option that cannot be read. `position` counts its characters from 0; None: as a whole."""

    def __init__(self, option: str, message: str, position: int | None = None) -> None:
        self.option = option
        self.position = position
        where = "" if position is None else f" at position {position}"
        super().__init__(f"{option} cannot be read{where}: {message}")


# Trees -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: Value
    position: int = 0


@dataclass(frozen=True)
class Path:
    """A property, by its name or by those that lead to it; `$count` may come last."""

    names: tuple[str, ...]
    position: int = 0

    @property
    def text(self) -> str:
        """As it was written."""
        return "/".join(self.names)


@dataclass(frozen=True)
class Compare:
    """`property operator constant`; *operator* is eq, ne, gt, ge, lt, le, startswith, endswith or
    contains.
    """

    operator: str
    path: Path
    value: Literal
    position: int = 0


@dataclass(frozen=True)
class In:
    """`property in (constant, …)`."""

    path: Path
    values: tuple[Literal, ...]
    position: int = 0


@dataclass(frozen=True)
class Lambda:
    """`collection/any(x:condition)`; without a condition: whether it holds anything."""

    quantifier: str
    path: Path
    variable: str | None
    condition: "Condition | None"
    position: int = 0


@dataclass(frozen=True)
class Not:
    """The opposite."""

    inner: "Condition"
    position: int = 0


@dataclass(frozen=True)
class Both:
    """`and` or `or` of two or more."""

    operator: str
    parts: tuple["Condition", ...]


Condition = Compare | In | Lambda | Not | Both


@dataclass(frozen=True)
class Term:
    """One clause of `$search`: the property and what one of its words begins with."""

    property: str
    text: str
    position: int = 0


@dataclass(frozen=True)
class Either:
    """`AND` or `OR` of clauses of `$search`."""

    operator: str
    parts: tuple["Term | Either", ...]


@dataclass(frozen=True)
class Order:
    """One key of `$orderby`."""

    path: Path
    descending: bool = False


@dataclass(frozen=True)
class Expand:
    """One navigation of `$expand`, and the options inside its parentheses."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    position: int = 0


# Words -------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t]+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}
        (?![\w-]))
    | (?P<instant>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d))?
        (?![\w-]))
    | (?P<number>-?\d{1,18}(?:\.\d{1,9})?(?![\w.]))
    | (?P<name>[$@]?[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<sign>[(),/:;=*])
    """,
    re.VERBOSE,
)
_COMPARISONS = {"eq", "ne", "gt", "ge", "lt", "le"}
_FUNCTIONS = {"startswith", "endswith", "contains"}
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class _Word:
    kind: str
    text: str
    position: int


def _words(option: str, text: str) -> list[_Word]:
    if len(text) > LONGEST:
        raise Malformed(option, f"at most {LONGEST} characters")
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            what = "this text does not end" if text[at] == "'" else f"unexpected {text[at]!r}"
            raise Malformed(option, what, at)
        if match.lastgroup != "space":
            found.append(_Word(match.lastgroup or "", match[0], at))
        at = match.end()
    found.append(_Word("end", "", len(text)))
    return found


class _Reader:
    """Walks over the words of one option."""

    def __init__(self, option: str, text: str) -> None:
        self.option = option
        self.words = _words(option, text)
        self.at = 0
        self.terms = 0

    @property
    def word(self) -> _Word:
        return self.words[self.at]

    def fail(self, message: str, word: _Word | None = None) -> NoReturn:
        raise Malformed(self.option, message, (word or self.word).position)

    def take(self) -> _Word:
        word = self.word
        if word.kind != "end":
            self.at += 1
        return word

    def is_sign(self, sign: str) -> bool:
        return self.word.kind == "sign" and self.word.text == sign

    def is_name(self, *names: str) -> bool:
        return self.word.kind == "name" and self.word.text.lower() in names

    def skip(self, sign: str) -> bool:
        if self.is_sign(sign):
            self.at += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.skip(sign):
            self.fail(f"{sign!r} expected, {self.said()}")

    def said(self) -> str:
        return f"found {self.word.text!r}" if self.word.text else "but the text ends"

    def name(self) -> _Word:
        if self.word.kind != "name":
            self.fail(f"a property expected, {self.said()}")
        return self.take()

    def end(self) -> None:
        if self.word.kind != "end":
            self.fail(f"unexpected {self.word.text!r}")

    def path(self) -> Path:
        first = self.name()
        names = [first.text]
        while self.is_sign("/") and self.words[self.at + 1].kind == "name":
            following = self.words[self.at + 2]
            if self.words[self.at + 1].text.lower() in ("any", "all") and following.text == "(":
                break
            self.take()
            names.append(self.take().text)
        return Path(tuple(names), first.position)

    def literal(self) -> Literal:
        word = self.take()
        at = word.position
        match word.kind:
            case "text":
                return Literal(word.text[1:-1].replace("''", "'"), at)
            case "guid":
                return Literal(UUID(word.text), at)
            case "instant":
                return Literal(self._instant(word), at)
            case "number":
                number = float(word.text) if "." in word.text else int(word.text)
                return Literal(number, at)
            case "name" if word.text.lower() in _CONSTANTS:
                return Literal(_CONSTANTS[word.text.lower()], at)
        self.fail("a value expected: texts stand in single quotes", word)

    def _instant(self, word: _Word) -> datetime:
        found = instant(word.text)
        if found is None:
            self.fail("there is no such time", word)
        return found

    # $filter, by falling precedence: comparison, not, and, or.

    def condition(self, depth: int = 0) -> Condition:
        if depth > DEEPEST:
            self.fail(f"nested more than {DEEPEST} deep")
        parts = [self._conjunction(depth)]
        while self.is_name("or"):
            self.take()
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Both("or", tuple(parts))

    def _conjunction(self, depth: int) -> Condition:
        parts = [self._negation(depth)]
        while self.is_name("and"):
            self.take()
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else Both("and", tuple(parts))

    def _negation(self, depth: int) -> Condition:
        if depth > DEEPEST:
            self.fail(f"nested more than {DEEPEST} deep")
        if self.is_name("not"):
            word = self.take()
            return Not(self._negation(depth + 1), word.position)
        if self.skip("("):
            inner = self.condition(depth + 1)
            self.need(")")
            return inner
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Condition:
        self.terms += 1
        if self.terms > MOST_TERMS:
            self.fail(f"more than {MOST_TERMS} comparisons")
        word = self.word
        if self.is_name(*_FUNCTIONS) and self.words[self.at + 1].text == "(":
            function = self.take().text.lower()
            self.need("(")
            path = self.path()
            self.need(",")
            value = self.literal()
            self.need(")")
            if self.is_name("eq") and self.words[self.at + 1].text.lower() in ("true", "false"):
                self.take()
                if self.take().text.lower() == "false":
                    return Not(Compare(function, path, value, word.position), word.position)
            return Compare(function, path, value, word.position)
        path = self.path()
        if self.is_sign("/"):
            return self._lambda(path, depth)
        if self.is_sign("("):
            self.fail(f"there is no function {path.text!r}", word)
        operator = self.word
        if operator.kind != "name" or operator.text.lower() not in (*_COMPARISONS, "in"):
            self.fail(f"an operator such as eq expected, {self.said()}")
        self.take()
        if operator.text.lower() == "in":
            return In(path, self._list(), operator.position)
        return Compare(operator.text.lower(), path, self.literal(), operator.position)

    def _list(self) -> tuple[Literal, ...]:
        self.need("(")
        values = [self.literal()]
        while self.skip(","):
            values.append(self.literal())
            if len(values) > MOST_TERMS:
                self.fail(f"more than {MOST_TERMS} values")
        self.need(")")
        return tuple(values)

    def _lambda(self, path: Path, depth: int) -> Lambda:
        self.need("/")
        quantifier = self.name()
        kind = quantifier.text.lower()
        if kind not in ("any", "all"):
            self.fail("any or all expected", quantifier)
        self.need("(")
        if self.skip(")"):
            if kind == "all":
                self.fail("all needs a condition", quantifier)
            return Lambda(kind, path, None, None, quantifier.position)
        variable = self.name().text
        self.need(":")
        inner = self.condition(depth + 1)
        self.need(")")
        return Lambda(kind, path, variable, inner, quantifier.position)


def instant(text: str) -> datetime | None:
    """An ISO 8601 instant, or midnight UTC of a day; None for what is none."""
    shortened = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    try:
        found = datetime.fromisoformat(shortened)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_filter(text: str) -> Condition:
    """The tree of `$filter`. Raises Malformed."""
    reader = _Reader("$filter", text)
    found = reader.condition()
    reader.end()
    return found


def parse_order(text: str) -> list[Order]:
    """The keys of `$orderby`. Raises Malformed."""
    reader = _Reader("$orderby", text)
    found = []
    while True:
        path = reader.path()
        descending = reader.is_name("desc")
        if reader.is_name("asc", "desc"):
            reader.take()
        found.append(Order(path, descending))
        if not reader.skip(","):
            break
    reader.end()
    return found


_NAME = re.compile(r"[@A-Za-z_][A-Za-z0-9_./]*|\*")


def parse_select(text: str) -> list[str]:
    """The names of `$select`, each once. Raises Malformed."""
    found, at = [], 0
    if len(text) > LONGEST:
        raise Malformed("$select", f"at most {LONGEST} characters")
    for part in text.split(","):
        name = part.strip()
        if not _NAME.fullmatch(name):
            raise Malformed("$select", "a list of properties expected", at)
        found.append(name)
        at += len(part) + 1
    return list(dict.fromkeys(found))


def parse_expand(text: str) -> list[Expand]:
    """The navigations of `$expand`. Raises Malformed."""
    if len(text) > LONGEST:
        raise Malformed("$expand", f"at most {LONGEST} characters")
    found = []
    for part, at in _split(text, ",", 0):
        name, bracket, rest = part.partition("(")
        if not _NAME.fullmatch(name.strip()):
            raise Malformed("$expand", "a list of relationships expected", at)
        options = {}
        if bracket:
            if not rest.rstrip().endswith(")"):
                raise Malformed("$expand", "')' expected", at + len(part))
            for option, place in _split(rest.rstrip()[:-1], ";", at + len(name) + 1):
                key, equals, value = option.partition("=")
                if not equals or not re.fullmatch(r"\s*\$?[a-z]+\s*", key):
                    raise Malformed("$expand", "an option such as $select=id expected", place)
                options["$" + key.strip().lstrip("$").lower()] = value.strip()
        found.append(Expand(name.strip(), options, at))
    return found


def _split(text: str, separator: str, start: int) -> Sequence[tuple[str, int]]:
    """Parts of *text* between separators outside parentheses and quotes, with their places."""
    parts, depth, begin, quoted = [], 0, 0, False
    for at, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == separator and depth == 0:
            parts.append((text[begin:at], start + begin))
            begin = at + 1
    parts.append((text[begin:], start + begin))
    return parts


_SEARCH = re.compile(r'\s+|"(?:[^"\\]|\\.)*"|[()]|[^\s"()]+')


def parse_search(text: str) -> Term | Either:
    """The tree of `$search`: clauses in double quotes, AND, OR, parentheses. Raises Malformed."""
    if len(text) > LONGEST:
        raise Malformed("$search", f"at most {LONGEST} characters")
    words, at = [], 0
    while at < len(text):
        match = _SEARCH.match(text, at)
        if match is None:
            raise Malformed("$search", "this clause does not end", at)
        if not match[0].isspace():
            words.append((match[0], at))
        at = match.end()
    words.append(("", len(text)))
    tree, after = _search_or(words, 0, 0)
    if words[after][0]:
        raise Malformed("$search", "AND or OR expected", words[after][1])
    return tree


_Words = list[tuple[str, int]]


def _search_or(words: _Words, at: int, depth: int) -> tuple[Term | Either, int]:
    return _chain(words, at, depth, "OR", _search_and)


def _search_and(words: _Words, at: int, depth: int) -> tuple[Term | Either, int]:
    return _chain(words, at, depth, "AND", _search_term)


def _chain(
    words: _Words,
    at: int,
    depth: int,
    operator: str,
    below: Callable[[_Words, int, int], tuple[Term | Either, int]],
) -> tuple[Term | Either, int]:
    part, at = below(words, at, depth)
    parts = [part]
    while words[at][0] == operator:
        part, at = below(words, at + 1, depth)
        parts.append(part)
        if len(parts) > MOST_TERMS:
            raise Malformed("$search", f"more than {MOST_TERMS} clauses", words[at][1])
    return (parts[0] if len(parts) == 1 else Either(operator, tuple(parts))), at


def _search_term(words: _Words, at: int, depth: int) -> tuple[Term | Either, int]:
    word, place = words[at]
    if depth > DEEPEST:
        raise Malformed("$search", f"nested more than {DEEPEST} deep", place)
    if word == "(":
        inner, after = _search_or(words, at + 1, depth + 1)
        if words[after][0] != ")":
            raise Malformed("$search", "')' expected", words[after][1])
        return inner, after + 1
    if not word.startswith('"'):
        raise Malformed("$search", 'a clause such as "displayName:text" expected', place)
    clause = re.sub(r"\\(.)", r"\1", word[1:-1])
    name, colon, value = clause.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise Malformed("$search", "a clause names its property before a colon", place + 1)
    if not value.strip():
        raise Malformed("$search", "a clause needs a text", place + 1)
    return Term(name, value.strip(), place), at + 1
