"""The protocol, explored: as it is, it loses nothing; without any one of its rules, it is found out.

``--complete`` explores further.
"""

from dataclasses import fields, replace

import pytest

from tests.torture.protocol import Bounds, Explorer, Finding, Protocol, Rules, State, Step, explore

AS_IT_IS = Rules()

QUICK = {
    "a packer and a sleep": Bounds(),
    "a packer, a sleep and a reader": Bounds(reader=True, unknowns=0),
    "a crash": Bounds(crashes=1, sleeps=0),
    "three drafts and heartbeats": Bounds((2, 1), beats=True, sleeps=0),
    "three drafts and a crash": Bounds((2, 1), crashes=1, beats=True, sleeps=0, unknowns=0),
    "four drafts": Bounds((2, 2), sleeps=0),
}
COMPLETE = {
    "a reader while outcomes are unknown": Bounds(reader=True),
    "a crash and a sleep": Bounds(crashes=1),
    "a crash, a sleep, two unknown outcomes": Bounds(crashes=1, unknowns=2),
    "three drafts and a sleep": Bounds((2, 1)),
}

SEARCHED = Bounds()
FENCED = Bounds(beats=True, crashes=1, unknowns=0, sleeps=0)
"""Heartbeats let a writer begin in an epoch above another's before it published anything."""

WITHOUT = {
    "exclusive_create": (Bounds(sleeps=0), "what readers believed changed"),
    "fence": (Bounds((2, 1), sleeps=0), "wrote after"),
    "raise_equal_epoch": (SEARCHED, "wrote after"),
    "hold_slot": (SEARCHED, "the chain breaks"),
    "resolve_unknown": (SEARCHED, "was acknowledged and is not in the log"),
    "same_bytes": (SEARCHED, "a draft was published twice"),
    "look_after_restart": (Bounds(crashes=1), "a draft was published twice"),
    "relist_when_created": (SEARCHED, "was acknowledged and is not in the log"),
    "relist_when_taken": (SEARCHED, "was acknowledged and is not in the log"),
    "keep_fork": (FENCED, "is in neither log nor fork"),
    "complete_fork": (FENCED, "is in neither log nor fork"),
    "pack_before_delete": (SEARCHED, "what readers believed changed"),
    "snapshot_before_delete": (SEARCHED, "before the snapshot"),
    "grace_period": (SEARCHED, "was acknowledged and is not in the log"),
    "trust_packs": (SEARCHED, "what readers believed changed"),
    "quick_reader": (Bounds(reader=True, unknowns=0), "a reader was given"),
    "count_what_passed": (SEARCHED, "was acknowledged and is not in the log"),
    "age_from_storing": (Bounds(reader=True, unknowns=0), "a reader was given"),
}

SPARE = frozenset({"relist_before_put"})
"""Rules that only save work: what they prevent is put right by another one."""


@pytest.mark.parametrize("bounds", QUICK.values(), ids=QUICK)
def test_p4_p5_whatever_the_network_does_nothing_is_lost_and_no_history_is_a_dead_end(bounds: Bounds) -> None:
    _explore_all(bounds)


@pytest.mark.parametrize("bounds", COMPLETE.values(), ids=COMPLETE)
def test_p4_p5_nothing_is_lost_in_longer_histories_either(bounds: Bounds, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--complete"):
        pytest.skip("only explored with --complete")
    _explore_all(bounds)


@pytest.mark.parametrize("rule", WITHOUT)
def test_a_protocol_without_one_of_its_rules_is_found_out(rule: str) -> None:
    bounds, expected = WITHOUT[rule]

    found = explore(replace(AS_IT_IS, **{rule: False}), bounds)

    print(f"without {rule}: {found}")  # noqa: T201 - the counterexample is what a reader wants to see.
    assert expected in found.wrong, found
    assert 0 < len(found.trace) <= 16


def test_a_rule_that_is_no_rule_for_safety_is_known_to_be_one() -> None:
    assert {one.name for one in fields(Rules)} == {*WITHOUT} | SPARE
    for rule in SPARE:
        assert not explore(replace(AS_IT_IS, **{rule: False}), SEARCHED).wrong


def test_a_counterexample_can_be_read() -> None:
    found = explore(replace(AS_IT_IS, resolve_unknown=False), SEARCHED)

    assert str(found).splitlines() == [
        "violated: 1(A1 epoch 1) was acknowledged and is not in the log",
        "  1. A start: epoch 1 after nothing",
        "  2. A publish: PUT 1(A1 epoch 1)",
        "  3. A PUT fails: 1(A1 epoch 1) never arrived",
        "  4. A success assumed: reports 1(A1 epoch 1) as published",
    ]


def test_a_history_that_leads_nowhere_is_found() -> None:
    class Deaf(Protocol):
        """Fenced writers never keep what they had."""

        def _publish_fork(self, state: State, who: int) -> Step:
            return self._to("waits", state, who, state.writers[who])

    explorer = Explorer(Deaf(AS_IT_IS, FENCED))

    assert not explorer.explore().wrong
    stuck = explorer.stuck()
    assert stuck is not None
    assert "fenced" in {writer.phase for writer in stuck.writers}


def _explore_all(bounds: Bounds) -> None:
    explorer = Explorer(Protocol(AS_IT_IS, bounds))

    found = explorer.explore()

    assert found == Finding(found.states), found
    assert found.states > 500
    stuck = explorer.stuck()
    assert stuck is None, explorer.way_to(stuck)
