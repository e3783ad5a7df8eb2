"""Filters of the templates: times, names and lists as people read them."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from flask import Flask, g
from flask_babel import format_datetime, format_time, get_locale, gettext

from b2b import clock
from b2b.web import words

_ONE_LETTER = re.compile(
    r"[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\u0590-\u08ff]"
)
_KOREAN_DAY = "yyyy.\u00a0M.\u00a0d."
"""Its parts stay on one line."""


def register(app: Flask) -> None:
    """Bind the filters."""
    for function in (day, moment, ago, initials, hue, listed, words.stored, words.own_reason):
        app.add_template_filter(function)
    app.add_template_global(words.reason, "refusal_reason")


def day(at: datetime) -> str:
    """18 Nov 2026."""
    return format_datetime(at, "d MMM yyyy" if _latin() else _KOREAN_DAY)


def _latin() -> bool:
    return str(get_locale() or "en").split("_")[0] != "ko"


def moment(at: datetime) -> str:
    """The exact time with its zone."""
    return format_datetime(
        at, "d MMMM yyyy, HH:mm:ss 'UTC'" if _latin() else f"{_KOREAN_DAY} HH:mm:ss 'UTC'"
    )


def ago(at: datetime) -> str:
    """Relative up to yesterday, then the day (design brief, 5)."""
    now = g.get("now") or clock.now()
    if at.date() == now.date():
        if now - at < timedelta(minutes=1):
            return gettext("Just now")
        return gettext("Today, %(time)s", time=format_time(at, "HH:mm"))
    if at.date() == (now - timedelta(days=1)).date():
        return gettext("Yesterday, %(time)s", time=format_time(at, "HH:mm"))
    return day(at)


def initials(name: str) -> str:
    """Two Latin initials, or one letter of Hangul, Han, kana, Hebrew or Arabic."""
    words = [word for word in re.split(r"[\s.@_-]+", name.strip()) if word and word[0].isalnum()]
    if not words:
        return "?"
    if _ONE_LETTER.match(words[0]):
        return words[0][0]
    letters = words[0][0] + (words[-1][0] if len(words) > 1 else "")
    return letters.upper()[:2]


def hue(identifier: UUID | str | int) -> int:
    """1 to 6: which of the avatar colours an object has, always the same."""
    text = str(identifier)
    return sum(ord(character) for character in text) % 6 + 1


def listed(names: list[str]) -> str:
    """“A”, “A and B”, “A, B and C”; more than four are counted."""
    if len(names) > 4:
        return gettext(
            "%(first)s and %(count)s more", first=", ".join(names[:3]), count=len(names) - 3
        )
    if len(names) < 2:
        return "".join(names)
    return gettext("%(first)s and %(last)s", first=", ".join(names[:-1]), last=names[-1])
