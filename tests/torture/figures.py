"""What a part of the torture counts, and how it goes from one seeded history to the next."""

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from confstream.clock import SystemClock

COMMAND = ".venv/bin/python -m tests.torture"


@dataclass(frozen=True, slots=True)
class Failure:
    """A history that broke a promise: its seed, how long it has to run for that, and what a person wants to read."""

    seed: int
    text: str
    seconds: float = 0


@dataclass(slots=True)
class Figures:
    """What one run of a part did; *more* is whatever this part counts besides."""

    seeds: int = 0
    operations: int = 0
    kills: int = 0
    faults: int = 0
    revisions_compared: int = 0
    more: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def document(self, part: str, seed: int, seconds: float) -> dict[str, object]:
        """Return the figures of *part* as the JSON document that the command prints."""
        return {
            "part": part,
            "seed": seed,
            "seconds": round(seconds, 1),
            "seeds": self.seeds,
            "operations": self.operations,
            "kills": self.kills,
            "faults": self.faults,
            "revisions_compared": self.revisions_compared,
            **dict(sorted(self.more.items())),
            "failures": [failure.seed for failure in self.failures],
        }

    def complaint(self, part: str) -> str:
        """Return what failed and the command that shows it again, or nothing if nothing did."""
        return "\n".join(
            f"{part} failed with seed {failure.seed}:\n{failure.text}\n"
            f"See it again: {COMMAND} {part} --seed {failure.seed} --seconds {failure.seconds:g}"
            for failure in self.failures
        )


History = Callable[[int, Figures], None]
"""One history: does what its seed says, adds to the figures, raises if a promise is broken."""


def repeat(history: History, seed: int, *, seconds: float = 0, count: int = 1) -> Figures:
    """Run *history* with *seed*, *seed* + 1 and so on: *count* times at least, and until *seconds* are over.

    The first failure ends it, and is among the figures.
    """
    clock = SystemClock()
    end_seconds = clock.elapsed_seconds() + seconds
    figures = Figures()
    while figures.seeds < count or clock.elapsed_seconds() < end_seconds:
        one = seed + figures.seeds
        figures.seeds += 1
        try:
            history(one, figures)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever goes wrong is what is looked for.
            figures.failures.append(Failure(one, traceback.format_exc()))
            break
    return figures
