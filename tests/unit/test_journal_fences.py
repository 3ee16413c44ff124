"""Another writer of the same log: forks, standing by, and taking over."""

from pathlib import Path
from typing import Any

import pytest

from confstream.errors import FencedError, IntegrityError
from confstream.journal.phase import Phase
from confstream.layout import log_key
from confstream.testing import ManualClock, fail_on
from confstream.verifier import verify
from tests.journals import PATIENCE_SECONDS, Open, QuickClock, Replica, eventually, outage, sleeping


def test_p5_a_fenced_writer_keeps_everything_as_a_fork_and_says_so(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[bool] = []
    journal = start(root)
    journal.on_failure(lambda: ended.append(True))
    journal.write("a", "1")
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    for text in ("2", "3", "4"):
        journal.write("a", text)
    replica.edit({"a": b"theirs"})
    replica.plan.clear()

    with pytest.raises(FencedError, match=r"kept as the fork"):
        journal.sync(PATIENCE_SECONDS)
    eventually(lambda: ended == [True], "the callback")
    assert journal.status().phase is Phase.FENCED
    assert isinstance(journal.failure, FencedError)
    journal.write("a", "5")
    with pytest.raises(FencedError):
        journal.close()

    forks = replica.history().forks()
    assert [entry.number for entry in forks] == [2, 3, 4]
    assert replica.files() == {"a": b"theirs"}
    assert "fenced" in caplog.text


@pytest.mark.parametrize("kept", [0, 1])
def test_p5_p14_drafts_that_were_merged_while_a_fork_was_written_ended_replication_as_if_it_were_a_bug(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    journal = start(root)
    journal.write("a", "1")
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    for text in ("2", "3", "4", "5"):
        journal.write("a", text)
    replica.edit({"a": b"theirs"})
    merged: list[int] = []

    def merge(operation: str, key: str) -> None:
        if operation == "put" and key.startswith("fork/") and not merged:
            # As soon as more is recorded than may wait.
            merged.append(journal._uplink.coalesce(kept))

    replica.memory._before = merge
    replica.plan.clear()
    with pytest.raises(FencedError, match=r"kept as the fork"):
        journal.sync(PATIENCE_SECONDS)

    assert merged == [2 - kept]
    assert journal.status().phase is Phase.FENCED
    assert journal.status().pending == 0
    assert "this is a bug" not in caplog.text
    newest = replica.history().forks()[-1]
    assert newest.fork is not None
    assert replica.history().read("a", f"{newest.fork.name}/{newest.number}") == b"5"
    assert verify(replica.memory).ok
    journal.abort()


def test_p5_a_fork_that_failed_in_the_middle_is_left_alone_by_a_takeover_that_publishes_the_rest(
    root: Path, replica: Replica, start: Open
) -> None:
    _interrupt_a_fork(root, replica, start, kept=1)
    assert [entry.number for entry in replica.history().forks()] == [2]

    with start(root, takeover=True) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"4"}


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("after_apply", [False, True])
def test_p5_a_fork_that_failed_in_the_middle_is_completed_while_standing_by(
    root: Path, replica: Replica, start: Open, kept: int, after_apply: bool
) -> None:
    _interrupt_a_fork(root, replica, start, kept, after_apply=after_apply)
    assert len(replica.history().forks()) == kept + after_apply

    journal = start(root)
    eventually(lambda: journal.status().pending == 0, "the fork to be completed")
    journal.write("a", "5")
    assert journal.status().phase is Phase.STANDBY
    journal.abort()
    journal = start(root)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by again")
    assert journal.status().pending == 1
    journal.abort()

    forks = replica.history().forks()
    assert [entry.number for entry in forks] == [2, 3, 4]
    assert {entry.fork for entry in forks} == {forks[0].fork}
    assert replica.files() == {"a": b"theirs"}
    assert verify(replica.memory).ok


def test_p5_a_fork_that_cannot_be_completed_any_more_leaves_its_revisions_in_the_journal(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    _interrupt_a_fork(root, replica, start, kept=0)
    replica.memory.delete([log_key(1)])
    replica.is_damaged = True

    journal = start(root)
    eventually(lambda: "cannot be completed" in caplog.text, "the line about it")
    assert journal.status().pending == 3
    journal.abort()


def test_p5_a_fenced_writer_stands_by_after_a_restart_and_captures_all_the_same(
    root: Path, replica: Replica, start: Open
) -> None:
    scribe = _fence(root, replica, start)
    scribe.publisher.beat(60, 0, "")
    clock = ManualClock(auto=False)

    journal = start(root, clock=clock, heartbeat_seconds=60)
    journal.write("a", "while standing by")
    with pytest.raises(FencedError, match="standing by"):
        journal.sync(PATIENCE_SECONDS)
    assert journal.status().phase is Phase.STANDBY
    assert journal.status().pending == 1
    assert journal.failure is None
    with pytest.raises(FencedError):
        journal.close()
    assert replica.files() == {"a": b"theirs"}


@pytest.mark.parametrize("how", ["released", "silent", "old"])
def test_p5_standing_by_ends_when_the_other_writer_is_gone(root: Path, replica: Replica, start: Open, how: str) -> None:
    scribe = _fence(root, replica, start)
    scribe.publisher.beat(60, 0, "")
    clock = ManualClock(auto=False)
    with start(root, clock=clock, heartbeat_seconds=60) as journal:
        eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
        journal.write("a", "mine again")
        eventually(sleeping(clock), "the uplink to rest")
        if how == "released":
            scribe.publisher.beat(60, 0, "", released=True)
            clock.advance(31)
        elif how == "old":
            # Nine days old by the clocks on the wall: that it lives no more shows within an interval.
            clock.jump(9 * 86_400)
            clock.advance(75)
        else:
            clock.advance(181)
        eventually(lambda: journal.status().phase is not Phase.STANDBY, "the takeover")
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"mine again"}
    assert replica.revisions()[-1].epoch > scribe.publisher.epoch


@pytest.mark.parametrize("jump_seconds", [0, 86_400, -3600])
def test_p5_standing_by_goes_on_while_the_other_writer_lives_whatever_the_clocks_on_the_wall_say(
    root: Path, replica: Replica, start: Open, jump_seconds: float
) -> None:
    scribe = _fence(root, replica, start)
    clock, theirs = ManualClock(auto=False), ManualClock()
    scribe.publisher._clock = theirs
    scribe.publisher.beat(60, 0, "")
    journal = start(root, clock=clock, heartbeat_seconds=60)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
    clock.jump(jump_seconds)
    for turn in range(12):
        eventually(sleeping(clock), "the uplink to rest")
        gets = replica.metered.calls["get"]
        theirs.advance(30)
        if turn % 2:
            scribe.publisher.beat(60, 0, "")
        clock.advance(31)
        eventually(lambda: replica.metered.calls["get"] > gets, "another look")  # noqa: B023 - called at once.
    assert journal.status().phase is Phase.STANDBY
    journal.abort()


def test_p11_standing_by_costs_one_request_for_a_look(root: Path, replica: Replica, start: Open) -> None:
    scribe = _fence(root, replica, start)
    scribe.publisher.beat(300, 0, "")
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
    eventually(sleeping(clock), "the uplink to rest")
    replica.metered.reset()

    clock.advance(31)
    eventually(lambda: bool(replica.metered.calls), "another look")
    eventually(sleeping(clock), "the uplink to rest")

    assert replica.metered.calls == {"get": 1}
    journal.abort()


def test_p5_a_writer_without_heartbeats_lives_as_long_as_it_publishes(
    root: Path, replica: Replica, start: Open
) -> None:
    scribe = _fence(root, replica, start)
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
    for number in range(4):
        eventually(sleeping(clock), "the uplink to rest")
        lists = replica.metered.calls["list"]
        scribe.write({"a": b"theirs %d" % number})
        clock.advance(600)
        eventually(lambda: replica.metered.calls["list"] > lists, "another look")  # noqa: B023 - called at once.
    eventually(sleeping(clock), "the uplink to rest")
    assert journal.status().phase is Phase.STANDBY

    clock.advance(901)
    eventually(lambda: journal.status().phase is not Phase.STANDBY, "the takeover")
    journal.close()


@pytest.mark.parametrize("beats", [False, True])
def test_p5_standing_by_goes_on_when_another_writer_took_over_from_the_one_that_is_gone(
    root: Path, replica: Replica, start: Open, beats: bool
) -> None:
    gone = _fence(root, replica, start)
    gone.publisher.beat(60, 0, "", released=True)
    clock = ManualClock(auto=False)
    third = replica.scribe("third", clock=clock)
    third.write({"a": b"of the third"})
    if beats:
        third.publisher.beat(60, 0, "")

    journal = start(root, clock=clock, heartbeat_seconds=60)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
    journal.write("a", "mine again")
    for _ in range(6):
        eventually(sleeping(clock), "the uplink to rest")
        gets = replica.metered.calls["get"]
        if beats:
            third.publisher.beat(60, 0, "")
        clock.advance(61)
        eventually(lambda: replica.metered.calls["get"] > gets, "another look")  # noqa: B023 - called at once.
    assert journal.status().phase is Phase.STANDBY
    third.write({"a": b"still of the third"})

    # Without heartbeats the first look sees what it published last, the second one that nothing came after it.
    for _ in range(1 if beats else 2):
        eventually(sleeping(clock), "the uplink to rest")
        gets = replica.metered.calls["get"]
        clock.advance(1000)
        eventually(lambda: replica.metered.calls["get"] > gets, "another look")  # noqa: B023 - called at once.
    eventually(lambda: journal.status().phase is not Phase.STANDBY, "the takeover")
    journal.sync(PATIENCE_SECONDS)
    assert replica.files() == {"a": b"mine again"}
    journal.abort()


def test_p5_a_heartbeat_from_before_it_took_over_does_not_say_that_a_writer_is_gone(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.scribe().publisher.beat(60, 0, "", released=True)
    _fence(root, replica, start)

    journal = start(root, clock=ManualClock(auto=False))
    eventually(lambda: journal.status().phase is not Phase.CONNECTING, "a look at the other writer")

    assert journal.status().phase is Phase.STANDBY
    journal.abort()


def test_p5_a_takeover_is_asked_for_and_fences_the_other(root: Path, replica: Replica, start: Open) -> None:
    scribe = _fence(root, replica, start)
    scribe.publisher.beat(60, 0, "")
    with start(root, takeover=True) as journal:
        journal.write("a", "mine")
        journal.sync(PATIENCE_SECONDS)

    with pytest.raises(FencedError):
        scribe.write({"a": b"theirs again"})
    assert replica.files() == {"a": b"mine"}


def test_p5_a_content_that_only_a_fork_holds_does_not_end_replication_after_a_takeover(
    root: Path, replica: Replica, start: Open
) -> None:
    _fence(root, replica, start)
    journal = start(root, publish=False)
    journal.write("b", "while fenced")
    # From here on neither the disk nor the journal has what the fork keeps, but the revision before this one needs it.
    journal.write("a", "3")
    journal.close()

    with start(root, takeover=True) as journal:
        journal.sync(PATIENCE_SECONDS)

    head = replica.head
    assert replica.files(head - 1) == {"a": b"2", "b": b"while fenced"}
    assert replica.files(head) == {"a": b"3", "b": b"while fenced"}


def test_p7_a_content_that_was_nowhere_any_more_ended_replication_as_if_it_were_a_bug(
    root: Path, replica: Replica, start: Open
) -> None:
    _fence(root, replica, start)
    journal = start(root, publish=False)
    journal.write("b", "while fenced")
    journal.write("a", "3")
    journal.close()
    forked = [key for key in replica.memory.objects if key.startswith("fork/")]
    kept = {key: replica.memory.get(key) for key in forked}
    replica.memory.delete(forked)

    with start(root, takeover=True, clock=QuickClock()) as journal:
        with pytest.raises(IntegrityError, match=r"2 revision\(s\) are not on the replica: the content of a that was "):
            journal.sync(PATIENCE_SECONDS)
        assert journal.failure is None
        for key, body in kept.items():
            replica.memory.put(key, body)
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"3", "b": b"while fenced"}


def test_p4_sync_never_succeeds_while_standing_by_for_a_writer_that_cannot_be_asked(
    root: Path, replica: Replica, start: Open
) -> None:
    _fence(root, replica, start).publisher.beat(60, 0, "")
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock, heartbeat_seconds=60)
    eventually(lambda: journal.status().phase is Phase.STANDBY, "standing by")
    journal.write("a", "while standing by")
    replica.plan += outage()
    eventually(sleeping(clock), "the uplink to rest")
    clock.advance(31)
    eventually(lambda: "injected" in journal.status().error, "a look that fails")

    with pytest.raises(FencedError, match="another writer owns the log"):
        journal.sync(PATIENCE_SECONDS)

    assert journal.status().pending == 1
    journal.abort()


def _interrupt_a_fork(root: Path, replica: Replica, start: Open, kept: int, *, after_apply: bool = False) -> None:
    """Let a journal be fenced with three drafts, and fail to keep them all as a fork."""
    journal = start(root)
    journal.write("a", "1")
    journal.sync(PATIENCE_SECONDS)
    replica.plan += outage()
    for text in ("2", "3", "4"):
        journal.write("a", text)
    replica.edit({"a": b"theirs"})
    replica.plan[:] = [fail_on("put", prefix="fork/", skip=kept, after_apply=after_apply)]
    with pytest.raises(FencedError):
        journal.sync(PATIENCE_SECONDS)
    journal.abort()
    replica.plan.clear()


def _fence(root: Path, replica: Replica, start: Open) -> Any:
    journal = start(root)
    journal.write("a", "1")
    journal.sync(PATIENCE_SECONDS)
    scribe = replica.scribe(clock=ManualClock())
    scribe.write({"a": b"theirs"})
    journal.write("a", "2")
    with pytest.raises(FencedError):
        journal.sync(PATIENCE_SECONDS)
    with pytest.raises(FencedError):
        journal.close()
    return scribe


def test_a_bug_in_the_thread_is_no_quiet_day(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from confstream.journal import session  # noqa: PLC0415

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session.Session, "publish", broken)
    journal = start(root)
    journal.write("a", "1")

    with pytest.raises(Exception, match="ZeroDivisionError"):
        journal.sync(PATIENCE_SECONDS)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        journal.close()
    assert "this is a bug" in caplog.text
