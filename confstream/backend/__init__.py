"""Is this backend fit to hold a log? Found out on the backend itself, in a place of its own.

Every line of the report says what was proven and how; what was not proven is
said as well. Nothing is left behind.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confstream.backend import fencing, reading, timing
from confstream.backend.bench import Bench, passed
from confstream.backend.place import Place
from confstream.check import Check, Level, worst
from confstream.clock import Clock, SystemClock
from confstream.errors import ConfstreamError, NoExclusiveCreateError, UnavailableError, UsageError
from confstream.store import Store
from confstream.store.open import mask_url, open_store
from confstream.store.s3_choice import client_of

__all__ = ["RACERS", "ROUNDS", "BackendReport", "check_backend"]

ROUNDS = 3
"""How often is raced: on some servers a round takes seconds, because the losers wait for one another."""

RACERS = 20
_RACERS_MAX = 200
_LOOKS: tuple[tuple[str, Callable[[Bench], Check]], ...] = (
    (fencing.CREATE, fencing.create),
    (fencing.RACE, fencing.race),
    (fencing.LOST, fencing.lost_answer),
    (reading.NOTHING, reading.nothing),
    (reading.AFTER_WRITE, reading.after_write),
    (reading.LISTING, reading.listing),
    (reading.AGAIN, reading.again),
    (reading.RANGES, reading.ranges),
    (reading.NAMES, reading.names),
    (reading.LARGE, reading.large),
    (timing.CLOCK, lambda bench: timing.clock(bench.store, bench.clock)),
    (timing.LATENCY, timing.latency),
)


@dataclass(frozen=True, slots=True)
class BackendReport:
    """What was found about the backend at *url*; *figures* are medians in seconds."""

    url: str
    checks: tuple[Check, ...]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def fit(self) -> bool:
        """Return whether nothing speaks against keeping a log there."""
        return worst(self.checks) is None

    @property
    def error(self) -> ConfstreamError | None:
        """Return the error that a failure comes to, None if there is none."""
        failure = worst(self.checks)
        return None if failure is None else failure.error(f"{self.url} is not fit: {failure}")

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form that ``check-backend --json`` prints."""
        return {
            "replica": self.url,
            "fit": self.fit,
            "checks": [check.as_json() for check in self.checks],
            "figures": dict(self.figures),
        }


def check_backend(
    url: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
    timeout_seconds: float = 30.0,
    rounds: int = ROUNDS,
    racers: int = RACERS,
    clock: Clock | None = None,
    tell: Callable[[Check], None] | None = None,
) -> BackendReport:
    """Return whether the backend at *url* can hold a log, proven under a fresh prefix of it.

    *tell* hears of every check as soon as it is done. What was made is
    removed again, also when the call is interrupted. Raise ``UsageError``
    for what cannot be meant; everything else is in the report.
    """
    if rounds < 1 or not 2 <= racers <= _RACERS_MAX:  # noqa: PLR2004 - a race has two
        raise UsageError(
            f"{rounds} rounds of {racers} racers; expected at least 1 of 2, and at most {_RACERS_MAX} racers"
        )
    clock = clock or SystemClock()
    options = _roomy(url, dict(storage_options or {}), racers)

    def reopen(changed: dict[str, Any]) -> Store:
        return open_store(url, storage_options=changed, timeout_seconds=timeout_seconds, clock=clock)

    store, other = reopen(options), reopen(options)
    checks: list[Check] = []
    try:
        place = Place(store)
        bench = Bench(place, other, clock, options, reopen, rounds, racers)
        with place:
            for check in _all(bench):
                checks.append(check)
                if tell is not None:
                    tell(check)
        last = _cleaned(place)
        checks.append(last)
        if tell is not None:
            tell(last)
    finally:
        store.close()
        other.close()
    return BackendReport(mask_url(store.url), tuple(checks), dict(bench.figures))


def _all(bench: Bench) -> Iterator[Check]:
    reached = _reach(bench)
    yield reached
    if reached.level is Level.FAIL:
        return
    for name, look in _LOOKS:
        yield _guarded(name, look, bench)


def _reach(bench: Bench) -> Check:
    try:
        bench.store.list("nothing/")
    except ConfstreamError as error:
        kind = type(error) if isinstance(error, (UnavailableError, UsageError)) else UnavailableError
        return Check("reach", Level.FAIL, str(error), "mend this first: nothing else could be looked at", kind)
    endpoint = getattr(bench.core, "endpoint", "")
    client = client_of(bench.place.store.url, bench.storage_options)
    by = f" by {client}" if client else ""
    return passed("reach", f"{bench.place.store.url} can be listed{f' at {endpoint}' if endpoint else ''}{by}")


def _guarded(name: str, look: Callable[[Bench], Check], bench: Bench) -> Check:
    """Return what *look* finds; a backend that does not answer properly has not passed, and the rest goes on."""
    try:
        return look(bench)
    except ConfstreamError as error:
        known = isinstance(error, (NoExclusiveCreateError, UnavailableError, UsageError))
        advice = "run it again; if it stays so, use another backend"
        return Check(name, Level.FAIL, str(error), advice, type(error) if known else ConfstreamError)


def _cleaned(place: Place) -> Check:
    if place.left:
        return Check("clean up", Level.WARN, place.left, "allow deletion: packing removes what it has packed")
    return passed("clean up", "nothing that was made here is left")


def _roomy(url: str, options: dict[str, Any], racers: int) -> dict[str, Any]:
    """Return *options* with a connection for every racer: those that wait for one do not race."""
    if not url.lower().startswith(("s3://", "s3a://")):
        return options
    config = dict(options.get("config_kwargs") or {})
    return {**options, "config_kwargs": {"max_pool_connections": racers + 4, **config}}
