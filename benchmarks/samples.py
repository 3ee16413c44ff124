"""Measurements, and what is worth saying of them."""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Sample = TypeVar("Sample")


@dataclass
class Figure:
    """What was measured of one contender: *samples* in *unit*, in the order of the rounds."""

    name: str
    contender: str
    unit: str
    samples: list[float]
    note: str = ""

    def summary(self) -> dict[str, Any]:
        """Return it for the document, with the samples themselves, so that ratios can be taken round by round."""
        return {
            "figure": self.name,
            "contender": self.contender,
            "unit": self.unit,
            **spread(self.samples),
            "note": self.note,
            "samples": [rounded(sample) for sample in self.samples],
        }


@dataclass
class Row:
    """The answer to one question: figures, and who could not take part."""

    name: str
    question: str
    figures: list[Figure] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, contender: str, unit: str, samples: Sequence[float], note: str = "") -> None:
        """Add a figure; without samples there is none."""
        if samples:
            self.figures.append(Figure(name, contender, unit, list(samples), note))

    def add_all(self, name: str, unit: str, samples: Mapping[str, Sequence[float]]) -> None:
        """Add the same figure of several contenders."""
        for contender, taken in samples.items():
            self.add(name, contender, unit, taken)

    def document(self) -> dict[str, Any]:
        """Return it for the document."""
        return {
            "question": self.question,
            "figures": [figure.summary() for figure in self.figures],
            "left_out": self.left_out,
            "notes": self.notes,
        }


def spread(samples: Sequence[float]) -> dict[str, Any]:
    """Return median, quartiles and extremes: the median is the result, the quartiles tell how far to trust it."""
    several = list(samples) * 2 if len(samples) == 1 else list(samples)
    first, median, third = statistics.quantiles(several, n=4, method="inclusive")
    values = {
        "median": median,
        "first_quartile": first,
        "third_quartile": third,
        "p95": percentile(several, 95),
        "min": min(several),
        "max": max(several),
    }
    return {"count": len(samples), **{name: rounded(value) for name, value in values.items()}}


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that *percent* of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def rounded(value: float) -> float:
    """Return *value* with four digits: more would pretend."""
    return float(f"{value:.4g}") if abs(value) < 1e6 else float(round(value))  # noqa: PLR2004, counts are exact.


def interleaved(
    rounds: int, contenders: Mapping[str, Callable[[], Sample]], chance: random.Random
) -> dict[str, list[Sample]]:
    """Return *rounds* samples of each: in each round everyone in turn, so that a busy moment hits all of them.

    The order within a round is drawn anew; a first round that only warms the caches is thrown away,
    but where there is only one.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(-(rounds > 1), rounds):
        for name in chance.sample(sorted(contenders), len(contenders)):
            taken = contenders[name]()
            if number >= 0:
                samples[name].append(taken)
    return samples
