"""What a bench hands back, and the middle of several runs."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A ratio and the bar that it must not exceed."""

    name: str
    value: float
    bar: float
    detail: str

    @property
    def holds(self) -> bool:
        """Whether the bar is kept."""
        return self.value <= self.bar


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)
