"""Inputs that repeat one piece without end, and those that Hypothesis makes: linear time, and promised errors only."""

import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.torture.fuzz_opened import joined
from tests.torture.fuzz_worker import load

TARGETS = load()
_PIECES = (
    b"[", b"{", b"a: ", b"- ", b"<a>", b"(", b"&a ", b"? ", b"'", b'"', b"*", b"**/", b'{"a":', b"\n", b" ", b"://",
    b"@", b"://a:", b"password: ", b"a=b&", b"\\", b"${A}", b"#", b"<!--", b"-----BEGIN ", b"1", b"0", b"[a]\n",
    b"a:\n ", b"|\n", b"key: [", b"Bearer ", b"--token ", b"=", b",", b"\xff", b"\x1b[", b"1h", b"log/",
    b"&amp;", b"\r",
)  # fmt: skip
_PUMPED = ("settings", "options", "urls", "moments", "keys", "documents", "masking", "changes", "answers", "profiles")
_SUFFIXES = 8
_SLOW = {"replica", "replica_history", "replica_verify", "marker", "journal"}


def _inputs(name: str, piece: bytes, size: int) -> list[bytes]:
    body = (piece * (size // len(piece) + 1))[:size]
    if name == "documents":
        return [bytes([suffix]) + body for suffix in range(_SUFFIXES)]
    if name == "changes":
        return [bytes([suffix]) + joined(body[: size // 2], b"x" + body[size // 2 :]) for suffix in (0, 1, 3, 5)]
    return [body]


def _cpu_seconds(name: str, piece: bytes, size: int) -> float:
    inputs = _inputs(name, piece, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for each in inputs:
        TARGETS[name].run(each)
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before


@pytest.mark.parametrize("name", _PUMPED)
def test_p14_four_times_the_input_takes_no_more_than_ten_times_as_long(
    request: pytest.FixtureRequest, name: str
) -> None:
    size = 64_000 if request.config.getoption("--complete") else 6_000
    for piece in _PIECES:
        once = _cpu_seconds(name, piece, size)

        several = _cpu_seconds(name, piece, 4 * size)

        # What takes time in the square of the size takes sixteen times as long; below a tenth of a second nobody waits.
        assert several < 10 * once + 0.1, f"{piece!r}: {once:.2f} s for {size} bytes, {several:.2f} s for {4 * size}"


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - _SLOW))
def test_p9_whatever_hypothesis_makes_of_a_seed_raises_nothing_but_what_is_promised(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(seeds), st.randoms(use_true_random=False), st.binary(max_size=40))
    def law(seed: bytes, rng: object, piece: bytes) -> None:
        where = rng.randrange(len(seed) + 1)  # type: ignore[attr-defined]
        target.attempt(target.mutate(seed, rng, lambda old: old[:where] + piece + old[where:]))  # type: ignore[arg-type]

    law()
