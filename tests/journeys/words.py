"""The words that journeys look for, written by hand: what a page says is not asked of the page."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """A language: what the browser asks for, what the pages must answer in, and its words."""

    locale: str
    lang: str
    catalogue: dict[str, str] | None = field(default=None, repr=False)

    def say(self, english: str, **values: object) -> str:
        """*english* in this language; every word that a journey uses must be in the catalogue."""
        words = english if self.catalogue is None else self.catalogue[english]
        return words % values if values else words


ENGLISH = Words("en-GB", "en")

KOREAN = Words(
    "ko-KR",
    "ko",
    {},
)
