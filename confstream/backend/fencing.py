"""Can two writers be kept apart? Creation of a taken key, races, and acknowledgements that get lost."""

import secrets
from dataclasses import dataclass

from confstream.backend.bench import Bench, failed, passed, skipped, unfit
from confstream.backend.cutting import CuttingProxy
from confstream.check import Check
from confstream.errors import (
    ConfstreamError,
    IntegrityError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.store import Store
from confstream.store.lean import LeanStore
from confstream.store.prove import prove_in_a_race, prove_in_sequence
from confstream.store.s3 import S3Store

_BODY_BYTES = 1 << 16
"""More than a TLS handshake takes, so that the proxy cannot mistake one for the request."""

CREATE, RACE, LOST = "create twice", "race", "lost answer"
_TRIES = 3
_CUTS_MAX = 1000
_ANSWERS = (ObjectExistsError, OutcomeUnknownError)


def create(bench: Bench) -> Check:
    """Prove that a taken key is refused, and keeps what it has."""
    try:
        prove_in_sequence(bench.store)
    except NoExclusiveCreateError as error:
        return unfit(CREATE, str(error))
    return passed(CREATE, "the second creation of a key was refused, and the first one's bytes were read back")


def race(bench: Bench) -> Check:
    """Prove that of many who create one key at once, one wins."""
    for _ in range(bench.rounds):
        try:
            prove_in_a_race(bench.store, bench.racers)
        except NoExclusiveCreateError as error:
            return unfit(RACE, str(error))
    rounds = f"{bench.rounds} rounds" if bench.rounds > 1 else "1 round"
    return passed(RACE, f"{rounds} of {bench.racers} at once: each had one winner, whose bytes were read back")


@dataclass(frozen=True)
class _Case:
    """What is cut: *cuts* answers in a row, of a key that is *taken* by somebody else or not."""

    key: str
    cuts: int
    taken: bool
    said: str


_CASES = (
    _Case("lost/once", 1, False, "one answer cut"),
    _Case("lost/always", _CUTS_MAX, False, "every answer cut"),
    _Case("lost/taken", _CUTS_MAX, True, "every answer cut on a taken key"),
)


def lost_answer(bench: Bench) -> Check:
    """Prove that a creation whose acknowledgement was lost is told from a failed one by reading back."""
    core = bench.core
    if not isinstance(core, (S3Store, LeanStore)):
        return skipped(LOST, "there is no connection to cut: only S3 is reached by one that we can break")
    if not core.endpoint.startswith(("http://", "https://")):
        return skipped(LOST, f"the endpoint is not known ({core.endpoint}), so no proxy can stand before it")
    with CuttingProxy(core.endpoint) as proxy:
        through = bench.reopen(proxy.options(bench.storage_options))
        try:
            store = bench.place.through(through)
            try:
                store.list("nothing/")
            except UnavailableError as error:
                return skipped(LOST, f"the server cannot be reached through a proxy on this machine: {error}")
            said = []
            for case in _CASES:
                outcome = _lose(bench, store, proxy, case)
                if isinstance(outcome, Check):
                    return outcome
                said.append(f"{case.said}: {outcome}")
        finally:
            through.close()
    how = "through TLS" if core.endpoint.startswith("https://") else "between us and the server"
    return passed(LOST, f"answers were cut {how} after the server had given them: {'; '.join(said)}")


def _lose(bench: Bench, store: Store, proxy: CuttingProxy, case: _Case) -> str | Check:
    """Return what came of *case* in words, or the check that failed."""
    for attempt in range(_TRIES):
        key, body, foreign = f"{case.key}-{attempt}", secrets.token_bytes(_BODY_BYTES), secrets.token_bytes(32)
        if case.taken:
            bench.store.put(key, foreign)
        before = proxy.cuts
        proxy.arm(_BODY_BYTES, case.cuts)
        error = _put(store, key, body)
        proxy.disarm()
        found = _found(bench.store, key)
        if case.taken:
            return _as_other(key, error, is_theirs=found == foreign)
        if proxy.cuts > before and found is not None:
            return _as_ours(key, error, is_ours=found == body)
        # The server failed, or answered before it had everything: nothing was lost yet.
    return skipped(LOST, f"{case.said}: in {_TRIES} attempts nothing was created whose answer could be cut")


def _as_other(key: str, error: ConfstreamError | None, *, is_theirs: bool) -> str | Check:
    if not is_theirs:
        return unfit(LOST, f"{key} was another writer's, and was overwritten while the answer was cut")
    if error is None:
        return failed(LOST, f"{key} was another writer's, and yet its creation was confirmed")
    return f"the other's bytes stayed, {_words(error)}, read back as not ours"


def _as_ours(key: str, error: ConfstreamError | None, *, is_ours: bool) -> str | Check:
    if not is_ours:
        return failed(LOST, f"{key} holds neither nothing nor what was put", error=IntegrityError)
    if error is not None and not isinstance(error, _ANSWERS):
        return failed(LOST, f"{key} was created, and yet the client says for certain that it was not: {error}")
    return f"{_words(error)}, read back as ours"


def _put(store: Store, key: str, body: bytes) -> ConfstreamError | None:
    try:
        store.put(key, body)
    except ConfstreamError as error:
        return error
    return None


def _found(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectMissingError:
        return None


def _words(error: ConfstreamError | None) -> str:
    if error is None:
        return "the client repeated it and got through"
    return "the client heard 'exists'" if isinstance(error, ObjectExistsError) else "the client heard nothing"
