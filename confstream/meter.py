"""Counters that the working parts feed and an endpoint reads; without an endpoint they cost next to nothing.

Names and labels are declared where they are exposed, in ``observe``; a meter
takes whatever it is given. Safe to share between threads.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How long something took: how often at most each of ``BUCKETS_SECONDS``, how often at all, and together."""

    within: tuple[int, ...] = (0,) * len(BUCKETS_SECONDS)
    count: int = 0
    sum_seconds: float = 0.0

    def plus(self, seconds: float) -> "Distribution":
        """Return it with one more observation."""
        within = tuple(number + (seconds <= bound) for number, bound in zip(self.within, BUCKETS_SECONDS, strict=True))
        return Distribution(within, self.count + 1, self.sum_seconds + seconds)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter has counted so far: by name, and by the labels with their values."""

    counts: Mapping[tuple[str, Labels], float] = field(default_factory=dict)
    distributions: Mapping[tuple[str, Labels], Distribution] = field(default_factory=dict)

    def count(self, name: str, **labels: str) -> float:
        """Return what was counted under *name* with exactly *labels*; 0 if nothing was."""
        return self.counts.get((name, _labels(labels)), 0)


class Meter:
    """Counts and times by name and labels; the values of labels must come from small, fixed sets (P14)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._distributions: dict[tuple[str, Labels], Distribution] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add *amount* to the counter *name*."""
        key = (name, _labels(labels))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + amount

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add one duration to the distribution *name*."""
        key = (name, _labels(labels))
        with self._lock:
            self._distributions[key] = self._distributions.get(key, Distribution()).plus(seconds)

    def read(self) -> Reading:
        """Return what was counted so far, as one consistent value."""
        with self._lock:
            return Reading(dict(self._counts), dict(self._distributions))


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
