"""A tree that changes while it is restored, a replica that lies, a disk that is full, a process with few rights."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from confstream import durable
from confstream.errors import ConfstreamError, IntegrityError, PartialError, RefusedError
from confstream.restorer import RestoreOptions, RestoreReport, note, restore
from confstream.store.local import LocalStore
from confstream.tree import Entry, Tree
from tests.restoring import URL, Replica, contents, held, replica_of, when, write

TARGET = {"config.yml": b"a: 2\n", "sub/b.yml": b"b: 2\n"}


@pytest.fixture
def replica() -> Replica:
    return replica_of({"config.yml": b"a: 1\n"}, TARGET)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def disturbed(replica: Replica, root: Path, checkpoint: Callable[[str], None], **options: Any) -> RestoreReport:
    return restore(
        URL,
        root,
        RestoreOptions(**options),
        open_store=replica.opened,
        record_before=replica.record,
        report=replica.lines.append,
        checkpoint=checkpoint,
    )


STEPS = ["stage config.yml", "sync staging", "write the marker"]


@pytest.mark.parametrize("step", STEPS)
def test_p1_a_file_that_appears_meanwhile_is_kept(replica: Replica, root: Path, step: str) -> None:
    appear = when(step, lambda: write(root, {"sub/b.yml": b"mine\n", "new": b"n\n"}))

    report = disturbed(replica, root, appear, if_missing=True, guards=("config.yml",))

    assert report.outcome == "restored"
    assert contents(root) == {"config.yml": b"a: 2\n", "sub": None, "sub/b.yml": b"mine\n", "new": b"n\n"}


@pytest.mark.parametrize("step", STEPS)
def test_p2_a_configuration_that_appears_meanwhile_is_present(replica: Replica, root: Path, step: str) -> None:
    report = disturbed(replica, root, when(step, lambda: write(root, {"config.yml": b"mine\n"})), if_missing=True)

    assert report.outcome == "present"
    assert contents(root) == {"config.yml": b"mine\n"}


def test_a_blank_file_that_appears_meanwhile_is_set_aside(replica: Replica, root: Path) -> None:
    report = disturbed(replica, root, when(STEPS[0], lambda: write(root, {"config.yml": b""})), if_missing=True)

    assert contents(root) == TARGET | {"sub": None}
    assert report.aside is not None


@pytest.mark.parametrize("step", STEPS)
def test_p1_an_edit_during_fast_forward_stops_it(replica: Replica, root: Path, step: str) -> None:
    write(root, {"config.yml": b"a: 1\n"})
    edit = when(step, lambda: (root / "config.yml").write_bytes(b"edited\n"))

    with pytest.raises(RefusedError, match="in no revision"):
        disturbed(replica, root, edit, fast_forward=True)

    assert contents(root) == {"config.yml": b"edited\n"}
    assert not (root / ".confstream" / "staging").exists()


@pytest.mark.parametrize("step", STEPS)
def test_p1_an_edit_during_force_is_recorded_before_it_is_replaced(replica: Replica, root: Path, step: str) -> None:
    write(root, {"config.yml": b"first\n"})
    edit = when(step, lambda: (root / "config.yml").write_bytes(b"edited\n"))

    report = disturbed(replica, root, edit, force=True)

    assert contents(root) == TARGET | {"sub": None}
    assert replica.recorded
    replica.restore(root, force=True, revision="latest")
    assert report.recorded
    assert (root / "config.yml").read_bytes() == b"edited\n"


def test_p1_a_tree_that_never_rests_is_left_alone(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"0\n"})
    count = iter(range(1, 100))

    def busy(step: str) -> None:
        if step == "write the marker":
            (root / "config.yml").write_bytes(b"%d!\n" % next(count))

    with pytest.raises(RefusedError, match=r"config\.yml changed while the restore was prepared, 4 times"):
        disturbed(replica, root, busy, force=True)

    assert contents(root) == {"config.yml": b"4!\n"}


def test_two_restores_at_once_do_not_share_their_staging(replica: Replica, root: Path) -> None:
    root.mkdir()
    (root / ".confstream").mkdir(0o700)
    with durable.opened_root(root / ".confstream") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(RefusedError, match="another restore is running"):
            replica.restore(root)

    assert contents(root) == {}


def test_p3_a_link_in_place_of_a_directory_leads_nothing_out_of_the_tree(replica: Replica, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"b.yml": b"outside\n"})
    root = write(tmp_path / "tree", {"sub": str(outside)})

    replica.restore(root, force=True)

    assert contents(outside) == {"b.yml": b"outside\n"}
    assert contents(root) == TARGET | {"sub": None}


def test_p3_a_link_planted_after_the_look_leads_nothing_out_of_the_tree(replica: Replica, tmp_path: Path) -> None:
    outside, root = write(tmp_path / "outside", {}), tmp_path / "tree"

    def plant() -> None:
        (root / "sub").symlink_to(outside)

    with contextlib.suppress(ConfstreamError):
        disturbed(replica, root, when("staged", plant))

    assert contents(outside) == {}


def test_p3_a_marker_that_vanished_before_the_switch_was_told_as_a_disk_that_refuses(
    replica: Replica, root: Path
) -> None:
    remove = when("staged", (root / ".confstream" / "restoring").unlink)

    with pytest.raises(PartialError, match=r"restoring: the marker vanished, something else removed it\. Nothing was"):
        disturbed(replica, root, remove)

    assert contents(root) == {}
    assert not (root / ".confstream" / "restored").exists()
    assert replica.restore(root).outcome == "restored"


def test_p3_a_state_directory_that_was_moved_away_before_the_note_ended_in_a_bare_error_of_the_system(
    replica: Replica, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(tree: Path) -> None:
        (tree / ".confstream").rename(tree / "moved")

    monkeypatch.setattr(note, "prepare_state_dir", prepare)

    with pytest.raises(PartialError, match=r"restoring: the marker vanished, something else removed it\. Nothing was"):
        replica.restore(root)

    assert contents(root).keys() & TARGET.keys() == set()


def test_p3_a_marker_that_vanished_during_the_switch_is_told_though_everything_is_in_place(
    replica: Replica, root: Path
) -> None:
    remove = when("remove the marker", (root / ".confstream" / "restoring").unlink)

    with pytest.raises(PartialError, match=r"the marker vanished, something else removed it\. Every file is in place"):
        disturbed(replica, root, remove)

    assert contents(root) == TARGET | {"sub": None}


@pytest.mark.parametrize("name", [b"/etc/x", b"../x", b"a/../../x", b"a//b", b"a/."])
def test_p9_a_replica_with_a_hostile_path_is_refused_before_anything_is_touched(
    root: Path, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica()
    parts = name.split(b"/")
    with monkeypatch.context() as lenient:
        # A writer that checks nothing, so that the object is whole but for its path.
        lenient.setattr("confstream.tree.check_path", lambda path: path)
        above = [Entry.directory(b"/".join(parts[:count])) for count in range(1, len(parts))]
        entry = Entry.file(name, b"evil\n")
        replica.publish_tree(Tree([*above, entry]), {entry.hash: b"evil\n"})

    with pytest.raises(IntegrityError):
        replica.restore(root)

    assert not root.exists()
    assert not (root.parent / "x").exists()


def test_p9_a_state_directory_in_the_replica_never_reaches_ours(root: Path) -> None:
    replica = Replica()
    folder, entry = Entry.directory(b".confstream"), Entry.file(b".confstream/restoring", b"evil\n")
    good = Entry.file(b"config.yml", b"a\n")
    replica.publish_tree(Tree([folder, entry, good]), {entry.hash: b"evil\n", good.hash: b"a\n"})

    with pytest.raises(IntegrityError, match="keeps its own state"):
        replica.restore(root)

    assert not root.exists()


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond *size* bytes, as a full disk would not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("there", [None, {}, {"config.yml": b""}])
def test_p3_a_full_disk_while_staging_changes_nothing(root: Path, there: dict[str, bytes] | None) -> None:
    replica = Replica()
    replica.publish({"config.yml": b"x" * 100_000})
    if there is not None:
        write(root, there)

    with files_of_at_most(50_000), pytest.raises(ConfstreamError, match=r"Nothing was changed|nothing was changed"):
        replica.restore(root, if_missing=True)

    assert root.exists() == (there is not None)
    if there is not None:
        assert contents(root) == there
        assert not (root / ".confstream" / "staging").exists()
    assert replica.restore(root, if_missing=True).outcome == "restored"


as_nobody = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def restore_as(uid: int, base: Path, options: str) -> list[str]:
    """Restore ``replica`` into ``tree``, both in *base*, as the user *uid*; return what came of it, by lines."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from confstream import ConfstreamError, RestoreOptions, restore\n"
        # Everything is imported before the rights are given up: the interpreter may lie where only root may look.
        f"restore({str(base / 'replica')!r}, Path({str(base / 'warm')!r}), RestoreOptions(force=True))\n"
        f"os.setgroups([]); os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})\n"
        "try:\n"
        f"    report = restore({str(base / 'replica')!r}, Path({str(base / 'tree')!r}), RestoreOptions({options}))\n"
        "    print(report.outcome, report.not_owned, *report.warnings, sep='\\n')\n"
        "except ConfstreamError as error:\n"
        "    print(type(error).__name__, error, sep='\\n')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def published(base: Path) -> Replica:
    """Return a replica in *base* whose files belong to root and which everybody may read."""
    replica = Replica(LocalStore(base / "replica"))
    replica.publish(TARGET)
    for folder, _, files in os.walk(base / "replica"):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o644)
    return replica


@as_nobody
def test_files_that_cannot_be_given_to_their_owner_are_counted_and_no_failure(open_base: Path) -> None:
    published(open_base)
    (open_base / "tree").mkdir()
    os.chown(open_base / "tree", 12345, 12345)

    lines = restore_as(12345, open_base, "")

    assert lines[:2] == ["restored", "3"]
    assert "could not be given to the recorded owner" in lines[2]
    assert contents(open_base / "tree") == TARGET | {"sub": None}


@as_nobody
def test_p1_a_target_that_may_not_be_written_is_left_as_it_is(open_base: Path) -> None:
    published(open_base)
    (open_base / "tree").mkdir()

    lines = restore_as(12345, open_base, "if_missing=True")

    assert lines[0] in {"RefusedError", "ConfstreamError"}
    assert held(open_base / "tree", state=True) == {}


@as_nobody
def test_p1_a_file_that_may_not_be_read_is_never_replaced(open_base: Path) -> None:
    published(open_base)
    root = write(open_base / "tree", {"config.yml": b"secret\n"}, {"config.yml": 0o600})
    os.chown(root, 12345, 12345)

    lines = restore_as(12345, open_base, "force=True")

    assert lines[0] == "RefusedError"
    assert contents(root) == {"config.yml": b"secret\n"}


@as_nobody
def test_what_root_restores_can_be_used_by_the_owner_of_the_tree(open_base: Path) -> None:
    replica = published(open_base)
    root = open_base / "tree"
    root.mkdir()
    os.chown(root, 12345, 12345)

    replica.restore(root, owner=(12345, 12345))

    owners = {(path.stat().st_uid, path.stat().st_gid) for path in [root, *root.rglob("*")]}
    assert owners == {(12345, 12345)}
