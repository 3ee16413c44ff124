"""For how long a journal knows of packs: time that passed, over restarts of the process and of the machine."""

import json
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.journal.grace import Grace
from confstream.journal.ledger import Ledger
from confstream.testing import ManualClock

HOUR = 3600.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger.open(tmp_path / "state", clock=ManualClock(), new_id=bytes, owner=None)
    ledger.attach("one")
    return ledger


def ask(grace: Grace, first: int = 1, last: int = 10) -> float:
    with grace.looking() as known_seconds:
        return known_seconds(first, last)


def test_p5_a_pack_is_known_for_as_long_as_time_passed_since_it_was_first_asked_for(ledger: Ledger) -> None:
    clock = ManualClock()
    grace = Grace(ledger, clock)

    assert ask(grace) == 0
    clock.advance(HOUR)
    clock.jump(400 * HOUR)
    assert ask(grace) == HOUR


def test_p5_a_pack_that_is_made_while_packing_takes_long_is_known_from_then_on(ledger: Ledger) -> None:
    clock = ManualClock()
    grace = Grace(ledger, clock)

    with grace.looking() as known_seconds:
        clock.advance(HOUR)
        assert known_seconds(1, 10) == 0
    clock.advance(1)

    assert ask(grace) == 1


def test_a_pack_that_nobody_asked_for_is_known_no_more(ledger: Ledger) -> None:
    clock = ManualClock()
    grace = Grace(ledger, clock)
    ask(grace)
    clock.advance(HOUR)
    ask(grace, 11, 20)

    assert ask(grace) == 0


def test_p5_a_pack_of_another_replica_is_another_pack(ledger: Ledger) -> None:
    clock = ManualClock()
    ask(Grace(ledger, clock))
    clock.advance(HOUR)
    ledger.attach("two")

    assert ask(Grace(ledger, clock)) == 0


def test_a_process_goes_on_counting_where_the_one_before_began(ledger: Ledger) -> None:
    clock = ManualClock()
    ask(Grace(ledger, clock))
    clock.advance(HOUR)

    assert ask(Grace(ledger, clock)) == HOUR


def test_p5_on_a_machine_that_was_started_anew_only_noted_time_counts(ledger: Ledger) -> None:
    before, after = ManualClock(), ManualClock()
    after.advance(1000 * HOUR)
    grace = Grace(ledger, before)
    ask(grace)
    before.advance(HOUR)
    grace.turn()
    before.advance(1)
    grace.turn()

    grace = Grace(ledger, after)
    assert ask(grace) == HOUR
    after.advance(HOUR)
    assert ask(grace) == 2 * HOUR
    assert ask(Grace(ledger, after)) == 2 * HOUR


def test_p5_where_nothing_names_the_start_of_the_machine_each_process_is_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(ManualClock, "boot", lambda _: "")
    ask(Grace(ledger, clock))
    clock.advance(HOUR)

    assert ask(Grace(ledger, clock)) == 0


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", json.dumps(["b", 1, "2", "one", {}]), json.dumps(["b", 1, 2, "one", 3])]
)
def test_p5_p6_a_note_that_cannot_be_understood_is_counted_anew(ledger: Ledger, note: str) -> None:
    ledger.note("grace", note)

    assert ask(Grace(ledger, ManualClock())) == 0


def test_nothing_is_noted_where_nothing_waits(ledger: Ledger) -> None:
    clock = ManualClock()
    grace = Grace(ledger, clock)
    clock.advance(HOUR)
    grace.turn()
    with grace.looking():
        pass

    assert "grace" not in ledger.notes


def test_a_start_of_this_machine_has_one_name() -> None:
    assert SystemClock().boot() == SystemClock().boot()
