"""Which rows of the table a directory and a replica are, and what then happens on the disk."""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import checkout
from confstream.errors import (
    ConfstreamError,
    IntegrityError,
    NoReplicaError,
    RefusedError,
    UnavailableError,
)
from confstream.store.memory import MemoryStore
from confstream.testing import ManualClock, fail_on
from confstream.tree import Entry, Tree
from tests.restoring import NEW, OLD, Replica, contents, held, refusing_all, write


@pytest.fixture
def replica() -> Replica:
    made = Replica()
    made.publish(OLD)
    made.publish(NEW, modes={"sub/b.yml": 0o600})
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def test_missing_is_restored_with_modes_links_and_empty_directories(replica: Replica, root: Path) -> None:
    report = replica.restore(root)

    assert (report.outcome, report.revision, report.written) == ("restored", 2, 3)
    assert held(root) == {
        "config.yml": (b"a: 2\n", 0o644),
        "sub": (None, 0o755),
        "sub/b.yml": (b"b: 1\n", 0o600),
        "link": ("config.yml", 0o777),
        "empty": (None, 0o755),
    }
    assert (root / "config.yml").stat().st_mtime_ns == 1_700_000_000 * 10**9


@pytest.mark.parametrize("if_missing", [True, False])
@pytest.mark.parametrize("there", [{}, {"config.yml": b""}, {"config.yml": b" \n\0", "sub": None}, {"x.log": b"log\n"}])
def test_p2_every_way_to_be_missing_is_restored(
    replica: Replica, root: Path, there: dict[str, bytes | None], if_missing: bool
) -> None:
    write(root, there)

    report = replica.restore(root, if_missing=if_missing)

    assert report.outcome == "restored"
    assert contents(root) == {name: there[name] for name in there if name == "x.log"} | NEW | {"sub": None}


def test_p1_a_blank_file_is_set_aside_and_the_report_says_where(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b" \n"})

    report = replica.restore(root)

    assert report.aside is not None
    assert (report.aside / "config.yml").read_bytes() == b" \n"


def test_present_and_equal_to_the_target_is_nothing_to_do(replica: Replica, root: Path) -> None:
    replica.restore(root)
    before = held(root, state=True)

    report = replica.restore(root)

    assert report.outcome == "nothing to do"
    assert held(root, state=True) == before


def test_p2_present_contacts_nothing_and_writes_nothing(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"mine\n"})

    with refusing_all(replica):
        report = replica.restore(root, if_missing=True)

    assert report.outcome == "present"
    assert "config.yml is present" in report.why
    assert held(root, state=True) == {"config.yml": (b"mine\n", 0o644)}
    assert replica.lines == []


def test_p2_present_imports_no_client_and_no_machinery(tmp_path: Path) -> None:
    write(tmp_path, {"config.yml": b"a: 1\n"})
    program = (
        "import sys; from pathlib import Path; from confstream import RestoreOptions, restore\n"
        f"report = restore('s3://bucket/prefix', Path({str(tmp_path)!r}), RestoreOptions(if_missing=True))\n"
        "heavy = {'fsspec', 's3fs', 'typer', 'asyncio', 'msgpack', 'yaml', 'confstream.log.reader'}\n"
        "print(report.outcome, sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "present []\n"


def test_p1_an_unmodified_older_revision_is_refused_and_named(replica: Replica, root: Path) -> None:
    write(root, OLD)

    with pytest.raises(RefusedError, match="is revision 1; --fast-forward brings it to revision 2"):
        replica.restore(root)

    assert held(root, state=True) == {"config.yml": (b"a: 1\n", 0o644)}


@pytest.mark.parametrize("if_missing", [True, False])
def test_fast_forward_updates_an_unmodified_older_revision(replica: Replica, root: Path, if_missing: bool) -> None:
    write(root, OLD)

    report = replica.restore(root, fast_forward=True, if_missing=if_missing)

    assert report.outcome == "restored"
    assert contents(root) == NEW | {"sub": None}
    assert replica.recorded == []


def test_fast_forward_removes_what_the_newer_revision_no_longer_has(replica: Replica, root: Path) -> None:
    write(root, NEW, {"sub/b.yml": 0o600})
    replica.publish(OLD)

    report = replica.restore(root, fast_forward=True)

    assert contents(root) == OLD
    assert "deletes sub/b.yml" in replica.lines
    assert report.removed == 4
    assert not (root / ".confstream" / "restored").exists()


def test_p1_fast_forward_never_touches_a_modified_tree(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"a: 1\n# mine\n"})

    with pytest.raises(RefusedError, match="in no revision"):
        replica.restore(root, fast_forward=True)

    assert contents(root) == {"config.yml": b"a: 1\n# mine\n"}


def test_p1_fast_forward_never_goes_back(replica: Replica, root: Path) -> None:
    replica.restore(root)

    with pytest.raises(RefusedError, match="newer than revision 1; --force goes back"):
        replica.restore(root, fast_forward=True, revision="1")

    assert contents(root) == NEW | {"sub": None}


def test_p2_fast_forward_of_a_present_tree_survives_a_dead_replica(replica: Replica, root: Path) -> None:
    write(root, OLD)
    replica.faults.append(fail_on("list", times=10**6))

    report = replica.restore(root, ManualClock(), if_missing=True, fast_forward=True)

    assert report.outcome == "present"
    assert any("not updated" in warning for warning in report.warnings)


def test_p1_a_modified_tree_is_refused(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"mine\n", "b": b"x"})

    with pytest.raises(RefusedError, match="--force records it"):
        replica.restore(root)

    assert held(root, state=True) == {"config.yml": (b"mine\n", 0o644), "b": (b"x", 0o644)}


def test_p1_an_unmodified_tree_is_found_behind_packs_too(root: Path) -> None:
    replica = Replica()
    for number in range(70):
        replica.publish({"config.yml": b"a: %d\n" % number})
    write(root, {"config.yml": b"a: 3\n"})

    with pytest.raises(RefusedError, match="is revision 4;"):
        replica.restore(root)


def test_p2_a_missing_guard_is_filled_in_and_the_rest_kept(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"\n", "sub/b.yml": b"mine\n", "other": b"x"})

    report = replica.restore(root, if_missing=True, guards=("config.yml",))

    assert report.outcome == "restored"
    assert report.aside is not None
    assert (report.aside / "config.yml").read_bytes() == b"\n"
    assert contents(root) == NEW | {"sub": None, "sub/b.yml": b"mine\n", "other": b"x"}
    assert report.kept == 1


@pytest.mark.parametrize("guard", [None, b"", b" \n"])
def test_p1_a_missing_guard_without_if_missing_is_refused(replica: Replica, root: Path, guard: bytes | None) -> None:
    write(root, {"other": b"x"} | ({} if guard is None else {"config.yml": guard}))
    before = held(root, state=True)

    with pytest.raises(RefusedError, match="other files are present; --if-missing fills it in"):
        replica.restore(root, guards=("config.yml",))

    assert held(root, state=True) == before


def test_p2_a_guard_that_the_revision_lacks_is_told(replica: Replica, root: Path) -> None:
    report = replica.restore(root, if_missing=True, guards=("main.yml",))

    assert report.outcome == "restored"
    assert any("main.yml is a guard" in warning for warning in report.warnings)


def test_p2_what_fills_a_dangling_link_keeps_the_link_aside(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": "nowhere"})

    report = replica.restore(root, if_missing=True)

    assert report.aside is not None
    assert (report.aside / "config.yml").readlink() == Path("nowhere")
    assert (root / "config.yml").read_bytes() == b"a: 2\n"


def test_p1_a_file_that_nothing_tracks_is_kept_where_the_revision_has_another(root: Path) -> None:
    replica = Replica()
    replica.publish({"config.yml": b"a: 1\n", "x.log": b"old\n"})
    write(root, {"x.log": b"new\n"})

    report = replica.restore(root, if_missing=True)

    assert contents(root) == {"config.yml": b"a: 1\n", "x.log": b"new\n"}
    assert report.kept == 1


@pytest.mark.parametrize("if_missing", [True, False])
def test_missing_without_a_replica_names_the_prefix_that_was_looked_at(root: Path, if_missing: bool) -> None:
    with pytest.raises(NoReplicaError, match="no replica at memory://"):
        Replica().restore(root, if_missing=if_missing)

    assert not root.exists()


def test_missing_without_a_replica_is_a_first_start_if_that_is_allowed(root: Path) -> None:
    replica = Replica()

    report = replica.restore(root, if_missing=True, if_replica_exists=True)

    assert report.outcome == "first start"
    assert "memory://" in report.why
    assert not root.exists()


def test_a_prefix_that_holds_something_else_is_named_so(root: Path) -> None:
    replica = Replica()
    replica.store.put("backup.tar", b"x")

    with pytest.raises(NoReplicaError, match="1 objects there are not confstream's"):
        replica.restore(root)


def test_p10_a_log_that_is_gone_beside_its_traces_is_not_a_first_start(replica: Replica, root: Path) -> None:
    replica.publisher.beat(300.0, 0.0, "0.1")
    replica.store.delete([key for key in replica.store.list() if not key.startswith("heartbeat/")])

    with pytest.raises(IntegrityError, match="the log is gone, but a writer had published revision 2"):
        replica.restore(root, if_missing=True, if_replica_exists=True)


@pytest.mark.parametrize("options", [{}, {"if_missing": True}, {"if_missing": True, "if_replica_exists": True}])
def test_p2_missing_and_unreachable_must_not_start_empty(
    replica: Replica, root: Path, options: dict[str, bool]
) -> None:
    clock = ManualClock()
    replica.faults.append(fail_on("list", times=10**6))

    with pytest.raises(UnavailableError, match="nothing may start without it"):
        replica.restore(root, clock, timeout_seconds=20, **options)

    assert clock.elapsed_seconds() <= 20 + 4
    assert "trying again" in replica.lines[0] or "trying again" in replica.lines[1]
    assert not root.exists()


def test_a_present_tree_without_if_missing_says_that_the_replica_is_unreachable(replica: Replica, root: Path) -> None:
    write(root, OLD)
    replica.faults.append(fail_on("list", times=10**6))

    with pytest.raises(UnavailableError, match="nothing was changed"):
        replica.restore(root, ManualClock())


def test_a_storage_that_fails_once_is_asked_again(replica: Replica, root: Path) -> None:
    replica.faults.append(fail_on("list"))

    report = replica.restore(root, ManualClock())

    assert report.outcome == "restored"


def test_p7_a_silent_storage_is_told_before_it_answers(replica: Replica, root: Path) -> None:
    clock = ManualClock(auto=False)

    def answer(operation: str, _key: str) -> None:
        if operation == "list" and not any("has not answered" in line for line in replica.lines):
            clock.advance(4.0)
            _until(lambda: any("has not answered for 4 s" in line for line in replica.lines))

    store = MemoryStore(before=answer)
    for key in replica.store.list():
        store._shelf.objects[key] = replica.store.get(key)
    replica.store = store

    report = replica.restore(root, clock)

    assert report.outcome == "restored"


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 10
    while not holds():
        assert time.perf_counter() < deadline
        threading.Event().wait(0.002)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(("owner", "expected"), [("recorded", (1234, 1235)), ("none", (0, 0)), ((7, 8), (7, 8))])
def test_owners_are_the_recorded_ones_nobody_in_particular_or_those_given(
    root: Path, owner: str | tuple[int, int], expected: tuple[int, int]
) -> None:
    replica = Replica()
    entry = Entry.file(b"config.yml", b"a\n", uid=1234, gid=1235)
    replica.publish_tree(Tree([entry]), {entry.hash: b"a\n"})

    report = replica.restore(root, owner=owner)

    status = (root / "config.yml").stat()
    assert ((status.st_uid, status.st_gid), report.not_owned) == (expected, 0)


def test_everything_local_is_private(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"mine\n"})

    replica.restore(root, force=True, revision="1")

    state = root / ".confstream"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "restored").stat().st_mode) == 0o600


def test_p3_a_state_directory_that_was_swapped_just_before_it_was_locked_ended_in_a_trace(
    replica: Replica, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = checkout.prepare_state_dir

    def swapped(where: Path) -> Path:
        made = prepare(where)
        made.rename(where / "elsewhere")
        made.symlink_to("elsewhere")
        return made

    monkeypatch.setattr(checkout, "prepare_state_dir", swapped)

    with pytest.raises(ConfstreamError, match="nothing was changed"):
        replica.restore(root)
