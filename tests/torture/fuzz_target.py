"""What is fuzzed: a function that may be given any bytes, inputs to begin with, and what an answer may cost.

A target raises only where something is wrong. What the API promises to raise
it catches itself, and it asks of every answer that it can be used.
"""

import concurrent.futures
import contextlib
import os
import random
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.torture.fuzz_opened import mutated

_COST_BYTES_MAX = 4 << 20
_COST_FACTOR_MAX = 128


@dataclass(frozen=True)
class Target:
    """One way in. *seeds* gives valid inputs; with *by_fields* they are opened objects; *size_max* bounds an input.

    *announced* is how many bytes an input has once it is decompressed: what a reader knows to cap before it allocates.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    run: Callable[[bytes], None]
    by_fields: bool = False
    size_max: int = 1 << 14
    announced: Callable[[bytes], int] = len

    def attempt(self, given: bytes, *, weigh: bool = False) -> None:
        """Run it on *given*; with *weigh*, fail if it takes more memory than a small multiple of that."""
        if not weigh:
            self.run(given)
            return
        tracemalloc.start()
        try:
            self.run(given)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        allowed = _COST_BYTES_MAX + _COST_FACTOR_MAX * self.announced(given)
        if peak > allowed:
            raise AssertionError(f"{len(given)} bytes took {peak} bytes of memory, allowed are {allowed}")

    def mutate(self, given: bytes, rng: random.Random, by_bytes: Callable[[bytes], bytes]) -> bytes:
        """Return another input like *given*."""
        return (mutated(given, rng, by_bytes) if self.by_fields else by_bytes(given))[: self.size_max]


def in_memory() -> str | None:
    """Return where temporary files cost no disk; None for where they are anyway, or where somebody said."""
    shared = "/dev/shm"  # noqa: S108 - a directory of its own is made there.
    return shared if tempfile.tempdir is None and os.access(shared, os.W_OK) else None


class _AtOnce(Executor):
    """Does what it is given before it returns."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for.
            future.set_exception(error)
        return future


@contextlib.contextmanager
def without_threads() -> Iterator[None]:
    """Have what the product's pools do done at once: to start threads takes longer than most of what is asked."""
    places = [concurrent.futures, *(sys.modules[name] for name in sys.modules if name.startswith("confstream."))]
    saved = [(place, vars(place)["ThreadPoolExecutor"]) for place in places if "ThreadPoolExecutor" in vars(place)]
    # Some import it where they need it.
    saved.append((concurrent.futures, concurrent.futures.ThreadPoolExecutor))
    try:
        for place, _ in saved:
            setattr(place, "ThreadPoolExecutor", _AtOnce)  # noqa: B010 - no module says that it has one.
        yield
    finally:
        for place, pool in reversed(saved):
            setattr(place, "ThreadPoolExecutor", pool)  # noqa: B010 - likewise.


@dataclass(frozen=True)
class Failure:
    """An input on which *target* raised what it must not, and what that was."""

    target: str
    given: bytes
    raised: str

    def __str__(self) -> str:
        return f"{self.target}: {self.raised} on {self.given[:200]!r}{'…' if len(self.given) > 200 else ''}"


@without_threads()
def first_failure(targets: Mapping[str, Target], seed: int, runs: int) -> Failure | None:
    """Return the first failure in *runs* inputs for each of *targets*, led by nothing but *seed*; None if all is well.

    In this process and without any compiled part: what somebody replaced in a
    module is what is tried, and the same seed tries the same inputs.
    """
    for name, target in sorted(targets.items()):
        rng = random.Random(f"{seed} {name}")  # noqa: S311 - inputs, not secrets.
        pool = [*target.seeds()]
        for turn in range(runs):
            given = pool[turn] if turn < len(pool) else target.mutate(rng.choice(pool), rng, partial(_bytes, rng))
            try:
                target.attempt(given, weigh=turn % 16 == 0)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding.
                return Failure(name, given, f"{type(error).__name__}: {error}"[:500])
            if turn >= len(pool) and rng.randrange(4) == 0:
                # Some go on from what came out of others, so that damage adds up.
                pool[rng.randrange(len(pool))] = given
            if turn % 64 == 63:
                pool = [*target.seeds()]
    return None


def _bytes(rng: random.Random, given: bytes) -> bytes:
    made = bytearray(given)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(6):
            case 0:
                del made[at : at + rng.randint(1, 8)]
            case 1:
                made[at:at] = rng.randbytes(rng.randint(1, 8))
            case 2:
                start = rng.randrange(len(made) + 1)
                made[at:at] = made[start : start + rng.randint(1, 40)]
            case 3:
                made[at:at] = rng.choice(
                    (b"\0", b"\n", b"\x1b[", b"://", b"@", b"..", b"${", b"\xff", b"'", b'"', b"[")
                )
            case 4 if made:
                made[at % len(made)] ^= 1 << rng.randrange(8)
            case _:
                made[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(made)
