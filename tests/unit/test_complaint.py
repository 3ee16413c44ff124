"""What is wrong is said at once, again while it lasts, and once when it is over; never all the time."""

import logging

import pytest

from confstream.complaint import REPEAT_SECONDS, Complaint
from confstream.testing import ManualClock

_LOGGER = logging.getLogger("confstream.test")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def complaint(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> Complaint:
    caplog.set_level(logging.INFO, "confstream")
    return Complaint(_LOGGER, clock)


def test_p7_a_problem_is_said_at_once_again_after_five_minutes_and_once_when_it_is_over(
    complaint: Complaint, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3600):
        complaint.say("the disk is full, 17 wait")
        clock.advance(1)
    complaint.over("recovered")
    complaint.over("recovered")

    assert [record.getMessage() for record in caplog.records] == ["the disk is full, 17 wait"] * 12 + ["recovered"]
    assert complaint.lasts_seconds is None


def test_p7_another_problem_is_said_at_once_and_other_numbers_are_no_other_problem(
    complaint: Complaint, caplog: pytest.LogCaptureFixture
) -> None:
    complaint.say("no answer, 1 wait")
    complaint.say("no answer, 2 wait")
    complaint.say("access denied, 2 wait")

    assert [record.getMessage() for record in caplog.records] == ["no answer, 1 wait", "access denied, 2 wait"]


def test_p7_two_problems_that_take_turns_are_said_once_each(
    complaint: Complaint, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(140):
        complaint.say("refused")
        complaint.say("timed out")
        clock.advance(1)

    assert len(caplog.records) == 2


def test_p7_one_that_comes_and_goes_is_no_flood(
    complaint: Complaint, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3600):
        complaint.say("refused")
        complaint.over("recovered")
        clock.advance(1)

    hours_of_twelve_times_three = 12 * 3 * 2
    assert len(caplog.records) == hours_of_twelve_times_three


def test_p7_the_time_that_counts_is_the_time_that_passed(
    complaint: Complaint, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    complaint.say("refused")
    for jump_seconds in (-3600, 86_400):
        clock.jump(jump_seconds)
        complaint.say("refused")
    clock.advance(REPEAT_SECONDS)
    complaint.say("refused")

    assert len(caplog.records) == 2
    assert complaint.lasts_seconds == REPEAT_SECONDS
