"""The ledger: whatever happens, base, pending drafts and captured tree come back exactly."""

import contextlib
import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from confstream.errors import ConfstreamError, IntegrityError, NotFoundError, UnavailableError
from confstream.journal.book import Record
from confstream.journal.draft import Draft, FencedBy
from confstream.journal.ledger import Ledger
from confstream.journal.peek import peek
from confstream.journal.wal import sync_content
from confstream.revision import Authorship, Position, Status, Verdict
from confstream.testing import ManualClock
from confstream.tree import EMPTY, Change, Entry, Meta, Op, Tree, apply, content_hash, diff

Contents = list[tuple[bytes, bytes]]


def _ids(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes  # noqa: S311 - ids that repeat, not secrets


def _open(path: Path, **more: Any) -> Ledger:
    return Ledger.open(path, clock=ManualClock(), **{"new_id": os.urandom, **more})


def _draft(number: int, *changes: Change, **more: Any) -> Draft:
    return Draft(number.to_bytes(16, "big"), number, Authorship(), changes, **more)


def _put(number: int, path: bytes, content: bytes, **more: Any) -> tuple[Draft, Contents]:
    entry = Entry.file(path, content, mtime_ns=number)
    return _draft(number, Change.put(entry), **more), [(entry.hash, content)]


def _position(number: int) -> Position:
    return Position(number, bytes([number % 256]) * 32, number, number)


def _write(ledger: Ledger, number: int, path: bytes, content: bytes, **more: Any) -> Draft:
    draft, contents = _put(number, path, content, **more)
    ledger.commit(ledger.record(draft, contents))
    return draft


def _names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


class _Disk:
    """A sync that fails when told."""

    def __init__(self) -> None:
        self.failure: OSError | None = None

    def __call__(self, descriptor: int) -> None:
        if self.failure is not None:
            raise self.failure
        sync_content(descriptor)


def test_a_new_ledger_knows_nothing_but_who_it_is(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        writer = ledger.writer
        known = (
            ledger.base,
            ledger.base_tree,
            ledger.current,
            ledger.pending,
            ledger.fenced,
            ledger.stream,
            ledger.notes,
        )

    assert known == (Position(), EMPTY, {}, [], None, None, {})
    assert len(bytes.fromhex(writer)) == 8
    with _open(tmp_path / "state") as again:
        assert again.writer == writer


def test_p4_a_committed_draft_and_its_contents_come_back(tmp_path: Path) -> None:
    entry = Entry.file(b"config.yml", b"mqtt: {}", 0o600, uid=7, gid=8, mtime_ns=9)
    draft = Draft(
        b"w" * 16,
        1_700_000_000_000_000_000,
        Authorship("api", "ann", "why", {"ticket": "12"}),
        (Change.put(Entry.directory(b"d")), Change.put(entry), Change.put(Entry.symlink(b"d/\xff\n", b"../x"))),
        Verdict(Status.SUSPICIOUS, ("shrank",)),
        intent=True,
        before={b"config.yml": (1, -2, 2**63), b"d": None},
    )
    with _open(tmp_path / "state") as ledger:
        ledger.commit(ledger.record(draft, [(entry.hash, b"mqtt: {}")]))

    with _open(tmp_path / "state") as ledger:
        assert ledger.pending == [draft] == ledger.intents
        assert ledger.current == apply(EMPTY, draft.changes)
        assert ledger.content(entry.hash) == b"mqtt: {}"
        assert ledger.content(content_hash(b"other")) is None


def test_a_draft_that_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"file", b"1")
        before = ledger.current, ledger.pending, ledger.pending_bytes
        misfits = [
            _draft(2, Change(Op.DELETE, b"absent")),
            _draft(2, Change(Op.META, b"absent", meta=Meta(0o600, 0, 0))),
            _draft(2, Change.put(Entry.file(b"file/below", b""))),
            _draft(2, Change.put(Entry.file(b"nowhere/file", b""))),
            _draft(1, Change.put(Entry.file(b"again", b""))),
            _draft(2, Change.put(Entry.file(b"/".join([b"a" * 250] * 20), b""))),
        ]

        for draft in misfits:
            with pytest.raises(ValueError, match=r"file|write id|path|not there"):
                ledger.record(draft)

        assert (ledger.current, ledger.pending, ledger.pending_bytes) == before


def test_a_directory_goes_only_with_what_is_in_it(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        made = _draft(1, Change.put(Entry.directory(b"d")), Change.put(Entry.file(b"d/f", b"")))
        ledger.commit(ledger.record(made, [(content_hash(b""), b"")]))

        with pytest.raises(ValueError, match="there no more"):
            ledger.record(_draft(2, Change(Op.DELETE, b"d")))
        ledger.commit(ledger.record(_draft(2, Change(Op.DELETE, b"d"), Change(Op.DELETE, b"d/f"))))

        assert ledger.current == {}


def test_a_content_that_does_not_have_its_hash_is_refused(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        draft, _ = _put(1, b"f", b"right")

        with pytest.raises(ValueError, match="does not have the hash"):
            ledger.record(draft, [(content_hash(b"right"), b"wrong")])

        assert ledger.pending == []
        assert ledger.current == {}


def test_a_content_is_held_once(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"a", b"x" * 10_000)
        size = ledger.pending_bytes

        _write(ledger, 2, b"b", b"x" * 10_000)

        assert ledger.pending_bytes - size < 1000


def test_what_is_confirmed_is_in_the_base_and_its_contents_go(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        for number in range(1, 4):
            _write(ledger, number, b"f", b"%d" % number * 1000)
        ledger.confirmed((2).to_bytes(16, "big"), _position(2))

        assert ledger.base == _position(2)
        assert ledger.base_tree == ledger.settled
        assert ledger.base_tree[b"f"].hash == content_hash(b"2" * 1000)
        assert [draft.time_ns for draft in ledger.pending] == [3]

        ledger.checkpoint()
        assert ledger.content(content_hash(b"1" * 1000)) is None
        assert ledger.content(content_hash(b"3" * 1000)) == b"3" * 1000
        with pytest.raises(ValueError, match="no pending draft"):
            ledger.confirmed(b"?" * 16, _position(3))


def test_p5_what_is_forked_stays_in_the_captured_tree(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"f", b"published")
        ledger.confirmed((1).to_bytes(16, "big"), _position(1))
        _write(ledger, 2, b"f", b"forked")
        ledger.forked((2).to_bytes(16, "big"))
        theirs = Tree([Entry.file(b"f", b"theirs"), Entry.file(b"g", b"")])
        ledger.rebase(_position(9), theirs)

    with _open(tmp_path / "state") as ledger:
        assert (ledger.base, ledger.base_tree) == (_position(9), theirs)
        assert ledger.pending == []
        assert set(ledger.current) == {b"f"}
        assert ledger.current[b"f"].hash == content_hash(b"forked")
        assert ledger.settled == ledger.current


def test_after_others_published_a_confirmed_draft_makes_our_tree_the_base(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        draft = _write(ledger, 1, b"f", b"ours")
        ledger.rebase(_position(5), Tree([Entry.file(b"g", b"theirs")]))
        ledger.confirmed(draft.write_id, _position(6))

    with _open(tmp_path / "state") as ledger:
        assert ledger.base == _position(6)
        assert dict(ledger.base_tree) == ledger.current == {b"f": Entry.file(b"f", b"ours", mtime_ns=1)}


def test_a_fresh_start_takes_the_log_for_what_was_captured(tmp_path: Path) -> None:
    tree = Tree([Entry.file(b"f", b"from the log")])
    with _open(tmp_path / "state") as ledger:
        ledger.rebase(_position(4), tree, captured=True)
        assert ledger.current == tree
        _write(ledger, 1, b"g", b"")
        with pytest.raises(ValueError, match="1 drafts are pending"):
            ledger.rebase(_position(5), tree, captured=True)


def test_fences_notes_and_the_stream_are_remembered(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        ledger.attach("stream-1")
        ledger.fence(FencedBy("0123", 4))
        ledger.note("held", "the tree is empty")
        ledger.note("behind", "3")
        ledger.note("behind", None)

        # As after kill -9: nothing is closed.
        glance = peek(tmp_path / "state")

    assert (glance.stream, glance.fenced, glance.notes) == (
        "stream-1",
        FencedBy("0123", 4),
        {"held": "the tree is empty"},
    )
    with _open(tmp_path / "state") as ledger:
        assert (ledger.stream, ledger.fenced, ledger.notes) == (glance.stream, glance.fenced, glance.notes)
        ledger.fence(None)
    with _open(tmp_path / "state") as ledger:
        assert ledger.fenced is None


def test_an_intent_stays_until_applied_even_when_published(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        first = _write(ledger, 1, b"f", b"1", intent=True, before={b"f": None})
        second = _write(ledger, 2, b"f", b"2", intent=True, before={b"f": (1, 2)})
        ledger.confirmed(first.write_id, _position(1))

    with _open(tmp_path / "state") as ledger:
        assert ledger.intents == [first, second]
        assert ledger.pending == [second]
        assert ledger.content(content_hash(b"1")) == b"1"
        ledger.applied(first.write_id)
        ledger.applied(second.write_id)
        ledger.applied(b"never known      "[:16])

    with _open(tmp_path / "state") as ledger:
        assert ledger.intents == []
        assert ledger.pending == [second]
        assert ledger.content(content_hash(b"1")) is None


def test_p14_the_oldest_drafts_are_merged_and_the_newest_state_stays(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        for number in range(1, 11):
            _write(ledger, number, b"f%d" % (number % 2), b"%d" % number * 5000)
        before, size = ledger.current, ledger.pending_bytes

        removed = ledger.coalesce(2, locked={(1).to_bytes(16, "big")})

        assert removed == 6
        assert ledger.pending_bytes < 0.6 * size
        assert ledger.current == before

    with _open(tmp_path / "state") as ledger:
        assert ledger.current == before
        assert [draft.time_ns for draft in ledger.pending] == [1, 8, 9, 10]
        merged = ledger.pending[1]
        assert merged.authorship == Authorship("api", labels={"coalesced": "7"})
        assert ledger.content(content_hash(b"8" * 5000)) == b"8" * 5000
        assert ledger.content(content_hash(b"3" * 5000)) is None
        assert ledger.coalesce(0) == 3
        assert ledger.pending[0].authorship.labels == {"coalesced": "10"}
        assert ledger.current == before


def test_p14_a_log_that_is_mostly_dead_is_written_anew(tmp_path: Path) -> None:
    with _open(tmp_path / "state", log_size_max=50_000) as ledger:
        for number in range(1, 40):
            draft = _write(ledger, number, b"f", number.to_bytes(2, "big") * 5000)
            ledger.confirmed(draft.write_id, _position(number))
            sizes = [path.stat().st_size for path in (tmp_path / "state").glob("wal-*")]
            assert len(sizes) == 1
            assert sizes[0] < 70_000


def test_a_closed_ledger_leaves_only_what_is_needed(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        draft = _write(ledger, 1, b"f", b"x" * 100_000)
        ledger.confirmed(draft.write_id, _position(1))

    assert sum(path.stat().st_size for path in (tmp_path / "state").iterdir()) < 1000
    with pytest.raises(ConfstreamError, match="closed"):
        ledger.record(_draft(2))


def test_p12_everything_it_creates_is_private_and_belongs_to_the_owner_of_the_tree(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 1234, 2345)
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"f", b"x")
        files = list((tmp_path / "state").iterdir())

        assert {path.name for path in files} == {"lock", "state", "wal-1"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        owner = tmp_path.stat()
        for path in [tmp_path / "state", *files]:
            assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid)


def test_a_second_opener_is_told_which_process_holds_it(tmp_path: Path) -> None:
    with _open(tmp_path / "state"):
        program = (
            "import sys, os, pathlib\n"
            "from confstream.journal.ledger import Ledger\n"
            "from confstream.clock import SystemClock\n"
            "Ledger.open(pathlib.Path(sys.argv[1]), clock=SystemClock(), new_id=os.urandom)\n"
        )
        second = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "state"], capture_output=True, text=True, check=False
        )

        assert second.returncode == 1
        assert f"ConfstreamError: {tmp_path / 'state'}: the journal is in use by process {os.getpid()}" in second.stderr
        assert peek(tmp_path / "state").pid == os.getpid()

    assert peek(tmp_path / "state").pid is None


def test_peek_sees_what_the_holder_has_recorded(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no journal here"):
        peek(tmp_path / "state")
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"f", b"x" * 1000)
        names = _names(tmp_path / "state")

        glance = peek(tmp_path / "state")

        assert list(glance.pending) == ledger.pending
        assert glance.pending_bytes == ledger.pending_bytes
        assert glance.current == ledger.current
        assert glance.writer == ledger.writer
        assert _names(tmp_path / "state") == names


def test_p4_after_a_failed_sync_the_write_did_not_happen_and_the_next_one_does(tmp_path: Path) -> None:
    disk = _Disk()
    with _open(tmp_path / "state", sync=disk) as ledger:
        kept = _write(ledger, 1, b"f", b"kept")
        lost, contents = _put(2, b"f", b"lost")
        later, more = _put(3, b"g", b"lost too", intent=True)
        tokens = [ledger.record(lost, contents), ledger.record(later, more)]
        disk.failure = OSError(errno.EIO, "Input/output error")

        with pytest.raises(UnavailableError, match="did not confirm"):
            ledger.commit(tokens[0])
        assert ledger.pending == [kept]
        assert ledger.intents == []
        assert set(ledger.current) == {b"f"}
        with pytest.raises(UnavailableError, match="was begun"):
            ledger.record(*_put(4, b"h", b""))

        disk.failure = None
        after = _write(ledger, 5, b"f", b"after")
        with pytest.raises(UnavailableError, match="open the journal again"):
            ledger.commit(tokens[1])
        assert ledger.pending == [kept, after]

    with _open(tmp_path / "state") as ledger:
        assert ledger.pending == [kept, after]
        assert ledger.content(content_hash(b"after")) == b"after"


def test_a_checkpoint_makes_what_waits_for_a_commit_durable(tmp_path: Path) -> None:
    disk = _Disk()
    with _open(tmp_path / "state", sync=disk) as ledger:
        token = ledger.record(*_put(1, b"f", b"x"))
        assert ledger.pending == [], "what is not durable is not to be published"
        ledger.checkpoint()
        disk.failure = OSError(errno.EIO, "Input/output error")

        ledger.commit(token)

        assert len(ledger.pending) == 1
        disk.failure = None


def test_a_state_file_that_cannot_be_replaced_stops_nothing_for_good(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"f", b"x")
        (tmp_path / "state" / "state").rename(tmp_path / "aside")
        (tmp_path / "state" / "state").mkdir()

        with pytest.raises(UnavailableError, match="state: Is a directory"):
            ledger.checkpoint()
        with pytest.raises(UnavailableError, match="state: Is a directory"):
            ledger.record(*_put(2, b"g", b"y"))
        ledger.confirmed((1).to_bytes(16, "big"), _position(1))

        (tmp_path / "state" / "state").rmdir()
        (tmp_path / "aside").rename(tmp_path / "state" / "state")
        _write(ledger, 3, b"g", b"z")
        assert len(list((tmp_path / "state").glob("wal-*"))) == 1

    with _open(tmp_path / "state") as ledger:
        assert ledger.base == _position(1)
        assert [draft.time_ns for draft in ledger.pending] == [3]


def test_p4_killed_before_the_state_names_the_new_log_everything_is_in_the_old_one(tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    with _open(state) as ledger:
        _write(ledger, 1, b"f", b"x")
        (state / "state").rename(tmp_path / "aside")
        (state / "state").mkdir()
        with pytest.raises(UnavailableError, match="state: Is a directory"):
            ledger.checkpoint()
        shutil.copytree(state, killed)
        (state / "state").rmdir()
        shutil.copy(tmp_path / "aside", state / "state")
    (killed / "state").rmdir()
    (tmp_path / "aside").rename(killed / "state")
    with _open(killed) as ledger:
        assert [draft.time_ns for draft in ledger.pending] == [1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: (path / "state").write_bytes(b"?" * 100), "not the state of a journal"),
        (lambda path: (path / "state").write_bytes(b""), "not the state of a journal"),
        (lambda path: (path / "state").unlink(), "no file 'state'"),
        (lambda path: next(path.glob("wal-*")).unlink(), "names it, but it is absent"),
        (lambda path: next(path.glob("wal-*")).write_bytes(b"?" * 100), "not the header"),
        (lambda path: os.truncate(next(path.glob("wal-*")), 40), "expected generation"),
    ],
    ids=["garbage", "emptied", "state lost", "log lost", "log garbage", "log cut"],
)
def test_a_damaged_ledger_says_so_and_lets_go_of_the_lock(
    tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    with _open(tmp_path / "state") as ledger:
        _write(ledger, 1, b"f", b"x")
    spoil(tmp_path / "state")

    for _ in range(2):
        with pytest.raises(IntegrityError, match=said):
            _open(tmp_path / "state")


def test_strays_of_a_checkpoint_that_was_cut_short_are_removed(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        draft = _write(ledger, 1, b"f", b"x")
    (tmp_path / "state" / "wal-77").write_bytes(b"half a log")
    (tmp_path / "state" / ".confstream-0123456789abcdef.tmp").write_bytes(b"half a state")

    with _open(tmp_path / "state") as ledger:
        assert ledger.pending == [draft]
        assert _names(tmp_path / "state") == ["lock", "state", "wal-2"]


def test_a_record_of_a_newer_confstream_is_refused(tmp_path: Path) -> None:
    with _open(tmp_path / "state") as ledger:
        ledger._log.wal.append(max(Record) + 1, b"?")

        with pytest.raises(IntegrityError, match=f"kind {max(Record) + 1}, which this confstream does not know"):
            peek(tmp_path / "state")


def test_many_threads_record_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with _open(tmp_path / "state", log_size_max=20_000) as ledger:

        def work(thread: int) -> None:
            for number in range(40):
                _write(ledger, thread * 1000 + number + 1, b"t%d" % thread, b"%d" % number * 100)

        threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        confirmed: list[bytes] = []
        while any(thread.is_alive() for thread in threads):
            if pending := ledger.pending:
                assert all(ledger.content(digest) is not None for digest in pending[0].hashes)
                ledger.confirmed(pending[0].write_id, _position(len(confirmed) + 1))
                confirmed.append(pending[0].write_id)
        for thread in threads:
            thread.join(30)

        seen = confirmed + [draft.write_id for draft in ledger.pending]
        assert len(seen) == len(set(seen)) == 160
        assert {entry.hash for entry in ledger.current.values()} == {content_hash(b"39" * 100)}


def _fill(ledger: Ledger, first: int) -> list[Draft]:
    """Write drafts until the disk is full; return those that were taken."""
    written: list[Draft] = []
    while True:
        number = first + len(written)
        try:
            written.append(_write(ledger, number, b"f", number.to_bytes(2, "big") * 9500))
        except UnavailableError:
            return written


def _occupy(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_refuses_drafts_until_others_are_published_and_loses_none(small_disk: Path) -> None:
    with _open(small_disk / "state") as ledger:
        written = _fill(ledger, 1)
        assert ledger.pending == written

        ledger.confirmed(written[-1].write_id, _position(1))
        first, second = _fill(ledger, 1000), _fill(ledger, 2000)

        assert first == [], "what is refused makes room for the next attempt"
        assert len(second) >= len(written) - 1 > 20
        assert ledger.pending == second
    with _open(small_disk / "state") as ledger:
        assert ledger.pending == second
        assert ledger.base == _position(1)
        assert all(ledger.content(digest) for draft in ledger.pending for digest in draft.hashes)


def test_what_was_published_while_the_disk_was_full_is_remembered_once_it_is_not(small_disk: Path) -> None:
    with _open(small_disk / "state") as ledger:
        written = [_write(ledger, number, b"f", b"%d" % number) for number in range(1, 4)]
        _occupy(small_disk / "filler")
        with pytest.raises(UnavailableError, match="free some space"):
            ledger.note("n", "x" * 5000)

        ledger.confirmed(written[0].write_id, _position(1))
        ledger.forked(written[1].write_id)
        with pytest.raises(UnavailableError, match="free some space"):
            ledger.record(*_put(9, b"g", b"x" * 5000))
        (small_disk / "filler").unlink()
        last = _write(ledger, 10, b"g", b"y")
        known = ledger.base, ledger.base_tree, ledger.current

        assert ledger.pending == [written[2], last]
        glance = peek(small_disk / "state")
        assert (glance.base, glance.base_tree, glance.current) == known
        assert list(glance.pending) == [written[2], last]


class _Model(RuleBasedStateMachine):
    """A ledger against a model of plain lists, closed, or abandoned as by ``kill -9``, at any time."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        import tempfile  # noqa: PLC0415

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state"
        self.new_id = _ids(seed)
        self.ledger = self._reopened()
        self.base, self.base_tree, self.settled = Position(), EMPTY, EMPTY
        self.pending: list[Draft] = []
        self.intents: dict[bytes, Draft] = {}
        self.fenced: FencedBy | None = None
        self.contents: dict[bytes, bytes] = {}
        self.number = 0

    def _reopened(self) -> Ledger:
        return _open(self.path, new_id=self.new_id, log_size_max=600)

    @property
    def current(self) -> Tree:
        tree = self.settled
        for draft in self.pending:
            tree = apply(tree, draft.changes)
        return tree

    @rule(name=st.sampled_from([b"a", b"b", b"c", b"d"]), content=st.binary(max_size=60), intent=st.booleans())
    def write(self, name: bytes, content: bytes, intent: bool) -> None:
        self.number += 1
        after = {**self.current, name: Entry.file(name, content, mtime_ns=self.number)}
        self._record(tuple(diff(self.current, after)), [(content_hash(content), content)], intent=intent)

    @rule(name=st.sampled_from([b"a", b"b", b"c", b"d"]), mode=st.sampled_from([0o600, 0o644]), delete=st.booleans())
    def touch(self, name: bytes, mode: int, delete: bool) -> None:
        if name in self.current:
            change = Change(Op.DELETE, name) if delete else Change(Op.META, name, meta=Meta(mode, 0, 0))
            self._record((change,), [], intent=False)

    def _record(self, changes: tuple[Change, ...], contents: Contents, *, intent: bool) -> None:
        draft = Draft(self.new_id(16), self.number, Authorship(), changes, intent=intent)
        self.ledger.commit(self.ledger.record(draft, contents))
        self.pending.append(draft)
        self.contents.update(contents)
        if intent:
            self.intents[draft.write_id] = draft

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), fork=st.booleans())
    def publish(self, data: st.DataObject, fork: bool) -> None:
        count = data.draw(st.integers(1, len(self.pending)))
        done, self.pending = self.pending[:count], self.pending[count:]
        for draft in done:
            self.settled = apply(self.settled, draft.changes)
        if fork:
            self.ledger.forked(done[-1].write_id)
            return
        self.number += 1
        self.base, self.base_tree = _position(self.number), self.settled
        self.ledger.confirmed(done[-1].write_id, self.base)

    @rule(name=st.sampled_from([b"a", b"z"]), content=st.binary(max_size=5))
    def others_publish(self, name: bytes, content: bytes) -> None:
        self.number += 1
        self.base, self.base_tree = _position(self.number), Tree([Entry.file(name, content)])
        captured = not self.pending and self.number % 2 == 0
        self.ledger.rebase(self.base, self.base_tree, captured=captured)
        if captured:
            self.settled = self.base_tree

    @precondition(lambda self: self.intents)
    @rule(data=st.data())
    def apply_intent(self, data: st.DataObject) -> None:
        write_id = data.draw(st.sampled_from(sorted(self.intents)))
        del self.intents[write_id]
        self.ledger.applied(write_id)

    @rule(keep=st.integers(0, 3), lock=st.booleans())
    def coalesce(self, keep: int, lock: bool) -> None:
        locked = {self.pending[0].write_id} if lock and self.pending else set()
        before = self.current

        removed = self.ledger.coalesce(keep, locked)

        assert removed == len(self.pending) - len(self.ledger.pending)
        assert self.ledger.pending[len(self.ledger.pending) - keep :] == self.pending[len(self.pending) - keep :]
        assert locked <= {draft.write_id for draft in self.ledger.pending}
        self.pending = self.ledger.pending
        assert self.current == before

    @rule(epoch=st.integers(1, 3))
    def fence(self, epoch: int) -> None:
        self.fenced = None if self.fenced else FencedBy("other", epoch)
        self.ledger.fence(self.fenced)

    @rule()
    def checkpoint(self) -> None:
        self.ledger.checkpoint()

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        if clean:
            self.ledger.close()
        else:
            # What kill -9 leaves: files as they are, and a lock that the kernel released.
            self.ledger._log.wal.close()
            self.ledger._directory.close()
        self.ledger = self._reopened()

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        ledger = self.ledger
        assert ledger.base == self.base
        assert dict(ledger.base_tree) == dict(self.base_tree)
        assert dict(ledger.settled) == dict(self.settled)
        assert ledger.current == dict(self.current)
        assert ledger.pending == self.pending
        assert ledger.intents == list(self.intents.values())
        assert ledger.fenced == self.fenced
        for draft in [*self.pending, *self.intents.values()]:
            for digest in draft.hashes:
                assert ledger.content(digest) == self.contents[digest]
        glance = peek(self.path)
        assert (list(glance.pending), glance.pending_bytes) == (self.pending, ledger.pending_bytes)
        assert len(list(self.path.glob("wal-*"))) == 1

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


TestModel = _Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
