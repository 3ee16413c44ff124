"""The clock of who must not take a jump of the wall clock for time that passed."""

import pytest

from confstream.clock import CautiousClock
from confstream.testing import ManualClock

HOUR = 3600.0
DAY = 24 * HOUR


def test_a_clock_that_does_not_jump_is_believed() -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)

    for _ in range(100):
        clock.advance(HOUR + 0.001)
        assert cautious.now_ns() == clock.now_ns()
    assert cautious.elapsed_seconds() == clock.elapsed_seconds()


@pytest.mark.parametrize("hours_before", [0, 1, 23, 24, 25, 47, 49])
def test_p5_a_jump_ahead_is_believed_once_the_window_has_passed_since_and_not_before(hours_before: int) -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)
    for _ in range(hours_before):
        clock.advance(HOUR)
        assert cautious.now_ns() == clock.now_ns()

    clock.jump(400 * DAY)
    for _ in range(24):
        assert cautious.now_ns() == clock.now_ns() - round(400 * DAY * 1e9)
        clock.advance(HOUR - 1)
    for _ in range(26):
        cautious.now_ns()
        clock.advance(HOUR)

    assert cautious.now_ns() == clock.now_ns()


def test_p5_a_jump_in_a_long_time_in_which_nobody_asked_is_not_believed_either() -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)
    cautious.now_ns()
    clock.advance(100 * DAY)
    clock.jump(400 * DAY)

    assert cautious.now_ns() == clock.now_ns() - round(400 * DAY * 1e9)
    clock.advance(DAY - 1)
    assert cautious.now_ns() == clock.now_ns() - round(400 * DAY * 1e9)


def test_a_jump_back_is_believed_at_once() -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)

    clock.jump(-HOUR)

    assert cautious.now_ns() == clock.now_ns()


def test_p5_a_clock_that_is_ahead_from_the_start_is_believed_once_the_window_has_passed() -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)
    seen_ns = clock.now_ns()
    clock.jump(400 * DAY)

    cautious.witnessed(seen_ns)
    clock.advance(DAY - 1)
    assert cautious.now_ns() == clock.now_ns() - round(400 * DAY * 1e9)
    # What this very writer left since is no other witness.
    cautious.witnessed(clock.now_ns())
    clock.advance(2)
    cautious.now_ns()
    clock.advance(DAY)

    assert cautious.now_ns() == clock.now_ns()


def test_without_a_witness_the_clock_is_believed_as_it_is() -> None:
    clock = ManualClock()
    cautious = CautiousClock(clock, DAY)

    cautious.witnessed(0)

    assert cautious.now_ns() == clock.now_ns()
