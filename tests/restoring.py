"""What tests of a restore share: a replica made of plain values, a directory as plain values, and one way to call."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confstream.clock import Clock, SystemClock
from confstream.log.identity import find_or_create
from confstream.log.intent import Intent, Writer
from confstream.log.publisher import Publisher
from confstream.log.reader import LogReader
from confstream.restorer import RestoreOptions, RestoreReport, restore
from confstream.revision import OK, Authorship, Status, Verdict
from confstream.store import Store
from confstream.store.memory import MemoryStore
from confstream.testing import Fault, FaultyStore
from confstream.tree import Entry, Tree, content_hash

URL = "memory://replica"
INVALID = Verdict(Status.INVALID, ("config.yml: line 3: not YAML",))
SUSPICIOUS = Verdict(Status.SUSPICIOUS, ("config.yml became blank",))

Files = Mapping[str, bytes | str | None]
"""A directory: bytes are a file's content, a text is a link's target, None is a directory."""

OLD = {"config.yml": b"a: 1\n"}
NEW = {"config.yml": b"a: 2\n", "sub/b.yml": b"b: 1\n", "link": "config.yml", "empty": None}


def tree_of(files: Files, modes: Mapping[str, int] | None = None) -> tuple[Tree, dict[bytes, bytes]]:
    """Return *files* as a tree of this process's owner, and the contents by hash."""
    modes = modes or {}
    entries: dict[bytes, Entry] = {}
    contents: dict[bytes, bytes] = {}
    owner = {"uid": os.geteuid(), "gid": os.getegid()}
    for name, value in files.items():
        path = os.fsencode(name)
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            parent = b"/".join(parts[:count])
            entries.setdefault(parent, Entry.directory(parent, modes.get(os.fsdecode(parent), 0o755), **owner))
        if value is None:
            entries[path] = Entry.directory(path, modes.get(name, 0o755), **owner)
        elif isinstance(value, str):
            entries[path] = Entry.symlink(path, os.fsencode(value), **owner)
        else:
            entries[path] = Entry.file(path, value, modes.get(name, 0o644), mtime_ns=1_700_000_000 * 10**9, **owner)
            contents[content_hash(value)] = value
    return Tree(entries.values()), contents


@dataclass
class Replica:
    """A replica that is written by hand; *faults* meet only those who restore from it."""

    store: Store = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=SystemClock)
    faults: list[Fault] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with no log."""
        self._publisher: Publisher | None = None
        self._contents: dict[bytes, bytes] = {}

    @property
    def publisher(self) -> Publisher:
        """Return the writer, which begins the log when it is first asked for."""
        if self._publisher is None:
            find_or_create(
                self.store,
                self.clock,
                version="0.1",
                new_id=lambda: secrets.token_hex(16),
                proven=True,
                unsafe_single_writer=False,
            )
            self._publisher = Publisher.start(LogReader(self.store), Writer("w1", "host"), self.clock)
        return self._publisher

    def publish(
        self, files: Files, verdict: Verdict = OK, modes: Mapping[str, int] | None = None, time_ns: int | None = None
    ) -> int:
        """Add a revision that holds *files*; return its number."""
        tree, contents = tree_of(files, modes)
        return self.publish_tree(tree, contents, verdict, time_ns)

    def publish_tree(
        self, tree: Tree, contents: Mapping[bytes, bytes], verdict: Verdict = OK, time_ns: int | None = None
    ) -> int:
        """Add a revision that holds *tree*; return its number."""
        self._contents.update(contents)
        when = self.clock.now_ns() if time_ns is None else time_ns
        intent = Intent(secrets.token_bytes(16), when, tree, Authorship(), verdict, keep=True)
        known = self._contents
        return self.publisher.publish(intent, known.__getitem__, known.get).position.number

    def known(self, digest: bytes) -> bytes:
        """Return a content that was published, by hash."""
        return self._contents[digest]

    def restore(self, root: Path, clock: Clock | None = None, **options: Any) -> RestoreReport:
        """Restore into *root* with *options*; the lines that are told are kept."""
        return restore(
            URL,
            root,
            RestoreOptions(**options),
            clock=clock or self.clock,
            open_store=self.opened,
            record_before=self.record,
            report=self.lines.append,
        )

    def opened(self, _url: str, **_options: Any) -> Store:
        """Return the store as who restores sees it."""
        return FaultyStore(self.store, self.faults)

    def record(self, root: Path, _url: str, message: str) -> str:
        """Do what a journal does before a restore: publish what is there."""
        self.recorded.append(message)
        number = self.publish({name: value for name, (value, _) in held(root).items()}, modes=modes_of(root))
        return f"the present state is revision {number}"


def replica_of(*states: Files) -> Replica:
    """Return a replica whose revisions are *states*, in order."""
    made = Replica()
    for files in states:
        made.publish(files)
    return made


@contextlib.contextmanager
def refusing_all(replica: Replica) -> Iterator[None]:
    """Fail the test if *replica* is contacted at all."""

    def contacted(operation: str, key: str) -> None:
        raise AssertionError(f"{operation} {key}: the replica was contacted")

    before, replica.store = replica.store, MemoryStore(before=contacted)
    try:
        yield
    finally:
        replica.store = before


def write(root: Path, files: Files, modes: Mapping[str, int] | None = None) -> Path:
    """Make *root* hold *files*, beside what it holds."""
    root.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if value is None:
            path.mkdir(exist_ok=True)
        elif isinstance(value, str):
            path.symlink_to(value)
        else:
            path.write_bytes(value)
            path.chmod((modes or {}).get(name, 0o644))
    return root


def held(root: Path, *, state: bool = False) -> dict[str, tuple[bytes | str | None, int]]:
    """Return everything in *root* with its modes, links not followed; ``.confstream`` only with *state*."""
    found: dict[str, tuple[bytes | str | None, int]] = {}
    for folder, folders, files in os.walk(root):
        if folder == str(root) and not state and ".confstream" in folders:
            folders.remove(".confstream")
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode & 0o7777
            value: bytes | str | None = None
            if path.is_symlink():
                value = str(path.readlink())
            elif path.is_file():
                value = path.read_bytes()
            found[str(path.relative_to(root))] = value, mode
    return found


def modes_of(root: Path) -> dict[str, int]:
    """Return the modes of what is in *root*."""
    return {name: mode for name, (_, mode) in held(root).items()}


def contents(root: Path) -> dict[str, bytes | str | None]:
    """Return what is in *root*, without modes."""
    return {name: value for name, (value, _) in held(root).items()}


def when(step: str, act: Callable[[], object], *, times: int = 1) -> Callable[[str], None]:
    """Return a checkpoint that does *act* when *step* is reached, the first *times* times."""
    left = [times]

    def reached(found: str) -> None:
        if found == step and left[0]:
            left[0] -= 1
            act()

    return reached
