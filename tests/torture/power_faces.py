"""What ``stat`` would say after a power cut: a file that was built anew has the inode and the time of the one it is."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from tests.torture.calls import REAL

Faces = Mapping[int, tuple[int, int, int]]
"""For each inode of what was built: the inode and the time of change that it stands for, and its own time of change."""


def put_on(faces: Faces) -> None:
    """Have this process see *faces*, for as long as nobody changes what they belong to."""
    for name in ("stat", "lstat", "fstat"):
        setattr(os, name, _translating(REAL[name], faces))
    os.scandir = lambda path=".": _Scan(REAL["scandir"](path), faces)  # type: ignore[assignment]


def _translating(function: Callable[..., os.stat_result], faces: Faces) -> Callable[..., os.stat_result]:
    def call(*arguments: Any, **options: Any) -> os.stat_result:
        return _face(function(*arguments, **options), faces)

    return call


def _face(status: os.stat_result, faces: Faces) -> os.stat_result:
    true = faces.get(status.st_ino)
    if true is None:
        return status
    changed_ns = true[1] if status.st_ctime_ns == true[2] else status.st_ctime_ns
    times = {f"st_{name}_ns": getattr(status, f"st_{name}_ns") for name in ("atime", "mtime")}
    fields = list(status[:10])
    fields[1] = true[0]
    return os.stat_result(fields, {**times, "st_ctime_ns": changed_ns})


class _Entry:
    """A directory entry with its face."""

    def __init__(self, entry: Any, faces: Faces) -> None:
        self._entry, self._faces = entry, faces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def __fspath__(self) -> Any:
        return self._entry.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what ``stat`` says."""
        return _face(self._entry.stat(follow_symlinks=follow_symlinks), self._faces)

    def inode(self) -> int:
        """Return the inode."""
        return self.stat(follow_symlinks=False).st_ino


class _Scan(Iterator[_Entry]):
    """A listing whose entries have faces."""

    def __init__(self, scan: Any, faces: Faces) -> None:
        self._scan, self._faces = scan, faces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Entry:
        return _Entry(next(self._scan), self._faces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._scan.close()

    def close(self) -> None:
        """End it."""
        self._scan.close()
