"""What a process did to a file system, call by call, in terms of inodes: what a disk would be asked to keep."""

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.torture.calls import REAL, Call


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an inode says of itself besides its content."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Attributes":
        """Return those of *status*."""
        return cls(status.st_mode, (status.st_uid, status.st_gid), status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Node:
    """An inode as it was before anything happened: content is a file's, or a symlink's target."""

    attributes: Attributes
    content: bytes = b""
    names: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing done.

    *names* says for each touched (directory, name) which inode it names after,
    None for nothing. Data: *content* at *offset* of *inode*; without content a
    truncation to *offset*. *attributes* are those of touched inodes after it.
    """

    kind: str
    inode: int = 0
    names: tuple[tuple[int, bytes, int | None], ...] = ()
    offset: int = 0
    content: bytes | None = None
    content_only: bool = False
    attributes: tuple[tuple[int, Attributes], ...] = ()
    said: str = ""


NAMING = frozenset({"create", "rename", "exchange", "link", "unlink", "mkdir", "rmdir", "symlink"})
DATA = frozenset({"write", "truncate"})


class Recorder:
    """Writes down what happens below *base*: the nodes before, then every operation, in one order."""

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.before = survey(base)
        self.root = REAL["stat"](base).st_ino
        self.operations: list[Operation] = []
        self._lock = threading.RLock()

    def around(self, call: Call, perform: Callable[[], Any]) -> Any:
        """Make *call* and take note of it, if it did anything."""
        with self._lock:
            old = self._inode(call.path, call.descriptor) if call.kind not in {"create", "mkdir", "symlink"} else 0
            other = self._inode(call.other) if call.other else 0
            place = REAL["lseek"](call.descriptor, 0, os.SEEK_CUR) if call.kind == "write" else 0
            done = perform()
            self.operations += self._made(call, old, other, place, done)
            return done

    def acknowledge(self, what: str) -> None:
        """Take note of the moment."""
        with self._lock:
            self.operations.append(Operation("said", said=what))

    def _made(self, call: Call, old: int, other: int, place: int, done: Any) -> list[Operation]:
        match call.kind:
            case "write":
                offset = place if call.offset is None else call.offset
                operation = Operation("write", old, offset=offset, content=call.content[:done])
            case "truncate":
                operation = Operation("truncate", old, offset=call.offset or 0)
            case "sync":
                return [Operation("sync", old, content_only=call.content_only)]
            case "attributes":
                operation = Operation("attributes", old)
            case "create" | "mkdir" | "symlink":
                new = self._inode(call.path)
                operation = Operation(call.kind, new, names=((*self._place(call.path), new),), content=call.content)
            case "link":
                operation = Operation("link", other, names=((*self._place(call.path), other),))
            case "unlink" | "rmdir":
                operation = Operation(call.kind, old, names=((*self._place(call.path), None),))
            case "rename":
                gone, there = self._place(call.other), self._place(call.path)
                operation = Operation("rename", other, names=((*gone, None), (*there, other)))
            case "exchange":
                one, two = self._place(call.other), self._place(call.path)
                operation = Operation("exchange", other, names=((*one, old), (*two, other)))
            case _:
                raise AssertionError(call)
        return [self._with_attributes(operation, call, {old, other, operation.inode} - {0})]

    def _with_attributes(self, operation: Operation, call: Call, inodes: set[int]) -> Operation:
        """Return *operation* with what the touched inodes look like now; one that has no name left is over."""
        looks = {}
        for path in filter(None, (call.path, call.other)):
            try:
                status = REAL["fstat"](call.descriptor) if call.descriptor >= 0 else REAL["lstat"](path)
            except OSError:
                continue
            if status.st_ino in inodes:
                looks[status.st_ino] = Attributes.of(status)
        return Operation(
            operation.kind, operation.inode, operation.names, operation.offset, operation.content,
            operation.content_only, tuple(looks.items()),
        )  # fmt: skip

    @staticmethod
    def _inode(path: bytes, descriptor: int = -1) -> int:
        try:
            return int((REAL["fstat"](descriptor) if descriptor >= 0 else REAL["lstat"](path)).st_ino)
        except OSError:
            return 0

    def _place(self, path: bytes) -> tuple[int, bytes]:
        above, _, name = path.rpartition(b"/")
        return self._inode(above), name


def survey(base: bytes) -> dict[int, Node]:
    """Return every inode below *base* by its number, *base* included."""
    found: dict[int, Node] = {}
    waiting = [base]
    while waiting:
        path = waiting.pop()
        status = REAL["lstat"](path)
        if status.st_ino in found:
            continue
        content, names = b"", {}
        if stat.S_ISDIR(status.st_mode):
            for name in os.listdir(path):  # noqa: PTH208 - bytes.
                names[name] = REAL["lstat"](path + b"/" + name).st_ino
                waiting.append(path + b"/" + name)
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)  # noqa: PTH115 - likewise.
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - likewise.
                content = file.read()
        found[status.st_ino] = Node(Attributes.of(status), content, names)
    return found


__all__ = ["DATA", "NAMING", "Attributes", "Node", "Operation", "Recorder", "survey"]
