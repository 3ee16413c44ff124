"""The proof that a backend creates exclusively, made on the backend itself.

The type of a backend proves nothing: servers ignore the condition, wrappers
drop it, and some implementations look first and write afterwards.
"""

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable

from confstream.errors import (
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.events import about
from confstream.store import Store

_LOG = logging.getLogger("confstream.store")
_ROUNDS_MAX = 5
_RACERS = 4
_SPOILED = "an object that was read as nothing that anybody put there"
WAYS_OUT = (
    "use a backend that honours If-None-Match (AWS S3, SeaweedFS, Ceph, R2, Google Cloud Storage, Azure), a local "
    "directory, or, if never more than one writer runs, --unsafe-single-writer"
)
"""What to do about a backend that is not fit."""


def prove_exclusive_create(store: Store) -> None:
    """Create objects under ``probe/`` twice and in a race; raise ``NoExclusiveCreateError`` if two could win.

    A put whose outcome is unknown proves nothing either way: the whole round
    is repeated with a fresh key. What was created is removed; a replica whose
    policy forbids that keeps a few bytes under ``probe/``.
    """
    prove_in_sequence(store)
    prove_in_a_race(store, _RACERS)


def prove_in_sequence(store: Store) -> None:
    """Create a key twice; raise ``NoExclusiveCreateError`` unless the second is refused and the first one stays."""
    flaw = _known_flaw(store)
    if flaw:
        raise NoExclusiveCreateError(f"{store.url}: {flaw}: {WAYS_OUT}")
    _repeat(store, _create_twice)


def prove_in_a_race(store: Store, racers: int) -> None:
    """Let *racers* create one key at once; raise ``NoExclusiveCreateError`` unless one wins and its bytes are there."""
    _repeat(store, lambda store, key: _race(store, key, racers))


class _InconclusiveError(Exception):
    """A round whose observations fit a lost acknowledgement as well as a broken backend."""


def _known_flaw(store: object) -> str | None:
    """Return what the code of the backend at the core of *store* gets wrong, if it is known to."""
    while hasattr(store, "inner"):
        store = store.inner
    flaw = getattr(store, "flaw", None)
    return flaw if isinstance(flaw, str) else None


def _repeat(store: Store, prove_once: Callable[[Store, str], None]) -> None:
    for attempt in range(1, _ROUNDS_MAX + 1):
        key = f"probe/{secrets.token_hex(16)}"
        try:
            prove_once(store, key)
        except _InconclusiveError as error:
            if attempt == _ROUNDS_MAX:
                raise UnavailableError(
                    f"{store.url}: cannot tell whether it creates exclusively: {attempt} rounds ended in doubt, "
                    f"the last one with {error}: try again when the connection is better"
                ) from error
        else:
            return
        finally:
            _clean_up(store, key)


def _create_twice(store: Store, key: str) -> None:
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    try:
        store.put(key, first)
    except (ObjectExistsError, OutcomeUnknownError) as error:
        # The key is random, so "exists" is our own put, repeated below us after its answer got lost.
        raise _InconclusiveError(f"a first put of a fresh key that ended as: {error}") from error
    try:
        store.put(key, second)
    except ObjectExistsError:
        pass
    except OutcomeUnknownError as error:
        raise _InconclusiveError(f"a second put that ended as: {error}") from error
    else:
        raise NoExclusiveCreateError(f"{store.url}: the same key was created twice: {WAYS_OUT}")
    found = _read(store, key)
    if found not in {first, second}:
        raise _InconclusiveError(_SPOILED)
    if found != first:
        raise NoExclusiveCreateError(
            f"{store.url}: a put was refused, and yet the object is not what was put first: {WAYS_OUT}"
        )


def _race(store: Store, key: str, count: int) -> None:
    bodies = [secrets.token_bytes(32) for _ in range(count)]
    barrier = threading.Barrier(count)
    outcomes: list[Exception | None] = [UnavailableError("a racer that did not finish")] * count

    def race(number: int) -> None:
        try:
            barrier.wait()
            store.put(key, bodies[number])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged after the race.
            outcomes[number] = error
        else:
            outcomes[number] = None

    racers = [threading.Thread(target=race, args=(number,), daemon=True) for number in range(count)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    winner = _winner(store, outcomes)
    found = _read(store, key)
    if found not in bodies:
        raise _InconclusiveError(_SPOILED)
    if found != bodies[winner]:
        raise NoExclusiveCreateError(f"{store.url}: the loser of a race overwrote the winner: {WAYS_OUT}")


def _winner(store: Store, outcomes: list[Exception | None]) -> int:
    """Return which racer created the key, if it was exactly one."""
    winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
    if len(winners) > 1:
        raise NoExclusiveCreateError(
            f"{store.url}: {len(winners)} of {len(outcomes)} racers created one key: {WAYS_OUT}"
        )
    for outcome in outcomes:
        if isinstance(outcome, OutcomeUnknownError):
            raise _InconclusiveError(f"a racer's put that ended as: {outcome}") from outcome
        if outcome is not None and not isinstance(outcome, ObjectExistsError):
            raise outcome
    if not winners:
        raise _InconclusiveError("a race that nobody won")
    return winners[0]


def _read(store: Store, key: str) -> bytes:
    try:
        return store.get(key)
    except ObjectMissingError as error:
        raise NoExclusiveCreateError(
            f"{store.url}: an object is not there although its creation was confirmed: {WAYS_OUT}"
        ) from error


def _clean_up(store: Store, key: str) -> None:
    # Writers that may create but not delete are a good policy, and no reason to refuse the backend.
    with contextlib.suppress(UnavailableError):
        store.delete([key])
        return
    _LOG.info("%s: %s could not be removed", store.url, key, extra=about("cleanup_failed", key=key))
