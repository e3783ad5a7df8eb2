"""What a bench hands back, and the middle of several runs."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A figure and its bar: a ratio that must not exceed it, or a rate that must reach it."""

    name: str
    value: float
    bar: float
    detail: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the bar is kept."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)
