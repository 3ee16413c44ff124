"""The table of restores, cell by cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.restorer.decide import Replica, Standing, Step, decide

PRESENT = [Standing.EQUAL, Standing.OLDER, Standing.NEWER, Standing.UNKNOWN]

CELLS = [
    (Standing.EQUAL, Replica.REVISIONS, Step.PRESENT, Step.NOTHING),
    (Standing.OLDER, Replica.REVISIONS, Step.PRESENT, Step.REFUSE),
    (Standing.NEWER, Replica.REVISIONS, Step.PRESENT, Step.REFUSE),
    (Standing.UNKNOWN, Replica.REVISIONS, Step.PRESENT, Step.REFUSE),
    (Standing.MISSING, Replica.REVISIONS, Step.FILL, Step.FILL),
    (Standing.MISSING, Replica.ABSENT, Step.NO_REPLICA, Step.NO_REPLICA),
    (Standing.MISSING, Replica.UNREACHABLE, Step.UNAVAILABLE, Step.UNAVAILABLE),
    (Standing.GUTTED, Replica.REVISIONS, Step.FILL, Step.REFUSE),
    (Standing.GUTTED, Replica.ABSENT, Step.NO_REPLICA, Step.NO_REPLICA),
    (Standing.GUTTED, Replica.UNREACHABLE, Step.UNAVAILABLE, Step.UNAVAILABLE),
    *((Standing.UNFINISHED, replica, Step.FINISH, Step.FINISH) for replica in Replica),
    *((standing, Replica.UNREACHABLE, Step.PRESENT, Step.UNAVAILABLE) for standing in PRESENT),
    *((standing, Replica.ABSENT, Step.PRESENT, Step.NO_REPLICA) for standing in PRESENT),
]

standings, replicas = st.sampled_from(Standing), st.sampled_from(Replica)
flags = st.fixed_dictionaries(
    {name: st.booleans() for name in ("if_missing", "if_replica_exists", "force", "fast_forward")}
)


def test_every_cell_of_the_table_is_tried() -> None:
    assert {cell[:2] for cell in CELLS} == {(standing, replica) for standing in Standing for replica in Replica}


@pytest.mark.parametrize(("standing", "replica", "if_missing", "without"), CELLS)
def test_p1_the_table(standing: Standing, replica: Replica, if_missing: Step, without: Step) -> None:
    assert decide(standing, replica, if_missing=True) is if_missing
    assert decide(standing, replica) is without


@pytest.mark.parametrize("if_missing", [True, False])
def test_an_unmodified_older_tree_is_updated_by_fast_forward(if_missing: bool) -> None:
    step = decide(Standing.OLDER, Replica.REVISIONS, if_missing=if_missing, fast_forward=True)

    assert step is Step.UPDATE


@pytest.mark.parametrize("if_missing", [True, False])
@pytest.mark.parametrize("standing", [Standing.MISSING, Standing.GUTTED])
def test_no_replica_is_a_first_start_if_that_was_allowed(standing: Standing, if_missing: bool) -> None:
    step = decide(standing, Replica.ABSENT, if_missing=if_missing, if_replica_exists=True)

    assert step is Step.FIRST_START


@given(standings, replicas, flags)
def test_p1_only_force_replaces_and_only_fast_forward_updates(
    standing: Standing, replica: Replica, given_flags: dict[str, bool]
) -> None:
    step = decide(standing, replica, **given_flags)

    assert step is not Step.OVERWRITE or (
        given_flags["force"] and not (given_flags["if_missing"] and standing in PRESENT)
    )
    assert step is not Step.UPDATE or (given_flags["fast_forward"] and standing is Standing.OLDER)


@given(standings, replicas, flags)
def test_p2_a_present_tree_never_fails_a_start(
    standing: Standing, replica: Replica, given_flags: dict[str, bool]
) -> None:
    step = decide(standing, replica, **given_flags | {"if_missing": True})

    if standing in PRESENT:
        assert step in {Step.PRESENT, Step.UPDATE}


@given(standings, flags)
def test_a_missing_tree_never_starts_empty_because_the_storage_is_silent(
    standing: Standing, given_flags: dict[str, bool]
) -> None:
    step = decide(standing, Replica.UNREACHABLE, **given_flags)

    if standing in {Standing.MISSING, Standing.GUTTED}:
        assert step is Step.UNAVAILABLE


@given(standings, replicas, flags)
def test_p3_what_is_unfinished_is_finished_first(
    standing: Standing, replica: Replica, given_flags: dict[str, bool]
) -> None:
    step = decide(standing, replica, **given_flags)

    assert (step is Step.FINISH) == (standing is Standing.UNFINISHED)
