"""What every check of a backend works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confstream.backend.place import Place, core_of
from confstream.check import Check, Level
from confstream.clock import Clock
from confstream.errors import ConfstreamError, NoExclusiveCreateError
from confstream.store import Store
from confstream.store.prove import WAYS_OUT


@dataclass
class Bench:
    """A place on the backend, another store of the same URL, and how hard to try.

    *reopen* returns a further store of the URL, with these options for the backend.
    """

    place: Place
    other: Store
    clock: Clock
    storage_options: dict[str, Any]
    reopen: Callable[[dict[str, Any]], Store]
    rounds: int
    racers: int
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Return the store of the place."""
        return self.place.store

    @property
    def core(self) -> object:
        """Return the backend itself."""
        return core_of(self.store)


def passed(name: str, found: str) -> Check:
    """Return that *name* was proven, and how."""
    return Check(name, Level.OK, found)


def failed(name: str, found: str, advice: str = "", error: type[ConfstreamError] = ConfstreamError) -> Check:
    """Return that *name* does not hold."""
    return Check(name, Level.FAIL, found, advice or "use another backend, or report this to its maker", error)


def unfit(name: str, found: str) -> Check:
    """Return that *name* does not hold, so that writers cannot be kept apart."""
    return failed(name, found.removesuffix(f": {WAYS_OUT}"), WAYS_OUT, NoExclusiveCreateError)


def skipped(name: str, why: str) -> Check:
    """Return that *name* was not looked at."""
    return Check(name, Level.SKIP, why)
