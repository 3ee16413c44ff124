"""What a restart completes of the writes that a crash interrupted, and what it leaves alone."""

import os
from pathlib import Path

import pytest

from confstream import durable, scan
from confstream.journal.draft import Draft
from confstream.journal.ledger import Ledger
from confstream.journal.writes import Placer, numbers_of, redo
from confstream.revision import OK, Authorship
from confstream.testing import ManualClock
from confstream.tree import Change, Entry

OWNER = {"uid": os.geteuid(), "gid": os.getegid()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    return root


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "state", clock=ManualClock(), new_id=bytes, owner=None)


def write_ahead(ledger: Ledger, root: Path, number: int, content: bytes, *, intent: bool = True) -> None:
    """Record that ``a`` is to hold *content*, as a process does that is killed right after."""
    entry = Entry.file(b"a", content, **OWNER)
    before = {b"a": numbers_of(scan.stamp(root, b"a"))} if intent else {}
    changes = (Change.put(entry),)
    draft = Draft(bytes([number]) * 16, number, Authorship("api"), changes, OK, intent=intent, before=before)
    ledger.commit(ledger.record(draft, [(entry.hash, content)]))


def test_p4_a_write_that_is_recorded_is_completed(root: Path, ledger: Ledger) -> None:
    write_ahead(ledger, root, 1, b"new")

    assert redo(root, ledger) == [b"a"]
    assert (root / "a").read_bytes() == b"new"


def test_p1_what_somebody_wrote_since_is_not_replaced(root: Path, ledger: Ledger) -> None:
    write_ahead(ledger, root, 1, b"new")
    (root / "a").write_bytes(b"theirs")

    assert redo(root, ledger) == []
    assert (root / "a").read_bytes() == b"theirs"


def test_p1_what_was_recorded_after_it_is_not_replaced(root: Path, ledger: Ledger) -> None:
    write_ahead(ledger, root, 1, b"new")
    write_ahead(ledger, root, 2, b"old", intent=False)

    assert redo(root, ledger) == []
    assert (root / "a").read_bytes() == b"old"


def test_p4_of_two_writes_of_one_file_the_one_that_was_recorded_last_stays_whoever_is_faster(root: Path) -> None:
    placer, before = Placer(root, "w"), {b"a": numbers_of(scan.stamp(root, b"a"))}
    first, second = (Entry.file(b"a", content, **OWNER) for content in (b"first", b"second"))
    contents = {first.hash: b"first", second.hash: b"second"}
    with (
        placer.prepared([Change.put(first)], contents) as early,
        placer.prepared([Change.put(second)], contents) as late,
    ):
        placer.place([Change.put(second)], late, 2, before)
        placer.place([Change.put(first)], early, 1, before)

    assert (root / "a").read_bytes() == b"second"
    assert not [path for path in root.iterdir() if durable.is_temporary(os.fsencode(path.name))]
