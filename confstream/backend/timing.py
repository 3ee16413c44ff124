"""How far a server's clock is from ours, and how long it takes to answer."""

import secrets
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from statistics import median

from confstream.backend.bench import Bench, passed, skipped
from confstream.backend.place import core_of
from confstream.check import Check, Level
from confstream.clock import Clock
from confstream.errors import AccessDeniedError, UnavailableError
from confstream.store import Store
from confstream.store.lean import LeanStore
from confstream.store.s3 import S3Store

CLOCK, LATENCY = "clock", "latency"
_ROUNDS = 8
_LISTS = 4
_SECONDS_DOUBTFUL = 30.0
_SECONDS_REFUSED = 900.0
"""S3 refuses requests whose time is further off than that."""


def clock(store: Store, ours: Clock) -> Check:
    """Return how far *store*'s server and our clock are apart, by the ``Date`` of an answer, a refusal's too."""
    core = core_of(store)
    if not isinstance(core, (S3Store, LeanStore)):
        return skipped(CLOCK, "only S3 tells the time with its answers")
    before_ns = ours.now_ns()
    try:
        core.list("check-clock/")
    except AccessDeniedError:
        # A server that refuses us because of our clock says what time it is.
        if not core.server_date:
            raise
    after_ns = ours.now_ns()
    try:
        seconds = offset_seconds(core.server_date, before_ns, after_ns)
    except ValueError:
        return skipped(CLOCK, "the server does not say what time it is")
    return _judged(seconds)


def _judged(seconds: float) -> Check:
    way = "behind" if seconds > 0 else "ahead of"
    if abs(seconds) < 1:
        return passed(CLOCK, "the server's clock and ours agree to the second")
    found = f"our clock is {abs(seconds):.0f} s {way} the server's"
    if abs(seconds) < _SECONDS_DOUBTFUL:
        return passed(CLOCK, found)
    advice = "set the clock of this machine (NTP)"
    if abs(seconds) < _SECONDS_REFUSED:
        return Check(CLOCK, Level.WARN, found, f"{advice}: times in the history are off by as much")
    return Check(
        CLOCK,
        Level.FAIL,
        found,
        f"{advice}: S3 refuses requests that are {_SECONDS_REFUSED / 60:.0f} minutes off",
        UnavailableError,
    )


def offset_seconds(date: str, before_ns: int, after_ns: int) -> float:
    """Return by how much the server's time *date* was ahead of ours, between *before_ns* and *after_ns*, at least.

    A ``Date`` has whole seconds, and the request took a while: what both may
    explain is no difference. Raise ``ValueError`` for what is no date.
    """
    first = parsedate_to_datetime(date).timestamp()
    last = first + 1
    before, after = before_ns / 1e9, after_ns / 1e9
    if first > after:
        return first - after
    return min(0.0, last - before)


def latency(bench: Bench) -> Check:
    """Return how long single requests take, one after the other; the figures go to *bench*, too."""
    body = secrets.token_bytes(2048)
    keys = [f"latency/{number}" for number in range(_ROUNDS)]
    calls: dict[str, list[Callable[[], object]]] = {
        "put": [lambda key=key: bench.store.put(key, body) for key in keys],  # type: ignore[misc]
        "get": [lambda key=key: bench.store.get(key) for key in keys],  # type: ignore[misc]
        "list": [lambda: bench.store.list("latency/")] * _LISTS,
        "delete": [lambda key=key: bench.store.delete([key]) for key in keys],  # type: ignore[misc]
    }
    for operation, several in calls.items():
        bench.figures[f"{operation}_seconds"] = round(median(_seconds(bench.clock, call) for call in several), 6)
    shown = ", ".join(f"{name.removesuffix('_seconds')} {value * 1000:.1f} ms" for name, value in bench.figures.items())
    return passed(LATENCY, f"{shown} (median of single requests, 2 KiB)")


def _seconds(clock: Clock, call: Callable[[], object]) -> float:
    start = clock.elapsed_seconds()
    call()
    return clock.elapsed_seconds() - start
