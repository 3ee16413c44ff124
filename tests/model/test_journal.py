"""The journal against a model of a few lines: a dict, and the list of what it was after each revision.

Whatever sequence of writes, edits by others, crashes and restores: the disk,
the history and every old state are what the model says.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from confstream import (
    Entry,
    History,
    Journal,
    Kind,
    NotFoundError,
    RestoreOptions,
    SystemClock,
    UsageError,
    open_store,
    restore,
    verify,
)
from confstream.store.memory import MemoryStore
from tests.histories import DIRECTORY, FILE, SYMLINK, Node, read_directory

Model = dict[bytes, Node]

_SYNC_SECONDS = 60.0
_PATHS = (b"a.yml", b"b.json", b"sub/c.yml", b"sub/deep/d.txt", b"caf\xe9", b"new\nline")
_paths = st.sampled_from(_PATHS)
_contents = st.one_of(
    st.sampled_from([b"", b"a: 1\n", b" \n"]),
    st.binary(max_size=64),
    st.integers(1, 9).map(lambda size: b"long: line\n" * 500 * size),
)
_modes = st.sampled_from([None, 0o600, 0o644, 0o755])
_batches = st.dictionaries(_paths, st.one_of(st.none(), _contents), min_size=1, max_size=4)


def put(model: Model, path: bytes, content: bytes, mode: int | None = None) -> Model:
    """Return *model* after a write: parents are made, a file keeps its mode, a link becomes a file."""
    before = model.get(path)
    kept = before.mode if before is not None and before.mode != SYMLINK else FILE
    return {
        **dict.fromkeys(parents(path), Node(DIRECTORY, b"")),
        **model,
        path: Node(kept if mode is None else 0o100000 | mode, content),
    }


def parents(path: bytes) -> list[bytes]:
    """Return the directories that *path* is in, outermost first."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def without(model: Model, path: bytes) -> Model:
    """Return *model* without the file *path*."""
    return {name: node for name, node in model.items() if name != path}


class JournalMachine(RuleBasedStateMachine):
    """One journal, its replica, and what both should hold."""

    scheme = ""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="confstream-model-"))
        self.tree = self.directory / "tree"
        self.tree.mkdir()
        self.replica = f"memory://{self.directory.name}" if self.scheme == "memory" else str(self.directory / "replica")
        self.model: Model = {}  # What is on the disk.
        self.revisions: list[Model] = [{}]
        self.restored = 0

    @initialize()
    def begin(self) -> None:
        self.journal = self.open()

    def open(self) -> Journal:
        return Journal.open(self.tree, self.replica, guards=False, heartbeat_seconds=0, author="model")

    @property
    def captured(self) -> Model:
        """Return the state after the newest revision; ``model`` is ahead of it by what others edited since."""
        return self.revisions[-1]

    def record(self, state: Model) -> None:
        """Note that *state* became the newest revision, if it is another than the one before."""
        if state != self.captured:
            self.revisions.append(state)

    def record_touched(self, paths: Iterable[bytes]) -> None:
        """Note what the journal records before it writes to *paths*: what others did there."""
        state = self.captured
        for path in paths:
            state = put(state, path, b"", None) if path in self.model else without(state, path)
            state = {**state, **{name: self.model[name] for name in {path, *parents(path)} & self.model.keys()}}
        self.record(state)

    def change(self, edit: Callable[[Model], Model]) -> None:
        """Note that *edit* was made through the journal: to the disk, and as one revision."""
        self.model, state = edit(self.model), edit(self.captured)
        self.record(state)

    @rule(path=_paths, content=_contents, mode=_modes)
    def write(self, path: bytes, content: bytes, mode: int | None) -> None:
        self.journal.write(path, content, mode=mode)
        self.record_touched([path])
        self.change(lambda state: put(state, path, content, mode))

    @rule(path=_paths)
    def delete(self, path: bytes) -> None:
        if path in self.model:
            self.journal.delete(path)
        else:
            with pytest.raises(UsageError, match="cannot be deleted"):
                self.journal.delete(path)
        self.record_touched([path])
        self.change(lambda state: without(state, path))

    @rule(batch=_batches)
    def transact(self, batch: dict[bytes, bytes | None]) -> None:
        wanted = {path: content for path, content in batch.items() if content is not None or path in self.model}
        with self.journal.transaction(message="several") as transaction:
            for path, content in wanted.items():
                if content is None:
                    transaction.delete(path)
                else:
                    transaction.write(path, content)

        def edit(state: Model) -> Model:
            for path, content in wanted.items():
                state = without(state, path) if content is None else put(state, path, content)
            return state

        self.record_touched(wanted)
        self.change(edit)

    @rule(batch=_batches)
    def fail_in_a_transaction(self, batch: dict[bytes, bytes | None]) -> None:
        with pytest.raises(ZeroDivisionError), self.journal.transaction() as transaction:  # noqa: PT012 - it is the block that fails.
            for path, content in batch.items():
                transaction.write(path, content or b"never")
            raise ZeroDivisionError

    @rule(path=_paths, content=_contents, mode=_modes)
    def edit_outside(self, path: bytes, content: bytes, mode: int | None) -> None:
        self.on_disk(path).parent.mkdir(parents=True, exist_ok=True)
        for parent in self.on_disk(path).parents:
            if self.tree in parent.parents:
                parent.chmod(0o755)
        if self.on_disk(path).is_symlink():
            self.on_disk(path).unlink()
        self.on_disk(path).write_bytes(content)
        self.model = put(self.model, path, content, mode)
        self.on_disk(path).chmod(self.model[path].mode & 0o777)

    @rule(path=_paths)
    def delete_outside(self, path: bytes) -> None:
        if path in self.model:
            self.on_disk(path).unlink()
            self.model = without(self.model, path)

    @rule(path=_paths, to=st.sampled_from([b"a.yml", b"../nowhere", b"caf\xe9"]))
    def link_outside(self, path: bytes, to: bytes) -> None:
        if os.path.lexists(self.on_disk(path).parent):
            self.on_disk(path).unlink(missing_ok=True)
            self.on_disk(path).symlink_to(os.fsdecode(to))
            self.model = {**self.model, path: Node(SYMLINK, to)}

    @rule(mode=st.sampled_from([0o700, 0o755]))
    def change_a_directory_outside(self, mode: int) -> None:
        (self.tree / "empty").mkdir(exist_ok=True)
        (self.tree / "empty").chmod(mode)
        self.model = {**self.model, b"empty": Node(0o040000 | mode, b"")}

    @rule()
    def look(self) -> None:
        self.journal.capture()
        self.record(self.model)

    @rule()
    def sync(self) -> None:
        self.journal.sync(_SYNC_SECONDS)
        assert self.journal.status().position.number == len(self.revisions) - 1
        assert self.journal.status().pending == 0

    @rule()
    def reopen(self) -> None:
        self.journal.close(_SYNC_SECONDS)
        self.journal = self.open()
        self.record(self.model)

    @rule()
    def crash(self) -> None:
        self.journal.abort()
        self.journal = self.open()
        self.record(self.model)

    @precondition(lambda self: len(self.revisions) > 2)
    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, len(self.revisions) - 1), label="revision")
        self.journal.restore(number, delete=True)
        self.record(self.model)
        self.model = self.revisions[number]
        self.record(self.model)

    @precondition(lambda self: len(self.revisions) > 1)
    @rule(data=st.data(), path=_paths)
    def read_at_any_revision(self, data: st.DataObject, path: bytes) -> None:
        number = data.draw(st.integers(1, len(self.revisions) - 1), label="revision")
        node = self.revisions[number].get(path)
        if node is None:
            with pytest.raises(NotFoundError):
                self.journal.read(path, number)
        else:
            assert self.journal.read(path, number) == node.content

    @rule()
    def tell_history(self) -> None:
        numbers = [entry.number for entry in self.journal.history(newest_first=False)]
        assert numbers == list(range(1, len(self.revisions)))

    @precondition(lambda self: len(self.revisions) > 1)
    @rule()
    def restore_elsewhere(self) -> None:
        self.journal.sync(_SYNC_SECONDS)
        self.restored += 1
        target = self.directory / f"restored-{self.restored}"
        if self.scheme == "memory":
            return
        restore(self.replica, target, RestoreOptions(revision="latest"))
        assert read_directory(target) == self.revisions[-1]

    @invariant()
    def disk_is_what_the_model_says(self) -> None:
        assert read_directory(self.tree) == self.model

    def teardown(self) -> None:
        try:
            self.journal.close(_SYNC_SECONDS)
            if len(self.revisions) > 1:
                self.check_replica()
        finally:
            shutil.rmtree(self.directory)
            MemoryStore.forget_all()

    def check_replica(self) -> None:
        """Every revision is what the model was then, and the replica is proven whole."""
        with History.open(self.replica) as history:
            assert history.head == len(self.revisions) - 1
            for number, model in enumerate(self.revisions[1:], 1):
                modes = {path: node.mode for path, node in model.items()}
                found = history.checkout(number)
                try:
                    assert {path: _mode(entry) for path, entry in found.tree.items()} == modes, number
                    for entry in found.tree.files:
                        if entry.kind is Kind.FILE:
                            assert found.content(entry.hash) == model[entry.path].content, number
                finally:
                    found.close()
        store = open_store(self.replica, clock=SystemClock())
        report = verify(store)
        store.close()
        assert report.ok, report

    def on_disk(self, path: bytes) -> Path:
        return self.tree / os.fsdecode(path)


def _mode(entry: Entry) -> int:
    kinds = {Kind.FILE: 0o100000, Kind.DIRECTORY: 0o040000}
    return SYMLINK if entry.kind is Kind.SYMLINK else kinds[entry.kind] | entry.mode


class MemoryMachine(JournalMachine):
    """The same over a store in memory."""

    scheme = "memory"


_BOUNDS = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestJournalOverALocalDirectory = JournalMachine.TestCase
TestJournalOverALocalDirectory.settings = _BOUNDS
TestJournalOverMemory = MemoryMachine.TestCase
TestJournalOverMemory.settings = _BOUNDS
