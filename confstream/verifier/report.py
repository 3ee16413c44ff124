"""What a verification found, as values: what is wrong, and what can still be had.

Ranges are closed everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from confstream import plan


class Flaw(StrEnum):
    """What is wrong with an object."""

    DAMAGED = "damaged"
    MISSING = "missing"
    STRAY = "stray"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Problem:
    """One object, what was found there, and what was expected.

    A *stray* lies in a slot whose revision a pack holds, and differs from it:
    somebody took it for published. *foreign* objects are not confstream's, and
    do no harm.
    """

    flaw: Flaw
    key: str
    found: str
    expected: str

    @property
    def harmless(self) -> bool:
        """Return whether nothing is lost by it."""
        return self.flaw is Flaw.FOREIGN

    def __str__(self) -> str:
        """Return it for a person to read."""
        return f"{self.key}: {self.flaw}: {self.found}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found on one replica.

    *first* and *head* are the oldest and the newest revision that any object
    tells of, *revisions* how many can be restored, and *restorable* which.
    """

    url: str
    problems: tuple[Problem, ...] = ()
    first: int = 0
    head: int = 0
    revisions: int = 0
    restorable: tuple[tuple[int, int], ...] = ()
    objects: int = 0
    bytes: int = 0
    quick: bool = False

    @property
    def ok(self) -> bool:
        """Return whether nothing is damaged, missing or astray."""
        return all(problem.harmless for problem in self.problems)

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """Return the revisions between the first and the newest that cannot be restored."""
        gaps, wanted = [], self.first
        for start, end in self.restorable:
            if wanted < start:
                gaps.append((wanted, start - 1))
            wanted = end + 1
        if wanted <= self.head:
            gaps.append((wanted, self.head))
        return tuple(gaps)

    def nearest(self, number: int) -> list[int]:
        """Return the restorable revisions next to *number*, itself if it is one."""
        return plan.nearest(self.restorable, number)

    def __str__(self) -> str:
        """Return it for a person to read: problems first."""
        lines = [str(problem) for problem in self.problems]
        if self.lost:
            lines.append(f"cannot be restored: revisions {_shown(self.lost)}")
        depth = "without contents" if self.quick else "with every content"
        span = f"revisions {_shown(self.restorable)}" if self.restorable else "no revision"
        lines.append(f"{span} can be restored; {self.objects} objects, {self.bytes} bytes read, checked {depth}")
        return "\n".join(lines)


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending *numbers* as closed ranges."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _shown(spans: Iterable[tuple[int, int]]) -> str:
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
