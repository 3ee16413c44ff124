"""Another program edits a file in the moments in which a journal replaces it: nothing of it is lost (P1)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream import durable, scan
from confstream.journal import swap, writes
from confstream.journal.capture import Capture
from confstream.journal.ledger import Ledger
from confstream.journal.leftovers import sweep
from confstream.testing import ManualClock
from confstream.tree import Change, Entry, Op
from tests.journals import PATIENCE_SECONDS, Open, Replica, opener

THEIRS = b"theirs, in the last moment\n"


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, replica: Replica) -> Open:
    return opener(monkeypatch, replica)


@pytest.fixture
def opened(replica: Replica, start: Open) -> tuple[Replica, Open]:
    return replica, start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "config.yml").write_bytes(b"a: 1\n")
    return tree


def in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(THEIRS)


def by_rename(path: Path) -> None:
    path.with_name("config.new").write_bytes(THEIRS)
    path.with_name("config.new").replace(path)


KINDS = ("write", "delete")
EDITS: dict[str, Callable[[Path], None]] = {"in place": in_place, "by rename": by_rename}


def before(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], object]) -> None:
    """Have *act* called once, right before the function *name* of *where* is."""
    function, left = getattr(where, name), [act]

    def call(*arguments: Any, **named: Any) -> Any:
        if left:
            left.pop()()
        return function(*arguments, **named)

    monkeypatch.setattr(where, name, call)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("case", [(step, what) for step in ("planned", "recorded", "placed") for what in KINDS])
def test_p1_an_edit_while_a_write_is_under_way_is_in_the_history(
    root: Path, opened: tuple[Replica, Open], monkeypatch: pytest.MonkeyPatch, case: tuple[str, str], edit: str
) -> None:
    (replica, start), (step, what) = opened, case
    where, name = {
        "planned": (durable if what == "write" else Capture, "create" if what == "write" else "stamp"),
        "recorded": (Ledger, "commit"),
        "placed": (writes, "put" if what == "write" else "take_away"),
    }[step]
    with start(root) as journal:
        before(monkeypatch, where, name, lambda: EDITS[edit](root / "config.yml"))
        if what == "write":
            journal.write("config.yml", b"ours\n")
        else:
            journal.delete("config.yml")
        journal.sync(PATIENCE_SECONDS)

        found = [replica.files(number).get("config.yml") for number in range(1, replica.head + 1)]
        assert THEIRS in found, "the edit is nowhere"
        assert (b"ours\n" if what == "write" else None) in found, "the write is nowhere"
        on_disk = (root / "config.yml").read_bytes() if (root / "config.yml").exists() else None
        assert found[-1] == on_disk, "the disk is not the newest revision"
        assert not [path for path in root.iterdir() if durable.is_temporary(os.fsencode(path.name))]


def test_p1_a_file_that_appears_where_a_new_one_is_written_is_kept(
    root: Path, replica: Replica, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(root) as journal:
        before(monkeypatch, writes, "put", lambda: (root / "new.yml").write_bytes(THEIRS))
        journal.write("new.yml", b"ours\n")
        journal.sync(PATIENCE_SECONDS)

        assert [replica.files(number).get("new.yml") for number in range(2, 4)] == [b"ours\n", THEIRS]
        assert (root / "new.yml").read_bytes() == THEIRS


def test_p1_a_file_that_is_deleted_while_it_is_written_stays_deleted(
    root: Path, replica: Replica, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "other.yml").write_bytes(b"o: 1\n")
    with start(root) as journal:
        before(monkeypatch, writes, "put", (root / "config.yml").unlink)
        journal.write("config.yml", b"ours\n")
        journal.sync(PATIENCE_SECONDS)

        assert [replica.files(number).get("config.yml") for number in range(2, 4)] == [b"ours\n", None]
        assert not (root / "config.yml").exists()


@pytest.mark.parametrize("supported", [True, False])
def test_what_is_expected_is_replaced_and_what_is_not_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    if not supported:
        monkeypatch.setattr(durable, "_rename_with", lambda *_: False)
    with durable.opened_root(root) as directory:
        numbers = swap.numbers_at(directory, b"config.yml")
        assert numbers is not None
        for name in (b"one", b"two", b"three"):
            durable.create(directory, name, name)

        replaced: list[bytes] = []
        assert not swap.put(directory, b"config.yml", b"one", [None], replaced.append)
        assert not swap.put(directory, b"config.yml", b"one", [(1, 2, 3)], replaced.append)
        assert not swap.take_away(directory, b"config.yml", [(1, 2, 3)], durable.temporary_name(), replaced.append)
        assert (root / "config.yml").read_bytes() == b"a: 1\n"
        assert not replaced
        assert swap.put(directory, b"config.yml", b"two", [numbers], replaced.append)
        assert not swap.put(directory, b"new", b"three", [numbers], replaced.append)
        assert swap.put(directory, b"new", b"three", [None, numbers], replaced.append)
        for name in replaced:
            assert (root / os.fsdecode(name)).read_bytes() == b"a: 1\n"
            os.unlink(name, dir_fd=directory)

    assert {path.name: path.read_bytes() for path in root.iterdir()} == {
        "config.yml": b"two",
        "new": b"three",
        "one": b"one",
    }


def test_a_write_after_a_delete_of_the_same_process_is_placed_although_the_file_is_gone(root: Path) -> None:
    placer = writes.Placer(root, "0123456789abcdef")
    seen = writes.numbers_of(scan.stamp(root, b"config.yml"))
    entry = Entry.file(b"config.yml", b"ours\n", 0o644, uid=os.getuid(), gid=os.getgid())
    write, delete = [Change.put(entry)], [Change(Op.DELETE, b"config.yml")]

    with placer.prepared(write, {entry.hash: b"ours\n"}) as temporary:
        # Both were planned while the file was there.
        placer.place(delete, {}, 1, {b"config.yml": seen})
        placer.place(write, temporary, 2, {b"config.yml": seen})

    assert (root / "config.yml").read_bytes() == b"ours\n"


def test_p3_a_checkpoint_of_the_journal_does_not_take_the_marker_of_a_restore_away(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "staging").mkdir(parents=True)
    marker = state / os.fsdecode(durable.temporary_name())
    marker.touch()

    with Ledger.open(state, clock=ManualClock(), new_id=os.urandom) as ledger:
        ledger.checkpoint()

    assert marker.exists()
    # Without a restore, it is what a crash left behind.
    (state / "staging").rmdir()
    Ledger.open(state, clock=ManualClock(), new_id=os.urandom).close()
    assert not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_p4_a_journal_with_its_own_state_directory_swept_away_what_another_one_was_about_to_put_into_place(
    opened: tuple[Replica, Open], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _, start = opened
    with start(root, state_dir=tmp_path / "one", publish=False) as journal:

        def open_another() -> None:
            start(root, state_dir=tmp_path / "other", publish=False, capture=False).close()

        if kind == "write":
            before(monkeypatch, writes.Placer, "place", open_another)
            journal.write("config.yml", b"ours\n")
            assert (root / "config.yml").read_bytes() == b"ours\n"
        else:
            before(monkeypatch, swap, "numbers_at", open_another)
            journal.delete("config.yml")
            assert not (root / "config.yml").exists()

    assert sorted(path.name for path in root.iterdir()) == ["config.yml"] * (kind == "write")


def test_what_a_killed_write_left_goes_at_the_next_start_and_what_anybody_else_left_when_it_is_old(
    tmp_path: Path,
) -> None:
    ours, theirs, of_nobody = (durable.temporary_name(maker) for maker in ("ours", "theirs", ""))
    for name in (ours, theirs, of_nobody):
        (tmp_path / os.fsdecode(name)).touch()
    made_ns = (tmp_path / os.fsdecode(theirs)).stat().st_ctime_ns

    sweep(tmp_path, "ours", made_ns)
    assert {os.fsencode(path.name) for path in tmp_path.iterdir()} == {theirs, of_nobody}

    sweep(tmp_path, "ours", made_ns + 2 * 3600 * 10**9)
    assert not [*tmp_path.iterdir()]
