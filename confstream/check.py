"""One thing that was looked at: what it is, how it is, and what to do about it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from confstream.errors import (
    ConfstreamError,
    FencedError,
    IntegrityError,
    NoExclusiveCreateError,
    PartialError,
    StaleError,
    UnavailableError,
    UsageError,
)

__all__ = ["Check", "Level", "worst"]

# What to mend first: storage that lets writers overwrite one another, damage, then what keeps us away from it.
_ORDER = (
    NoExclusiveCreateError,
    IntegrityError,
    UnavailableError,
    FencedError,
    PartialError,
    UsageError,
    StaleError,
)


class Level(Enum):
    """How it is. A warning is for a person to weigh; what was skipped proves nothing."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """What was *found* about *name*, and the *advice* what to do; *error* is what a failure comes to for a caller."""

    name: str
    level: Level
    found: str
    advice: str = ""
    error: type[ConfstreamError] = StaleError

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form."""
        return {"name": self.name, "level": self.level.value, "found": self.found, "advice": self.advice}

    def __str__(self) -> str:
        return f"{self.name}: {self.found}" + (f": {self.advice}" if self.advice else "")


def worst(checks: Iterable[Check]) -> Check | None:
    """Return the failure to mend first, None if nothing failed."""
    failed = [check for check in checks if check.level is Level.FAIL]
    return min(failed, key=_rank, default=None)


def _rank(check: Check) -> int:
    return next((rank for rank, kind in enumerate(_ORDER) if kind in check.error.__mro__), len(_ORDER))
