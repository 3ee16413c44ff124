"""A replica that is away for a day, with edits all the time: nothing grows without bound, and everything arrives.

An edit every four minutes, with ``--complete`` every minute.
"""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.journal.journal import Journal
from confstream.journal.phase import UplinkSettings
from confstream.testing import ManualClock, fail_on
from tests.journals import FOREVER, Open, Replica, files_of, opener, outage
from tests.servers import wait_until

_DAY_SECONDS = 86_400
_MIB = 1 << 20


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, replica: Replica) -> Open:
    return opener(monkeypatch, replica)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


@pytest.fixture
def edits(amount: Callable[[int, int], int]) -> int:
    """Give how often the file is edited on that day."""
    return amount(24 * 60, 24 * 15)


def _config(number: int, size: int = 6_000) -> bytes:
    """Return a configuration of *size* bytes of which one line differs from one *number* to the next."""
    line = b"  - service: light.turn_on\n"
    return b"edit: %d\n" % number + line * (size // len(line))


def _spool_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / ".confstream").iterdir() if path.is_file())


def test_p14_after_a_day_of_outage_with_edits_all_the_time_every_state_arrives_in_order(
    root: Path, replica: Replica, start: Open, edits: int
) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock) as journal:
        replica.plan += outage()
        tracemalloc.start()
        try:
            _edit_for_a_day(journal, clock, edits)
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        waiting = journal.status()
        assert waiting.pending == edits
        assert waiting.lag_seconds == pytest.approx(_DAY_SECONDS, abs=3600)
        assert waiting.merged == 0
        assert taken < 24 * _MIB * max(0.5, edits / 1440), "contents that wait are on the disk, not in memory"
        # Each state is kept: a day of a 6 KB file.
        assert _spool_bytes(root) < edits * 7_000
        replica.plan.clear()
        _catch_up(journal, clock)

    assert replica.head == edits
    found = [made.changes[0].entry for made in replica.revisions()]
    assert [entry.size for entry in found if entry] == [len(_config(number)) for number in range(edits)]
    assert replica.files(1)["configuration.yaml"] == _config(0)
    assert replica.files(edits // 2)["configuration.yaml"] == _config(edits // 2 - 1)
    assert replica.files() == files_of(root)
    assert _spool_bytes(root) < _MIB, "what is on the replica is not kept a second time"


def test_p14_past_its_bound_the_spool_keeps_the_newest_states_in_order_and_counts_the_others(
    root: Path, replica: Replica, start: Open, edits: int, caplog: pytest.LogCaptureFixture
) -> None:
    bound, clock = edits * 1456, ManualClock(auto=False)
    settings = UplinkSettings(heartbeat_seconds=0, spool_bytes_max=bound)
    largest = 0
    with start(root, clock=clock, settings=settings) as journal:
        replica.plan += outage()
        for number in range(edits):
            journal.write("configuration.yaml", _config(number))
            largest = max(largest, journal.status().pending_bytes)
            clock.advance(_DAY_SECONDS / edits)
        waiting = journal.status()
        assert largest < bound * 1.05
        assert _spool_bytes(root) < 2 * bound + 8 * _MIB
        counted = journal.meter.read().count("coalesced_revisions_total")
        assert waiting.merged == counted == edits - waiting.pending
        assert "the newest state is kept" in caplog.text
        replica.plan.clear()
        _catch_up(journal, clock)

    states = [replica.files(number)["configuration.yaml"] for number in range(1, replica.head + 1)]
    numbers = [int(state.split(b"\n", 1)[0].removeprefix(b"edit: ")) for state in states]
    assert numbers == sorted(set(numbers))
    assert numbers[-16:] == list(range(edits - 16, edits)), "the newest ones are all there"
    times = [made.time_ns for made in replica.revisions()]
    assert times == sorted(times)


def test_p14_a_tree_larger_than_the_bound_is_kept_and_not_written_anew_for_every_edit(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    settings = UplinkSettings(heartbeat_seconds=0, spool_bytes_max=100_000)
    clock = ManualClock(auto=False)
    with start(root, clock=clock, settings=settings) as journal:
        replica.plan += outage()
        journal.write("large", bytes(range(256)) * 1000)
        for number in range(100):
            journal.write("small", str(number))
        assert caplog.text.count("the newest state is kept") <= 1
        assert journal.status().pending > 50
        replica.plan.clear()
        _catch_up(journal, clock)

    assert replica.files() == files_of(root)


def test_p14_what_the_replica_holds_makes_neither_journal_nor_start_any_larger(root: Path, start: Open) -> None:
    clock = SystemClock()

    def run(first: int, count: int) -> tuple[int, float]:
        with start(root) as journal:
            for number in range(first, first + count):
                journal.write("configuration.yaml", _config(number, 30_000))
                if number % 20 == 0:
                    journal.sync(60)
            journal.sync(60)
            grown = _spool_bytes(root)
        began = clock.elapsed_seconds()
        start(root).close()
        return grown, clock.elapsed_seconds() - began

    few, _ = run(0, 40)
    many, start_seconds = run(40, 350)

    assert few < 10 * _MIB
    assert many < 10 * _MIB, "a log that is mostly dead is written anew from 8 MiB on"
    assert _spool_bytes(root) < 100_000
    assert start_seconds < 20


def test_p4_a_journal_that_ends_during_an_outage_goes_on_with_the_next_start(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.plan.append(fail_on("put", prefix="log/", times=FOREVER))
    for number in range(0, 60, 20):
        journal = start(root, clock=ManualClock(auto=False))
        for each in range(number, number + 20):
            journal.write("a", str(each))
        journal.abort()
    replica.plan.clear()

    start(root).close()

    assert [replica.files(number)["a"] for number in range(1, 61)] == [str(number).encode() for number in range(60)]


def _edit_for_a_day(journal: Journal, clock: ManualClock, edits: int) -> None:
    for number in range(edits):
        journal.write("configuration.yaml", _config(number))
        clock.advance(_DAY_SECONDS / edits)


def _catch_up(journal: Journal, clock: ManualClock) -> None:
    def is_done() -> bool:
        clock.advance(1)
        return journal.status().pending == 0

    wait_until(is_done, 120, "everything on the replica")
