"""What a disk may hold after the power was cut, by two models of what file systems keep.

*ordered* is ext4 with ``data=ordered``: names are kept in the order in which
they were changed, all that happened before any sync included; of what was
written to a file since its own last sync, there may be nothing, a beginning,
or zeros of the right length, also where its new name is kept already.

*weak* is what POSIX promises and no more: the changes of names since the last
sync of their directory are kept or not, each for itself, except that the
changes of one name keep their order; a synced file may have no name, a synced
directory neither. A rename is one change in both, as it is in every file
system with a journal: it is kept once either of its directories is synced.

A cut is considered right before every sync and at the end: in between, less
has happened, and what may be left of less is among what may be left of all.
"""

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.torture.power_trace import DATA, NAMING, Attributes, Node, Operation

_RANDOM_PICKS = 6
_MADE = frozenset({"create", "mkdir", "symlink"})
_FATES = ("all", "none", "torn", "zeros")


@dataclass(slots=True)
class State:
    """Directories, contents and attributes by inode; *said* is what had been acknowledged, *why* how it came about."""

    root: int
    names: dict[int, dict[bytes, int]] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    attributes: dict[int, Attributes] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    why: str = ""

    def copy(self) -> "State":
        """Return a state to be changed apart from this one."""
        names = {inode: dict(names) for inode, names in self.names.items()}
        return State(self.root, names, dict(self.contents), dict(self.attributes), self.said, self.why)

    def walk(self, inode: int | None = None, path: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """Yield path and inode of all that can be reached, a directory before what is in it."""
        inode = self.root if inode is None else inode
        yield path, inode
        for name, child in sorted(self.names.get(inode, {}).items()):
            yield from self.walk(child, path + b"/" + name)

    @property
    def digest(self) -> bytes:
        """Return what tells two states apart that somebody could tell apart."""
        seen = hashlib.sha256(repr(self.said).encode())
        for path, inode in self.walk():
            seen.update(repr((path, self.attributes[inode].mode, self.contents.get(inode))).encode())
        return seen.digest()

    def build(self, base: Path) -> dict[int, tuple[int, int, int]]:
        """Make *base* hold this; return for each new inode number: the true one, the true ctime, the new ctime."""
        shutil.rmtree(base, ignore_errors=True)
        made: dict[int, bytes] = {}
        for path, inode in self.walk():
            where, about = os.fsencode(base) + path, self.attributes[inode]
            if inode in made:
                os.link(made[inode], where, follow_symlinks=False)
                continue
            made[inode] = where
            if inode in self.names:
                os.mkdir(where, 0o700)  # noqa: PTH102
            elif stat.S_ISLNK(about.mode):
                os.symlink(self.contents[inode], where)  # noqa: PTH211
            else:
                with open(where, "wb") as file:  # noqa: PTH123
                    file.write(self.contents[inode])
        return {number: face for inode, where in reversed(made.items()) for number, face in self._dress(inode, where)}

    def _dress(self, inode: int, where: bytes) -> Iterator[tuple[int, tuple[int, int, int]]]:
        about = self.attributes[inode]
        if os.geteuid() == 0:
            os.chown(where, *about.owner, follow_symlinks=False)
        if not stat.S_ISLNK(about.mode):
            os.chmod(where, stat.S_IMODE(about.mode))  # noqa: PTH101
        os.utime(where, ns=(about.mtime_ns, about.mtime_ns), follow_symlinks=False)
        status = os.lstat(where)
        yield status.st_ino, (inode, about.ctime_ns, status.st_ctime_ns)


class Disk:
    """A disk while a trace happens to it: what is surely on it, and what is only on its way."""

    def __init__(self, before: dict[int, Node], root: int) -> None:
        self._sure = State(root)
        self._pending: list[Operation] = []
        self._committed = 0
        for inode, node in before.items():
            self._sure.attributes[inode] = node.attributes
            if stat.S_ISDIR(node.attributes.mode):
                self._sure.names[inode] = dict(node.names)
            else:
                self._sure.contents[inode] = node.content

    def do(self, operation: Operation) -> None:
        """Let *operation* happen."""
        if operation.kind == "said":
            self._sure.said += (operation.said,)
        elif operation.kind == "sync":
            self._sync(operation)
        else:
            if operation.kind in _MADE:
                self._make(operation)
            self._pending.append(operation)

    def states(self, chance: random.Random) -> Iterator[State]:
        """Yield what may be found if the power is cut now."""
        naming = [at for at, operation in enumerate(self._pending) if operation.kind not in DATA]
        data = self._data()
        committed = [at for at in naming if at < self._committed]
        later = [at for at in naming if at >= self._committed]
        for count in range(len(later) + 1):
            for fate in _FATES if data else _FATES[:1]:
                yield self._kept({*committed, *later[:count]}, dict.fromkeys(data, fate), f"ordered {fate}", chance)
        picks = [{at} for at in naming] + [{*naming} - {at} for at in naming]
        picks += [{at for at in naming if chance.random() < 1 / 2} for _ in range(_RANDOM_PICKS if naming else 0)]
        for pick in picks:
            yield self._kept(pick, {inode: chance.choice(_FATES) for inode in data}, "weak", chance)

    def _make(self, operation: Operation) -> None:
        inode = operation.inode
        assert inode not in self._sure.attributes, "an inode number came twice: record on tmpfs"
        self._sure.attributes[inode] = dict(operation.attributes)[inode]
        if operation.kind == "mkdir":
            self._sure.names[inode] = {}
        else:
            self._sure.contents[inode] = operation.content or b""

    def _data(self) -> dict[int, list[Operation]]:
        data: dict[int, list[Operation]] = {}
        for operation in self._pending:
            if operation.kind in DATA:
                data.setdefault(operation.inode, []).append(operation)
        return data

    def _sync(self, sync: Operation) -> None:
        """Let what *sync* promises be sure."""
        if sync.inode in self._sure.names:
            wanted = {
                at
                for at, operation in enumerate(self._pending)
                if any(directory == sync.inode for directory, _, _ in operation.names)
                or (operation.kind == "attributes" and operation.inode == sync.inode)
            }
        else:
            kinds = DATA if sync.content_only else DATA | {"attributes"}
            wanted = {
                at
                for at, operation in enumerate(self._pending)
                if operation.inode == sync.inode and operation.kind in kinds
            }
        wanted = self._closed(wanted)
        for at in sorted(wanted):
            _apply(self._sure, self._pending[at])
        self._pending = [operation for at, operation in enumerate(self._pending) if at not in wanted]
        self._committed = len(self._pending)

    def _closed(self, wanted: set[int]) -> set[int]:
        """Return *wanted* and all that must have been kept before: changes of the same names."""
        closed = set(wanted)
        touched: set[tuple[int, bytes]] = set()
        for at in range(len(self._pending) - 1, -1, -1):
            operation = self._pending[at]
            if operation.kind not in NAMING:
                continue
            names = {(directory, name) for directory, name, _ in operation.names}
            if at in closed or names & touched:
                closed.add(at)
                touched |= names
        return closed

    def _kept(self, wanted: set[int], fates: dict[int, str], why: str, chance: random.Random) -> State:
        state = self._sure.copy()
        state.why = why
        for at in sorted(self._closed(wanted)):
            _apply(state, self._pending[at])
        for inode, operations in self._data().items():
            _suffer(state, inode, operations, fates[inode], chance)
        return state


def _apply(state: State, operation: Operation) -> None:
    for directory, name, inode in operation.names:
        if inode is None:
            state.names[directory].pop(name, None)
        else:
            state.names[directory][name] = inode
    if operation.kind in DATA:
        _write(state, operation, operation.content)
    for inode, now in operation.attributes:
        before = state.attributes[inode]
        # A name may be kept later than what was done to what it names.
        changed_ns = max(before.ctime_ns, now.ctime_ns)
        if operation.kind in DATA:
            state.attributes[inode] = replace(before, mtime_ns=now.mtime_ns, ctime_ns=changed_ns)
        elif operation.kind in NAMING:
            state.attributes[inode] = replace(before, ctime_ns=changed_ns)
        else:
            state.attributes[inode] = now


def _write(state: State, operation: Operation, content: bytes | None) -> None:
    held = state.contents[operation.inode]
    padded = held + bytes(max(0, operation.offset - len(held)))
    if content is None:
        state.contents[operation.inode] = padded[: operation.offset]
    else:
        end = operation.offset + len(content)
        state.contents[operation.inode] = padded[: operation.offset] + content + padded[end:]


def _suffer(state: State, inode: int, operations: Sequence[Operation], fate: str, chance: random.Random) -> None:
    """Let the unsynced *operations* on one file be kept as *fate* says."""
    match fate:
        case "all":
            for operation in operations:
                _apply(state, operation)
        case "torn":
            kept = chance.randrange(len(operations))
            for operation in operations[:kept]:
                _apply(state, operation)
            last = operations[kept]
            if last.content:
                _write(state, last, last.content[: chance.randrange(len(last.content))])
        case "zeros":
            for operation in operations:
                _write(state, operation, operation.content and bytes(len(operation.content)))
        case _:
            state.contents[inode] = state.contents[inode]


def states_after(before: dict[int, Node], root: int, trace: Sequence[Operation], chance: random.Random) -> list[State]:
    """Return all states that a power cut may leave while *trace* happens, each once."""
    disk, found = Disk(before, root), dict[bytes, State]()

    def look() -> None:
        for state in disk.states(chance):
            found.setdefault(state.digest, state)

    for operation in trace:
        if operation.kind == "sync":
            look()
        disk.do(operation)
    look()
    return list(found.values())
