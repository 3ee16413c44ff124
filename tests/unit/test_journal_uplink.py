"""The thread between journal and replica: outages, other writers, heartbeats, and what an idle one costs."""

import logging
import threading
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.errors import (
    AccessDeniedError,
    IntegrityError,
    NoExclusiveCreateError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.journal.journal import Journal
from confstream.journal.ledger import Ledger
from confstream.journal.outage import PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX
from confstream.journal.phase import Phase, UplinkSettings
from confstream.journal.uplink import TURN_SECONDS_MAX
from confstream.observe.health import asleep
from confstream.revision import Position
from confstream.testing import FaultyStore, ManualClock, MemoryStore, delay_put, fail_on
from tests.journals import (
    FOREVER,
    PATIENCE_SECONDS,
    Open,
    QuickClock,
    Replica,
    eventually,
    files_of,
    opener,
    outage,
    sleeping,
)

_CLOCK = SystemClock()


class LastingConnections(Replica):
    """A replica of which each connection fails in its own way until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: list[FaultyStore] = []

    def store(self) -> FaultyStore:
        self.connections.append(FaultyStore(self.memory))
        return self.connections[-1]


def test_p4_an_outage_loses_nothing_and_every_state_is_published_in_order(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")
    with start(root, clock=QuickClock()) as journal:
        journal.write("a", "0")
        journal.sync(PATIENCE_SECONDS)
        replica.plan += outage()
        for number in range(1, 20):
            journal.write("a", str(number))
        with pytest.raises(UnavailableError, match=r"19 revision\(s\) are not on the replica.*safe in the journal"):
            journal.sync(0.2)
        assert journal.status().pending == 19
        assert journal.status().lag_seconds > 0
        assert journal.status().error
        replica.plan.clear()
        journal.sync(PATIENCE_SECONDS)
        assert (journal.status().pending, journal.status().error, journal.status().lag_seconds) == (0, "", 0)

    assert [replica.files(number)["a"] for number in range(1, 21)] == [str(number).encode() for number in range(20)]
    assert caplog.text.count("does not take revisions") == 1
    assert caplog.text.count("recovered: the replica answers again") == 1


def test_p4_a_journal_opens_and_writes_while_the_replica_is_away_from_the_start(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.plan += outage()
    with start(root, clock=QuickClock()) as journal:
        journal.write("a", "1")
        assert journal.status().phase is Phase.CONNECTING
        replica.plan.clear()
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"1"}


def test_p4_lost_acknowledgements_make_no_revision_twice(root: Path, replica: Replica, start: Open) -> None:
    replica.plan.append(fail_on("put", prefix="log/", after_apply=True, times=5))
    with start(root, clock=QuickClock()) as journal:
        for number in range(5):
            journal.write("a", str(number))
        journal.sync(PATIENCE_SECONDS)

    assert [made.changes[0].entry and made.changes[0].entry.size for made in replica.revisions()] == [1] * 5


def test_p4_a_put_that_arrives_late_is_recognised(root: Path, replica: Replica, start: Open) -> None:
    late = delay_put(prefix="log/", times=4)
    replica.plan.append(late)
    with start(root, clock=QuickClock()) as journal:
        journal.write("a", "1")
        eventually(lambda: late.hits == 4, "four attempts")
        late.release()
        journal.write("a", "2")
        journal.sync(PATIENCE_SECONDS)

    assert [replica.files(number) for number in (1, 2)] == [{"a": b"1"}, {"a": b"2"}]
    assert replica.head == 2


def test_p4_an_unknown_outcome_is_never_success(root: Path, replica: Replica, start: Open) -> None:
    journal = start(root)
    journal.sync(PATIENCE_SECONDS)
    replica.plan.append(fail_on("put", prefix="log/", times=FOREVER, error=OutcomeUnknownError))
    journal.write("a", "1")

    with pytest.raises(UnavailableError):
        journal.sync(0.2)
    with pytest.raises(UnavailableError, match="safe in the journal"):
        journal.close(0.1)

    replica.plan.clear()
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == {"a": b"1"}


class Hanging(Replica):
    """A replica whose put of a revision gives no answer until it is *released*, and that knows of no deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore(self.name, before=self._hang))

    def _hang(self, operation: str, key: str) -> None:
        if operation == "put" and key.startswith("log/"):
            self.reached.set()
            assert self.released.wait(PATIENCE_SECONDS)


def test_p7_an_uplink_that_does_not_come_round_is_not_alive_and_one_that_has_nothing_to_do_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, clock = Hanging(), ManualClock(auto=False)
    with opener(monkeypatch, replica)(root, clock=clock) as journal:
        eventually(sleeping(clock), "the uplink with nothing to do")
        clock.advance(10 * TURN_SECONDS_MAX)
        assert asleep([journal.vitals("config")]) == []
        journal.write("a", "1")
        assert replica.reached.wait(PATIENCE_SECONDS)
        clock.advance(TURN_SECONDS_MAX - 1)
        assert asleep([journal.vitals("config")]) == []
        clock.advance(2)
        assert asleep([journal.vitals("config")]) == ["config: the uplink loop does not come round"]
        replica.released.set()
        journal.sync(PATIENCE_SECONDS)
        assert asleep([journal.vitals("config")]) == []


def test_p7_denied_access_is_told_at_once_and_mended_without_a_restart(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with start(root, clock=QuickClock()) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        replica.plan.append(fail_on("put", times=FOREVER, error=AccessDeniedError))
        journal.write("a", "2")
        began = _CLOCK.elapsed_seconds()
        with pytest.raises(AccessDeniedError):
            journal.sync(PATIENCE_SECONDS)
        assert _CLOCK.elapsed_seconds() - began < PATIENCE_SECONDS / 2
        assert "ERROR" in caplog.text
        assert journal.failure is None

        replica.plan.clear()
        eventually(lambda: replica.head == 2, "the publication")


def test_p7_a_denied_write_stays_an_error_though_reading_goes_on(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")
    with start(root, clock=QuickClock(), heartbeat_seconds=300) as journal:
        journal.write("a", "1")
        # A heartbeat that is denied is another message than a revision that is.
        eventually(lambda: bool(replica.beats()), "the first heartbeat")
        denied = [fail_on(call, times=FOREVER, error=AccessDeniedError) for call in ("put", "replace")]
        replica.plan += denied
        journal.write("a", "2")
        errors = set()
        eventually(lambda: bool(journal.status().error), "the error")
        while denied[0].hits < 10:
            errors.add(bool(journal.status().error))
        assert errors == {True}, "it connects again each time, and that is no recovery"
        assert caplog.text.count("does not take revisions") == 1
        assert "recovered" not in caplog.text
        replica.plan.clear()
        eventually(lambda: journal.status().error == "", "the recovery")

    assert caplog.text.count("recovered: the replica answers again") == 1


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("error", [AccessDeniedError, IntegrityError])
def test_p4_who_is_refused_while_an_outcome_is_unknown_connects_anew_and_finds_out(
    landed: bool, error: type[Exception], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = LastingConnections()
    with opener(monkeypatch, replica)(root, clock=QuickClock()) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        unknown = fail_on("put", prefix="log/", error=OutcomeUnknownError, after_apply=landed)
        # This connection is never good again: its credentials were rotated.
        replica.connections[-1].plan += [unknown, fail_on("put", times=FOREVER, error=error)]
        journal.write("a", "2")
        eventually(lambda: unknown.hits == 1, "the unknown outcome")
        eventually(lambda: not (journal.status().pending or journal.status().error), "the revision and the recovery")
        journal.write("a", "3")
        journal.sync(PATIENCE_SECONDS)

    assert [replica.files(number)["a"] for number in range(1, replica.head + 1)] == [b"1", b"2", b"3"]
    replica.verify()


def test_p11_edits_during_an_outage_ask_the_replica_no_more_often(root: Path, replica: Replica, start: Open) -> None:
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    journal.write("a", "0")
    _wait_for_a_long_pause(clock, replica)
    replica.metered.reset()

    for number in range(100):
        journal.write("a", str(number))
    clock.advance(PAUSE_SECONDS_MAX * 0.5)

    assert replica.metered.calls == {}
    replica.plan.clear()
    clock.advance(PAUSE_SECONDS_MAX * 0.5)
    eventually(lambda: journal.status().pending == 0, "all of them")
    journal.close()
    assert replica.head == 100


def test_p7_whoever_waits_has_the_next_attempt_made_soon(root: Path, replica: Replica, start: Open) -> None:
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    journal.write("a", "0")
    _wait_for_a_long_pause(clock, replica)
    replica.plan.clear()
    clock.advance(PAUSE_SECONDS_FIRST)

    journal.sync(PATIENCE_SECONDS)

    journal.close()
    assert replica.files() == {"a": b"0"}


def test_p7_a_refusal_of_before_is_no_answer_to_who_asks_now(root: Path, replica: Replica, start: Open) -> None:
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    journal.sync(PATIENCE_SECONDS)
    replica.plan += [fail_on(call, times=FOREVER, error=AccessDeniedError) for call in ("put", "get", "list")]
    journal.write("a", "0")
    _wait_for_a_long_pause(clock, replica)
    with pytest.raises(AccessDeniedError, match=r"1 revision\(s\) are not on the replica"):
        journal.sync(PATIENCE_SECONDS)
    replica.plan.clear()
    clock.advance(PAUSE_SECONDS_FIRST)

    journal.close(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"0"}


@pytest.mark.parametrize("jump_seconds", [86_400, -3600])
def test_p7_the_lag_is_time_that_passed_whatever_the_clock_on_the_wall_says(
    root: Path, replica: Replica, start: Open, jump_seconds: float
) -> None:
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    journal.write("a", "0")
    clock.advance(10)
    clock.jump(jump_seconds)
    journal.write("a", "1")
    clock.advance(10)

    assert journal.status().lag_seconds == 20
    journal.abort()


@pytest.mark.parametrize("jump_seconds", [86_400, -3600])
def test_p7_heartbeats_and_pauses_keep_their_pace_whatever_the_clock_on_the_wall_says(
    root: Path, replica: Replica, start: Open, jump_seconds: float
) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock, heartbeat_seconds=60) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: len(replica.beats()) == 1, "the first heartbeat")
        eventually(sleeping(clock), "the uplink to rest")
        beats = replica.metered.calls["replace"]

        clock.jump(jump_seconds)
        journal.write("a", "2")
        journal.sync(PATIENCE_SECONDS)
        clock.advance(59)
        eventually(sleeping(clock), "the uplink to rest")
        assert replica.metered.calls["replace"] == beats

        clock.advance(2)
        eventually(lambda: replica.metered.calls["replace"] == beats + 1, "the second heartbeat")
        eventually(lambda: replica.beats()[0].time_ns == clock.now_ns(), "its time")
        replica.plan.append(fail_on("put", times=3))
        journal.write("a", "3")
        eventually(lambda: bool(journal.status().error), "the error")
        eventually(lambda: _caught_up(journal, clock), "an attempt that succeeds")

    times = [made.time_ns for made in replica.revisions()]
    assert [replica.files(number)["a"] for number in (1, 2, 3)] == [b"1", b"2", b"3"]
    assert times == sorted(times), "a revision is never earlier than the one before"


def test_p7_patience_that_was_bounded_ends_with_the_last_error(root: Path, replica: Replica, start: Open) -> None:
    clock = ManualClock(auto=False)
    settings = UplinkSettings(heartbeat_seconds=0, fail_after_seconds=600)
    journal = start(root, clock=clock, settings=settings)
    journal.write("a", "0")
    journal.sync(PATIENCE_SECONDS)
    eventually(sleeping(clock), "the uplink to rest")
    clock.advance(10_000)
    assert not journal.failure, "nothing was due"

    replica.plan += outage()
    journal.write("a", "1")
    eventually(lambda: bool(journal.status().error), "the error")
    began = clock.elapsed_seconds()
    eventually(lambda: _ended(journal, clock), "the end")

    assert 590 < clock.elapsed_seconds() - began < 620
    assert isinstance(journal.failure, UnavailableError)
    assert "took nothing for 600 s (--fail-after): injected" in str(journal.failure)
    assert "1 revision(s) are not on the replica, they are safe in the journal" in str(journal.failure)
    journal.abort()


def test_p7_a_backend_that_overwrites_ends_publishing_with_the_reason(
    root: Path, replica: Replica, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica.memory, "put", replica.memory.replace)
    ended: list[bool] = []
    journal = start(root)
    journal.on_failure(lambda: ended.append(True))
    journal.write("a", "1")

    with pytest.raises(NoExclusiveCreateError):
        journal.sync(PATIENCE_SECONDS)
    eventually(lambda: journal.status().phase is Phase.STOPPED, "the end")
    assert isinstance(journal.failure, NoExclusiveCreateError)
    with pytest.raises(NoExclusiveCreateError):
        journal.close()

    with start(root, unsafe_single_writer=True) as journal:
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == {"a": b"1"}


def test_p7_what_could_not_be_published_at_the_end_is_an_error_and_kept(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.plan += outage()
    journal = start(root, clock=QuickClock())
    journal.write("a", "1")

    with pytest.raises(UnavailableError, match=r"1 revision\(s\) are not on the replica"):
        journal.close(0.1)

    replica.plan.clear()
    with start(root):
        pass
    assert replica.files() == {"a": b"1"}


def test_giving_up_ends_a_close_that_waits(root: Path, replica: Replica, start: Open) -> None:
    replica.plan += outage()
    journal = start(root)
    journal.write("a", "1")
    journal.give_up()
    began = _CLOCK.elapsed_seconds()

    with pytest.raises(UnavailableError):
        journal.close(PATIENCE_SECONDS)

    assert _CLOCK.elapsed_seconds() - began < PATIENCE_SECONDS / 2


def test_p7_a_heartbeat_tells_who_and_where_comes_on_time_and_is_released_at_the_end(
    root: Path, replica: Replica, start: Open
) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock, heartbeat_seconds=60) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: len(replica.beats()) == 1, "the first heartbeat")
        (first,) = replica.beats()
        assert (first.writer, first.epoch, first.interval_seconds) == (journal.status().writer, 1, 60)
        assert first.host
        assert not first.released
        eventually(sleeping(clock), "the uplink to rest")
        beats = replica.metered.calls["replace"]

        clock.advance(59)
        eventually(sleeping(clock), "the uplink to rest")
        assert replica.metered.calls["replace"] == beats

        clock.advance(2)
        eventually(lambda: replica.metered.calls["replace"] == beats + 1, "the second heartbeat")
        eventually(lambda: replica.beats()[0].time_ns == clock.now_ns(), "its time")
        assert replica.beats()[0].number == 1

    assert replica.beats()[0].released


def test_p7_a_heartbeat_that_fails_is_an_outage_though_nothing_is_pending(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.plan.append(fail_on("replace", times=FOREVER))
    with start(root, clock=QuickClock(), heartbeat_seconds=60) as journal:
        eventually(lambda: "injected" in journal.status().error, "the error to show")
        replica.plan.clear()
        eventually(lambda: journal.status().error == "", "the recovery")


def test_p4_what_sync_waited_for_is_what_status_tells_of(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm, told = Ledger.confirmed, [0]

    def confirmed(ledger: Ledger, write_id: bytes, position: Position) -> None:
        confirm(ledger, write_id, position)
        if position.number == 2:
            # Whoever waits is given the chance to go on here, before the uplink does.
            waiting.start()
            waiting.join(0.5)

    def ask() -> None:
        journal.sync(PATIENCE_SECONDS)
        told[0] = journal.status().position.number

    waiting = threading.Thread(target=ask)
    monkeypatch.setattr(Ledger, "confirmed", confirmed)
    with start(root) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        journal.write("a", "2")
        eventually(lambda: told[0] != 0, "the answer")
        waiting.join(PATIENCE_SECONDS)

    assert told == [2]


def test_p11_an_idle_journal_without_a_heartbeat_asks_nothing(root: Path, replica: Replica, start: Open) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        eventually(sleeping(clock), "the uplink to rest")
        replica.metered.reset()
        clock.advance(80_000)
        journal.status()
        eventually(sleeping(clock), "the uplink to rest")

        assert replica.metered.calls == {}


def test_p11_one_change_is_one_put_and_every_fiftieth_writes_a_snapshot(
    root: Path, replica: Replica, start: Open
) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock) as journal:
        journal.write("a", "0")
        journal.sync(PATIENCE_SECONDS)
        eventually(sleeping(clock), "the uplink to rest")
        replica.metered.reset()
        for number in range(1, 120):
            journal.write("a", f"{number}\n" * 20)
            if number % 10 == 0:
                journal.sync(PATIENCE_SECONDS)
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: sum(key.startswith("snapshot/") for key in replica.memory.objects) == 2, "two snapshots")
        eventually(sleeping(clock), "the uplink to rest")

        assert replica.metered.calls == {"put": 119 + 2}


def test_p11_revisions_are_packed_in_the_background_while_publishing_goes_on(
    root: Path, replica: Replica, start: Open
) -> None:
    settings = UplinkSettings(heartbeat_seconds=0, pack_size=100, snapshot_every=50)
    with start(root, settings=settings) as journal:
        for number in range(160):
            journal.write("a", str(number))
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: any(key.startswith("pack/") for key in replica.memory.objects), "a pack")
        replica.metered.reset()
        journal.write("a", "last")
        journal.sync(PATIENCE_SECONDS)

    assert replica.files(37) == {"a": b"36"}
    assert replica.files() == {"a": b"last"}


def test_p11_packing_and_deleting_ask_for_nothing_that_this_writer_published_itself(
    root: Path, replica: Replica, start: Open
) -> None:
    clock = ManualClock(auto=False)
    settings = UplinkSettings(heartbeat_seconds=60, pack_size=100, snapshot_every=1000)

    def count(prefix: str) -> int:
        return sum(key.startswith(prefix) for key in replica.memory.objects)

    with start(root, clock=clock, settings=settings) as journal:
        for number in range(160):
            journal.write("a", str(number))
            if not number:
                journal.sync(PATIENCE_SECONDS)
                replica.metered.reset()
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: count("pack/") == 1, "a pack")
        eventually(lambda: journal._uplink._packer._sweep_at is not None, "packing to end")
        # The heartbeat and the newest revision for their times, and what was just made, to be sure of it.
        assert replica.metered.calls["get"] <= 4
        clock.advance(2 * 86_400)
        journal.write("a", "witness")
        journal.sync(PATIENCE_SECONDS)
        clock.advance(3600)
        journal.write("a", "last")
        eventually(lambda: count("log/") <= 62, "the packed revisions to be deleted")
        assert replica.metered.calls["get"] <= 4 + 5

    assert replica.files(37) == {"a": b"36"}
    assert replica.files() == {"a": b"last"}


def test_p14_an_outage_past_the_bound_merges_the_oldest_and_keeps_the_newest_state(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    settings = UplinkSettings(heartbeat_seconds=0, spool_bytes_max=200_000)
    with start(root, clock=QuickClock(), settings=settings) as journal:
        journal.write("first", "1")
        journal.sync(PATIENCE_SECONDS)
        replica.plan += outage()
        for number in range(60):
            journal.write("a", f"{number} " * 3000)
            assert journal.status().pending_bytes < 450_000
        assert journal.status().pending < 60
        assert "were merged into others" in caplog.text
        replica.plan.clear()
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == files_of(root)
    assert any("coalesced" in made.authorship.labels for made in replica.revisions())


def test_p4_what_is_under_way_is_never_merged_and_a_sync_waits_for_what_it_was_merged_into(
    root: Path, replica: Replica, start: Open
) -> None:
    settings = UplinkSettings(heartbeat_seconds=0, spool_bytes_max=1)
    with start(root, clock=QuickClock(), settings=settings) as journal:
        journal.sync(PATIENCE_SECONDS)
        unknown = fail_on("put", prefix="log/", after_apply=True, times=FOREVER)
        replica.plan += [unknown, fail_on("get", times=FOREVER)]
        journal.write("a", "first")
        eventually(lambda: replica.head == 1, "the put to arrive")
        failures: list[BaseException] = []

        def sync() -> None:
            try:
                journal.sync(1.0)
            except UnavailableError as error:
                failures.append(error)

        for number in range(10):
            journal.write("a", str(number))
        waiting = threading.Thread(target=sync)
        waiting.start()
        for number in range(10, 60):
            journal.write("a", str(number))
        waiting.join(PATIENCE_SECONDS)
        assert len(failures) == 1, "a sync returned while nothing was on the replica"

        replica.plan.clear()
        journal.sync(PATIENCE_SECONDS)

    assert replica.files(1) == {"a": b"first"}
    assert replica.files() == {"a": b"59"}


def _wait_for_a_long_pause(clock: ManualClock, replica: Replica) -> None:
    """Let time pass until the uplink has failed so often that it waits as long as it ever does."""

    def reached() -> bool:
        if sum(fault.hits for fault in replica.plan) > 6 and clock.sleepers and clock.waits[-1] > PAUSE_SECONDS_MAX / 2:
            return True
        clock.advance(0.5)
        return False

    eventually(reached, "a long pause")


def _caught_up(journal: Journal, clock: ManualClock) -> bool:
    if journal.status().pending:
        clock.advance(1)
    return not journal.status().pending


def _ended(journal: Journal, clock: ManualClock) -> bool:
    if journal.failure is not None:
        return True
    if clock.sleepers:
        clock.advance(3)
    return False
