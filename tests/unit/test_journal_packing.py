"""What a writer packs, and when it deletes what the packs cover: only time that passed lets it."""

import random
import threading
from pathlib import Path

import pytest

from confstream.compactor import TAIL
from confstream.journal.journal import Journal
from confstream.journal.packer import REST_SECONDS
from confstream.journal.phase import UplinkSettings
from confstream.layout import pack_key, snapshot_key
from confstream.log.publisher import GRACE_SECONDS
from confstream.testing import ManualClock
from tests.journals import PATIENCE_SECONDS, Open, Replica, eventually, sleeping

SETTINGS = UplinkSettings(heartbeat_seconds=300, pack_size=20, snapshot_every=1000)
ROUND = 90
"""How many revisions make the next packs: a pack, and the tail that is never packed."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto=False)


def grow(journal: Journal, replica: Replica, clock: ManualClock) -> None:
    """Publish revisions until the packer has run once more, and is done."""
    packs = _keys(replica, "pack/")
    for _ in range(ROUND):
        journal.write("a", str(replica.head))
        journal.sync(PATIENCE_SECONDS)
    eventually(lambda: _keys(replica, "pack/") > packs, "more packs")
    eventually(sleeping(clock), "the uplink to rest")
    # It works beside the uplink, and deletes after all that is packed is stored.
    eventually(lambda: not _is_packing(), "the packer to end")


def test_p5_the_clock_of_a_running_writer_that_jumped_ahead_was_its_own_witness_and_packed_objects_went_early(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
        packed = _packed(replica)
        assert packed

        clock.jump(2 * GRACE_SECONDS)
        clock.advance(301)
        grow(journal, replica, clock)

        assert packed <= _keys(replica, "log/")


def test_p5_the_clock_of_a_writer_that_was_ahead_when_it_started_was_its_own_witness(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
    packed = _packed(replica)

    clock.jump(2 * GRACE_SECONDS)
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)

    assert packed <= _keys(replica, "log/")


def test_p5_the_clock_of_a_writer_that_jumped_before_a_crash_was_its_own_witness_after_it(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    journal = start(root, clock=clock, settings=SETTINGS)
    grow(journal, replica, clock)
    packed = _packed(replica)
    clock.jump(2 * GRACE_SECONDS)
    clock.advance(301)
    journal.write("a", "after the jump")
    journal.sync(PATIENCE_SECONDS)
    eventually(lambda: replica.beats()[0].time_ns == clock.now_ns(), "a heartbeat after the jump")
    journal.abort()

    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)

    assert packed <= _keys(replica, "log/")


def test_p5_a_new_journal_took_the_times_of_a_clock_that_had_jumped_for_a_witness(
    root: Path, tmp_path: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
        packed = _packed(replica)
        clock.jump(2 * GRACE_SECONDS)
        journal.write("a", "after the jump")

    with start(root, state_dir=tmp_path / "another", clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)

    assert packed <= _keys(replica, "log/")


def test_p11_a_restart_goes_on_counting_the_grace_period_and_so_does_the_time_in_between(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
    packed = _packed(replica)

    clock.advance(GRACE_SECONDS + 1)
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)

    assert not packed & _keys(replica, "log/")


def test_p11_what_packs_cover_goes_after_the_grace_period_and_one_jump_only_puts_that_off(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
        packed = _packed(replica)
        clock.jump(2 * GRACE_SECONDS)

        def are_gone() -> bool:
            clock.advance(1800)
            return not packed & _keys(replica, "log/")

        eventually(are_gone, "what was packed to go")
        assert clock.elapsed_seconds() > GRACE_SECONDS


def test_p11_what_was_packed_in_steps_is_one_pack_once_revisions_rest_and_a_day_later_all_that_is_left(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    settings = UplinkSettings(heartbeat_seconds=300, pack_size=200, snapshot_every=1000)
    with start(root, clock=clock, settings=settings) as journal:
        for _ in range(3):
            for _ in range(250 if not replica.head else 200):
                journal.write("a", str(replica.head))
                journal.sync(PATIENCE_SECONDS)
            _at_rest(clock)
        steps = _keys(replica, "pack/")
        assert steps == {pack_key(1, 200), pack_key(201, 400), pack_key(401, 600)}

    before = {number: replica.files(number) for number in (1, 200, 201, 399, 600, 650)}
    merged = UplinkSettings(heartbeat_seconds=300, pack_size=1000, snapshot_every=1000)
    with start(root, clock=clock, settings=merged) as journal:
        journal.write("a", "once more")
        journal.sync(PATIENCE_SECONDS)
        clock.advance(REST_SECONDS - 1)
        _at_rest(clock)
        assert _keys(replica, "pack/") == steps

        clock.advance(2)
        eventually(lambda: _keys(replica, "pack/") == {*steps, pack_key(1, 601)}, "one pack")
        _at_rest(clock)

        def is_all_that_is_left() -> bool:
            clock.advance(600)
            return _keys(replica, "pack/") == {pack_key(1, 601)} and len(_keys(replica, "log/")) == TAIL

        eventually(is_all_that_is_left, "its parts to go")
        assert clock.elapsed_seconds() > GRACE_SECONDS
    assert {number: replica.files(number) for number in before} == before
    replica.verify()


def test_p11_what_a_pack_covers_went_never_if_the_writer_was_restarted_before_the_grace_period_was_over(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    with start(root, clock=clock, settings=SETTINGS) as journal:
        grow(journal, replica, clock)
    packed = _packed(replica)

    with start(root, clock=clock, settings=SETTINGS):

        def are_gone() -> bool:
            clock.advance(1800)
            return not packed & _keys(replica, "log/")

        eventually(are_gone, "what was packed to go")
    assert clock.elapsed_seconds() > GRACE_SECONDS


def test_p11_a_snapshot_waits_while_it_is_larger_than_what_came_since_the_last_one_but_not_for_long(
    root: Path, replica: Replica, start: Open, clock: ManualClock
) -> None:
    settings = UplinkSettings(heartbeat_seconds=0, snapshot_every=5)
    (root / "large").write_bytes(random.Random(5).randbytes(200_000))  # noqa: S311 - what does not compress.
    with start(root, clock=clock, settings=settings) as journal:
        journal.sync(PATIENCE_SECONDS)
        for number in range(24):
            if number == 18:
                journal.write("large", random.Random(6).randbytes(250_000))  # noqa: S311
                journal.sync(PATIENCE_SECONDS)
                _at_rest(clock)
            journal.write("small", str(number))
            journal.sync(PATIENCE_SECONDS)
            _at_rest(clock)

    assert _keys(replica, "snapshot/") == {snapshot_key(number) for number in (5, 15, 20)}


def _at_rest(clock: ManualClock) -> None:
    eventually(lambda: clock.sleepers > 0 and not _is_packing(), "the uplink to rest")


def _keys(replica: Replica, prefix: str) -> set[str]:
    return {key for key in replica.memory.objects if key.startswith(prefix)}


def _packed(replica: Replica) -> set[str]:
    """Return the keys of the revisions that a pack has."""
    last = max(int(key.partition("-")[2]) for key in _keys(replica, "pack/"))
    return {key for key in _keys(replica, "log/") if int(key.removeprefix("log/")) <= last}


def _is_packing() -> bool:
    return any(thread.name == "confstream-pack" for thread in threading.enumerate())
