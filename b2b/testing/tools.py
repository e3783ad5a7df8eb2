"""Clock, faults and snapshots of a running program."""

from datetime import datetime
from typing import Any

from b2b.testing.program import Program


class Clock:
    """The movable clock: web, worker and sink follow it at once."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def now(self) -> datetime:
        """What time it is there."""
        told = self._program.tool("GET", "/clock")
        return datetime.fromisoformat(str(told["now"]))

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Let time pass."""
        body = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        self._program.tool("POST", "/clock/advance", body)

    def set(self, instant: datetime) -> None:
        """Set it to an instant, which has a time zone."""
        self._program.tool("PUT", "/clock", {"now": instant.isoformat()})

    def reset(self) -> None:
        """The real time again."""
        self._program.tool("DELETE", "/clock")


class Faults:
    """What goes wrong with requests on purpose."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def add(
        self,
        path: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        latency: float | None = None,
        drop: bool = False,
        method: str | None = None,
        share: float = 1.0,
        times: int | None = None,
    ) -> str:
        """Let requests whose path begins with *path* (a pattern where it holds `*`) be answered
        with *status* (429 by default), *latency* seconds late, or not at all; returns the rule's
        id. *times*: for so many requests in all.
        """
        kind = "drop" if drop else "status"
        if latency is not None and status is None and retry_after is None and not drop:
            kind = "latency"
        asked: dict[str, Any] = {
            "path": path,
            "kind": kind,
            "status": status,
            "retryAfter": retry_after,
            "latencySeconds": latency,
            "method": method,
            "share": share,
            "times": times,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return str(self._program.tool("POST", "/faults", body)["id"])

    def hits(self, rule: str) -> int:
        """How many requests have met a rule."""
        for one in self._program.tool("GET", "/faults")["faults"]:
            if one["id"] == rule:
                return int(one["hits"])
        raise KeyError(rule)

    def show_after(self, seconds: float) -> None:
        """Have Graph's lists show new objects so many seconds late."""
        self._program.tool("PUT", "/visibility", {"seconds": seconds})

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._program.tool("DELETE", "/faults")
        self.show_after(0)


class Snapshots:
    """All directories, kept and put back."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def take(self, name: str) -> None:
        """Keep all directories as they are now."""
        self._program.tool("PUT", f"/snapshots/{name}", {})

    def restore(self, name: str) -> None:
        """Put all directories back."""
        self._program.tool("POST", f"/snapshots/{name}/restore", {})

    @property
    def names(self) -> list[str]:
        """Of all that were taken, the newest first."""
        return [str(one["name"]) for one in self._program.tool("GET", "/snapshots")["snapshots"]]
