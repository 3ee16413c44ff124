"""An unfinished restore: finished first, from staging, or from the replica where what was staged is lost (P3)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream.checkout import finish
from confstream.errors import IntegrityError, NotFoundError, RefusedError, UnavailableError
from confstream.layout import Fork
from confstream.log.intent import Intent
from confstream.restorer import RestoreOptions, restore
from confstream.revision import Authorship
from confstream.testing import ManualClock, fail_on
from tests.restoring import URL, Replica, contents, held, refusing_all, replica_of, tree_of, when, write

TARGET = {"config.yml": b"a: 2\n", "sub/b.yml": b"b: 2\n", "big": bytes(range(256)) * 9000}
WHOLE = TARGET | {"sub": None}


class Killed(BaseException):
    """The end of a process, as far as a test in the same process can have it."""


@pytest.fixture
def replica() -> Replica:
    return replica_of({"config.yml": b"a: 1\n"}, TARGET, {"config.yml": b"a: 3\n"})


def stopped_at(step: str, replica: Replica, root: Path, **options: Any) -> None:
    """Restore revision 2 into *root* up to the checkpoint that begins with *step*."""

    def checkpoint(reached: str) -> None:
        if reached.startswith(step):
            raise Killed

    with pytest.raises(Killed):
        restore(
            URL,
            root,
            RestoreOptions(**{"revision": "2", **options}),
            open_store=replica.opened,
            record_before=replica.record,
            checkpoint=checkpoint,
        )


@pytest.fixture
def root(replica: Replica, tmp_path: Path) -> Path:
    """Give a tree in which one file of three has been switched."""
    root = tmp_path / "tree"
    stopped_at("write     sub/b.yml", replica, root)
    assert 0 < len(contents(root)) < len(WHOLE)
    return root


@pytest.mark.parametrize("options", [{"if_missing": True}, {}, {"revision": "2"}, {"if_missing": True, "delete": True}])
def test_p3_it_is_finished_without_the_replica(replica: Replica, root: Path, options: dict[str, Any]) -> None:
    with refusing_all(replica):
        report = replica.restore(root, **options)

    assert (report.outcome, report.revision) == ("finished", 2)
    assert contents(root) == WHOLE
    assert json.loads((root / ".confstream" / "restored").read_bytes())["revision"] == 2


def test_p3_half_restored_never_counts_as_present(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"looks fine\n"})

    with refusing_all(replica):
        assert replica.restore(root, if_missing=True).outcome == "finished"


def test_p3_the_note_for_the_next_writer_is_left_by_whoever_finishes(replica: Replica, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    stopped_at("staged", replica, root, actor="alice")
    assert not (root / ".confstream" / "restored").exists()

    replica.restore(root, if_missing=True, actor="init")

    assert json.loads((root / ".confstream" / "restored").read_bytes())["by"] == "alice"


def test_something_else_asked_for_is_done_after_the_unfinished(replica: Replica, root: Path) -> None:
    report = replica.restore(root, revision="1", force=True)

    assert (report.outcome, report.revision) == ("restored", 1)
    assert (root / "config.yml").read_bytes() == b"a: 1\n"
    assert any("an unfinished restore of revision 2 was finished" in line for line in replica.lines)


def test_p1_something_else_asked_for_is_refused_as_ever_after_the_unfinished(replica: Replica, root: Path) -> None:
    with pytest.raises(RefusedError, match="newer than revision 1"):
        replica.restore(root, revision="1")

    assert contents(root) == WHOLE


def test_a_dry_run_only_says_that_it_would_be_finished(replica: Replica, root: Path) -> None:
    before = held(root, state=True)

    with refusing_all(replica):
        report = replica.restore(root, dry_run=True)

    assert (report.outcome, report.revision) == ("planned", 2)
    assert held(root, state=True) == before


def lose_all(staging: Path) -> None:
    for path in staging.iterdir():
        path.unlink()
    staging.rmdir()


def flip(staging: Path) -> None:
    for path in staging.iterdir():
        path.write_bytes(b"!" + path.read_bytes()[1:])


@pytest.mark.parametrize("damage", [lose_all, flip])
def test_p3_lost_or_damaged_staging_is_fetched_again(
    replica: Replica, root: Path, damage: Callable[[Path], None]
) -> None:
    damage(root / ".confstream" / "staging")

    report = replica.restore(root, if_missing=True)

    assert report.outcome == "finished"
    assert contents(root) == WHOLE
    assert any("fetched again" in line for line in replica.lines)


def test_p3_lost_staging_of_a_fork_is_fetched_again_from_the_fork(tmp_path: Path) -> None:
    replica = replica_of({"config.yml": b"a: 1\n"})
    ours, (tree, known) = replica.publisher, tree_of(WHOLE)
    left = ours.head
    replica.publish({"config.yml": b"a: theirs\n"})
    intent = Intent(bytes(16), 1, tree, Authorship("api"))
    ours.publish_fork(Fork("ours", 9), left, [intent], known.__getitem__, lambda _digest: None)
    root = tmp_path / "tree"
    stopped_at("write     sub/b.yml", replica, root, revision="ours-9/2")
    lose_all(root / ".confstream" / "staging")

    report = replica.restore(root, if_missing=True)

    assert report.outcome == "finished"
    assert contents(root) == WHOLE
    assert json.loads((root / ".confstream" / "restored").read_bytes())["fork"] == "ours-9"


def test_p1_what_is_in_the_log_is_not_fast_forwarded_to_a_fork(tmp_path: Path) -> None:
    replica = replica_of({"config.yml": b"a: 1\n"})
    tree, known = tree_of({"config.yml": b"a: mine\n"})
    intent = Intent(bytes(16), 1, tree, Authorship("api"))
    replica.publisher.publish_fork(
        Fork("ours", 9), replica.publisher.head, [intent], known.__getitem__, lambda _digest: None
    )
    root = write(tmp_path / "tree", {"config.yml": b"a: 1\n"})

    with pytest.raises(
        RefusedError, match=r"is revision 1, and revision 2 of the fork ours-9 is no part of the log; --force"
    ):
        replica.restore(root, revision="ours-9/2", fast_forward=True)

    assert contents(root) == {"config.yml": b"a: 1\n"}


def test_p3_lost_staging_and_a_dead_replica_leave_it_unfinished(replica: Replica, root: Path) -> None:
    lose_all(root / ".confstream" / "staging")
    before = contents(root)
    replica.faults.append(fail_on("list", times=10**6))

    with pytest.raises(UnavailableError):
        replica.restore(root, ManualClock(), if_missing=True)

    assert contents(root) == before
    replica.faults.clear()
    assert replica.restore(root, if_missing=True).outcome == "finished"
    assert contents(root) == WHOLE


def test_p3_staging_that_a_journal_swept_away_under_a_restore_is_staged_again(replica: Replica, tmp_path: Path) -> None:
    root = tmp_path / "tree"

    report = restore(
        URL,
        root,
        RestoreOptions(revision="2"),
        open_store=replica.opened,
        checkpoint=when("staged", lambda: lose_all(root / ".confstream" / "staging")),
    )

    assert report.outcome == "restored"
    assert contents(root) == WHOLE


def test_p1_staging_that_the_recording_sweeps_away_is_staged_again(replica: Replica, tmp_path: Path) -> None:
    root, recorded = write(tmp_path / "tree", {"config.yml": b"mine\n"}), []

    def record(at: Path, _url: str, _message: str) -> str:
        finish(at)
        recorded.append(contents(at))
        return "recorded"

    restore(URL, root, RestoreOptions(force=True, revision="2"), open_store=replica.opened, record_before=record)

    assert recorded == [{"config.yml": b"mine\n"}]
    assert contents(root) == WHOLE


def test_p9_lost_staging_is_not_fetched_from_another_log(root: Path) -> None:
    lose_all(root / ".confstream" / "staging")
    other = Replica()
    other.publish({"config.yml": b"x\n"})
    other.publish(TARGET)

    with pytest.raises(IntegrityError, match="another one than the interrupted restore was of"):
        other.restore(root, if_missing=True)

    assert contents(root) != WHOLE


def test_lost_staging_and_no_such_revision_is_not_found(root: Path) -> None:
    lose_all(root / ".confstream" / "staging")
    other = Replica()
    other.publish({"config.yml": b"x\n"})

    with pytest.raises(NotFoundError):
        other.restore(root, if_missing=True)


def test_a_damaged_marker_is_told_and_only_force_goes_over_it(replica: Replica, root: Path) -> None:
    marker = root / ".confstream" / "restoring"
    marker.write_bytes(marker.read_bytes()[:-1] + b"\0")

    with pytest.raises(IntegrityError, match="is damaged"):
        replica.restore(root, if_missing=True)
    report = replica.restore(root, force=True, revision="2")

    assert report.outcome == "restored"
    assert contents(root) == WHOLE


def test_p1_killed_before_the_marker_nothing_has_happened(replica: Replica, tmp_path: Path) -> None:
    root = write(tmp_path / "mine", {"config.yml": b"mine\n"})

    stopped_at("write the marker", replica, root, force=True)

    assert contents(root) == {"config.yml": b"mine\n"}
    assert not (root / ".confstream" / "staging").exists()
