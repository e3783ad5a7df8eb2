"""Reads what letters hold: links and codes."""

import re

from b2b.sink import message


def text_of(source: bytes) -> str:
    """The text part of a captured mail."""
    return message.read(source).text


def link_in(source: bytes) -> str:
    """The invitation link of a letter."""
    text = text_of(source)
    found = re.search(r"http://localhost:5000/redeem\?rd=\S+", text)
    assert found, text
    return found[0]


def code_in(source: bytes) -> str:
    """The mailed code, with its space."""
    text = text_of(source)
    found = re.search(r"\b(\d{4} \d{4})\b", text)
    assert found, text
    return found[1]
