"""--force, --delete, --dry-run and the note for the next writer: what is replaced can be had back (P1)."""

import fcntl
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confstream.errors import IntegrityError, RefusedError, UnavailableError
from confstream.restorer import RestoreOptions, restore
from confstream.testing import ManualClock, damage, fail_on
from tests.restoring import URL, Replica, contents, held, replica_of, tree_of, write

FIRST = {"config.yml": b"a: 1\n", "gone.yml": b"g: 1\n"}
SECOND = {"config.yml": b"a: 2\npassword: hunter2\n"}
MINE = {"config.yml": b"a: mine\n", "extra.yml": b"e: 1\n"}


@pytest.fixture
def replica() -> Replica:
    return replica_of(FIRST, SECOND)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", MINE)


def note_in(root: Path) -> dict[str, object]:
    found = json.loads((root / ".confstream" / "restored").read_bytes())
    assert isinstance(found, dict)
    return found


def test_p1_force_records_what_it_replaces_and_can_be_undone(replica: Replica, root: Path) -> None:
    report = replica.restore(root, force=True)

    assert contents(root) == SECOND | {"extra.yml": b"e: 1\n"}
    assert report.recorded == "the present state is revision 3"
    replica.restore(root, force=True, revision="3")
    assert contents(root) == MINE


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["a", "b", "d/c", "d/e"]), st.sampled_from([b"", b"1\n", b"2\n"]), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "d/c", "d/e"]), st.sampled_from([b"", b"1\n", b"2\n"]), max_size=4),
    st.booleans(),
)
def test_p1_whatever_was_there_is_there_again_after_force_and_back(
    tmp_path_factory: pytest.TempPathFactory, there: dict[str, bytes], target: dict[str, bytes], delete: bool
) -> None:
    replica, root = Replica(), tmp_path_factory.mktemp("tree")
    replica.publish(target)
    write(root, there)
    before = contents(root)

    report = replica.restore(root, force=True, delete=delete)
    if report.recorded:
        replica.restore(root, force=True, delete=True, revision="latest")

    aside = contents(report.aside) if report.aside else {}
    now = contents(root)
    lost = {
        name for name, value in before.items() if value is not None and value not in (now.get(name), aside.get(name))
    }
    assert {name for name in lost if before[name]} == set()


def test_p1_nothing_is_recorded_when_the_log_has_it_already(replica: Replica, root: Path) -> None:
    replica.publish(MINE)

    report = replica.restore(root, force=True, revision="1")

    assert (replica.recorded, report.recorded) == ([], "")
    assert contents(root) == FIRST | {"extra.yml": b"e: 1\n"}


def test_p1_only_what_is_replaced_has_to_be_in_the_log(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"a: 2\npassword: hunter2\n", "new.yml": b"never published\n"})

    replica.restore(root, force=True, revision="1")

    assert replica.recorded == []
    assert (root / "new.yml").read_bytes() == b"never published\n"


def test_p1_an_unmodified_older_tree_needs_no_recording(replica: Replica, tmp_path: Path) -> None:
    root = write(tmp_path / "older", FIRST)

    replica.restore(root, force=True)

    assert replica.recorded == []
    assert contents(root) == SECOND | {"gone.yml": b"g: 1\n"}


def test_p1_force_without_a_journal_to_record_in_is_refused(replica: Replica, root: Path) -> None:
    before = held(root)

    with pytest.raises(RefusedError, match="no journal to record it in"):
        restore(URL, root, RestoreOptions(force=True), open_store=replica.opened)

    assert held(root) == before
    assert not (root / ".confstream" / "staging").exists()


def test_p1_recording_comes_after_staging_and_before_the_first_change(replica: Replica, root: Path) -> None:
    seen: list[tuple[bool, dict[str, object]]] = []

    def record(at: Path, _url: str, _message: str) -> str:
        seen.append((any((at / ".confstream" / "staging").iterdir()), dict(contents(at))))
        return "recorded"

    restore(URL, root, RestoreOptions(force=True), open_store=replica.opened, record_before=record)

    assert seen == [(True, MINE)]


def test_p1_force_that_cannot_record_leaves_everything(replica: Replica, root: Path) -> None:
    before = held(root)

    def record(_root: Path, _url: str, _message: str) -> str:
        raise UnavailableError("the journal is full")

    with pytest.raises(UnavailableError, match="the journal is full"):
        restore(URL, root, RestoreOptions(force=True), open_store=replica.opened, record_before=record)

    assert held(root) == before
    assert not (root / ".confstream" / "restoring").exists()


@pytest.mark.parametrize("operation", ["list", "get"])
def test_p1_force_with_a_dead_replica_leaves_the_old_files(replica: Replica, root: Path, operation: str) -> None:
    before = held(root, state=True)
    replica.faults.append(fail_on(operation, times=10**6))

    with pytest.raises(UnavailableError, match="nothing was changed"):
        replica.restore(root, ManualClock(), force=True)

    assert held(root, state=True) == before
    assert replica.recorded == []


def test_p9_force_with_a_damaged_replica_leaves_the_old_files(replica: Replica, root: Path) -> None:
    before = held(root, state=True)
    replica.faults.append(damage(times=10**6, prefix="log/", keep=150))

    with pytest.raises(IntegrityError):
        replica.restore(root, force=True)

    assert held(root, state=True) == before


def test_p9_a_damaged_blob_leaves_the_old_files(replica: Replica, root: Path) -> None:
    replica.publish({"config.yml": os.urandom(1 << 21)})
    before = held(root)
    replica.faults.append(damage(times=10**6, prefix="blob/", flip=5000))

    with pytest.raises(IntegrityError):
        replica.restore(root, force=True)

    assert held(root) == before
    assert not (root / ".confstream" / "staging").exists()
    assert replica.recorded == []


def hold(root: Path, pid: int) -> int:
    state = root / ".confstream"
    state.mkdir(0o700, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)
    return descriptor


def test_p1_a_running_writer_is_waited_for(replica: Replica, root: Path) -> None:
    lock = hold(root, 4711)

    class Slow(ManualClock):
        def wait(self, event: object, timeout_seconds: float) -> bool:
            if self.elapsed_seconds() >= 3 and replica.publisher.head.position.number == 2:
                replica.publish(MINE)
            return super().wait(event, timeout_seconds)  # type: ignore[arg-type]

    report = replica.restore(root, Slow(), force=True)

    os.close(lock)
    assert (report.recorded, replica.recorded) == ("what is replaced is in revision 3", [])
    assert (root / "config.yml").read_bytes() == SECOND["config.yml"]


def test_p1_a_running_writer_that_does_not_publish_is_named(replica: Replica, root: Path) -> None:
    lock, clock = hold(root, 4711), ManualClock()
    before = held(root)

    with pytest.raises(RefusedError, match="process 4711 has the journal; nothing was changed"):
        replica.restore(root, clock, force=True, timeout_seconds=30)

    os.close(lock)
    assert held(root) == before
    assert clock.elapsed_seconds() < 40


def test_delete_removes_tracked_files_only_and_lists_them_first(replica: Replica, root: Path) -> None:
    write(root, {"old/x.yml": b"x\n", "old/keep.log": b"log\n"})

    report = replica.restore(root, force=True, delete=True)

    assert contents(root) == SECOND | {"old": None, "old/keep.log": b"log\n"}
    assert {"deletes extra.yml", "deletes old/x.yml"} <= set(replica.lines)
    assert any("old should be gone" in warning for warning in report.warnings)


def test_p1_delete_is_off_unless_asked_for(replica: Replica, root: Path) -> None:
    replica.restore(root, force=True)

    assert (root / "extra.yml").read_bytes() == b"e: 1\n"


def test_p1_delete_does_nothing_to_a_tree_whose_guard_is_missing(replica: Replica, tmp_path: Path) -> None:
    root = write(tmp_path / "gutted", {"config.yml": b"", "other": b"x"})

    replica.restore(root, if_missing=True, guards=("config.yml",), delete=True)

    assert contents(root) == SECOND | {"other": b"x"}


def test_one_deleted_path_goes_away_with_force_and_delete(replica: Replica, root: Path) -> None:
    replica.restore(root, force=True, delete=True, path="extra.yml")

    assert contents(root) == {"config.yml": b"a: mine\n"}


def test_a_file_where_a_directory_was_keeps_the_directory_aside(tmp_path: Path) -> None:
    replica = Replica()
    replica.publish({"a": b"file\n"})
    root = write(tmp_path / "tree", {"a/b": b"deep\n"})

    report = replica.restore(root, force=True)

    assert (root / "a").read_bytes() == b"file\n"
    assert report.aside is not None
    assert (report.aside / "a" / "b").read_bytes() == b"deep\n"


def test_p1_what_no_journal_tracks_is_set_aside_even_with_force(tmp_path: Path) -> None:
    replica = Replica()
    replica.publish({"config.yml": b"a\n", "x.log": b"old\n"})
    root = write(tmp_path / "tree", {"config.yml": b"b\n", "x.log": b"new\n"})

    report = replica.restore(root, force=True)

    assert (root / "x.log").read_bytes() == b"old\n"
    assert report.aside is not None
    assert (report.aside / "x.log").read_bytes() == b"new\n"


def test_a_dry_run_prints_plan_and_masked_diff_and_touches_nothing(replica: Replica, root: Path) -> None:
    before = held(root, state=True)

    report = replica.restore(root, force=True, delete=True, dry_run=True)

    assert report.outcome == "planned"
    assert [str(action.verb) for action in report.actions] == ["replace", "delete"]
    text = "".join(report.diff)
    assert "-a: mine\n+a: 2\n+password: ***" in text
    assert "deleted file mode" in text
    assert "hunter2" not in text
    assert held(root, state=True) == before
    assert replica.recorded == []


def test_a_dry_run_of_what_would_be_refused_says_so(replica: Replica, root: Path) -> None:
    report = replica.restore(root, dry_run=True)

    assert report.outcome == "planned"
    assert "--force records it" in report.why
    assert report.diff


def test_a_dry_run_into_nothing_creates_nothing(replica: Replica, tmp_path: Path) -> None:
    report = replica.restore(tmp_path / "new", dry_run=True)

    assert (report.outcome, len(report.actions)) == ("planned", 1)
    assert not (tmp_path / "new").exists()


def test_a_rollback_leaves_a_note_for_the_next_writer(replica: Replica, tmp_path: Path) -> None:
    root = tmp_path / "tree"

    report = replica.restore(root, revision="1", actor="alice")

    note = note_in(root)
    assert (note["revision"], note["by"], note["path"]) == (1, "alice", None)
    assert note["hash"] == report.hash.hex()
    assert str(note["time"]).endswith("Z")
    assert note["host"]


def test_a_restore_to_the_newest_revision_leaves_no_note_and_removes_an_older_one(
    replica: Replica, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    replica.restore(root, revision="1")

    replica.restore(root, force=True, delete=True)

    assert contents(root) == SECOND
    assert not (root / ".confstream" / "restored").exists()


def test_a_note_names_the_path_of_a_partial_restore(replica: Replica, root: Path) -> None:
    replica.restore(root, force=True, path="config.yml")

    assert note_in(root)["path"] == "config.yml"


def test_a_tree_that_differs_only_in_mode_is_restored_by_force(replica: Replica, tmp_path: Path) -> None:
    root = write(tmp_path / "tree", SECOND, {"config.yml": 0o600})

    replica.restore(root, force=True)

    assert held(root) == {"config.yml": (SECOND["config.yml"], 0o644)}
    assert replica.recorded != []


def test_tree_of_gives_parents_to_every_path() -> None:
    assert set(tree_of({"a/b/c": b"x"})[0]) == {b"a", b"a/b", b"a/b/c"}
