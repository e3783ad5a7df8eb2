"""Mailpit's search language → the store's own.

Mailpit tolerates everything, which suits a search box and not a test that deletes what it finds.
So: what Mailpit reads as words is words here, an open quotation mark or an unknown ``field:``
included; what it understands and the store does not, such as ``larger:5M``, is refused rather than
guessed.
"""

import re

from b2b.sink.search import BadQuery

_OURS = ("to", "from", "cc", "subject")
_THEIRS = frozenset(
    (
        *("bcc", "reply-to", "addressed", "message-id", "tag", "has"),
        *("before", "after", "larger", "smaller"),
    )
)
_TERM = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+')
_OPERATOR = re.compile(r"([a-z-]+):(.*)", re.IGNORECASE | re.DOTALL)


def translated(query: str) -> str:
    """The query for ``Store.list``; empty when there is no term left in *query*.

    Raises:
        BadQuery: a term means something to Mailpit that the store cannot find.
    """
    terms = []
    for match in _TERM.finditer(query):
        term = _translated(match[0].replace('"', ""), match.start())
        if term:
            terms.append(term)
    return " ".join(terms)


def _translated(term: str, position: int) -> str:
    minus = "-" if term.startswith(("-", "!")) else ""
    word = term[1:] if minus else term
    operator = _OPERATOR.fullmatch(word)
    if operator is None:
        return _quoted(minus, "", word)
    name, value = operator[1].lower(), operator[2].strip()
    if name in _OURS:
        return _quoted(minus, f"{name}:", value)
    if not value and (name == "is" or name in _THEIRS):
        return ""
    if name == "is" and value.lower() in ("read", "unread"):
        return f"{minus}is:{value.lower()}"
    if name in _THEIRS or (name == "is" and value.lower() == "tagged"):
        raise BadQuery(position, f"“{name}:{value}” cannot be searched for here.")
    return _quoted(minus, "", word)


def _quoted(minus: str, field: str, value: str) -> str:
    value = value.replace("\x00", " ").strip()
    return f'{minus}{field}"{value}"' if value else ""
