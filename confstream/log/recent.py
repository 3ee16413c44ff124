"""The log objects that this process created itself, at hand for whoever packs them: nothing has to be fetched for that.

What an exclusive create put into a slot is what the slot holds (I1). All of it
is best effort: what is not here any more is read from the replica.
"""

import contextlib
import os
import threading
from array import array
from pathlib import Path

from confstream import durable, layout
from confstream.store import Keys, Store
from confstream.tree import HASH_SIZE, content_hash

SIZE_MAX, COUNT_MAX = 1 << 24, 1 << 12
"""How much is kept, in bytes and in objects: some days of edits, on the disk and without a name (P12, P14)."""

_LARGE = 16
"""What takes more than one of so many parts of the room is not kept."""


class Recent:
    """The newest objects by key, each with its hash, in a file that is gone when the process is.

    The oldest make room for new ones. Any thread may call any method, and none fails for the disk.
    """

    def __init__(self, directory: Path, *, size_max: int = SIZE_MAX, count_max: int = COUNT_MAX) -> None:
        """Keep at most *size_max* bytes and *count_max* objects; *directory* must be there once one is kept."""
        self._directory = directory
        self._size_max, self._count_max = size_max, count_max
        self._lock = threading.Lock()
        self._closed = False
        self._file = -1
        # Where the next one begins, as if nothing were ever written over.
        self._end = 0
        self._numbers = self._starts = self._sizes = array("Q")

    def keep(self, number: int, body: bytes) -> None:
        """Keep the object of revision *number*, if it is not too large."""
        record = content_hash(body) + body
        if len(record) > self._size_max // _LARGE:
            return
        with self._lock, contextlib.suppress(OSError):
            if self._closed:
                return
            if self._file < 0:
                self._file = self._open()
                self._numbers, self._starts, self._sizes = (array("Q", bytes(8 * self._count_max)) for _ in range(3))
            start, left = self._end, self._size_max - self._end % self._size_max
            if len(record) > left:
                start += left
            self._end = start + len(record)
            if os.pwrite(self._file, record, start % self._size_max) == len(record):
                at = number % self._count_max
                self._numbers[at], self._starts[at], self._sizes[at] = number, start, len(record)

    def get(self, number: int) -> bytes | None:
        """Return the object of revision *number*, or None."""
        with self._lock:
            at = self._at(number)
            if at is None or self._starts[at] + self._size_max < self._end:
                return None
            try:
                record = os.pread(self._file, self._sizes[at], self._starts[at] % self._size_max)
            except OSError:
                return None
        body = record[HASH_SIZE:]
        return body if content_hash(body) == record[:HASH_SIZE] else None

    def forget(self, number: int) -> None:
        """Drop the object of revision *number*."""
        with self._lock:
            if (at := self._at(number)) is not None:
                self._numbers[at] = 0

    def clear(self) -> None:
        """Drop all of them: another log may be meant from now on."""
        with self._lock:
            self._drop()

    def close(self) -> None:
        """Drop all of them, and keep none any more."""
        with self._lock:
            self._closed = True
            self._drop()

    def _at(self, number: int) -> int | None:
        """Return at which of the places the object of revision *number* is; None if it is not kept."""
        at = number % self._count_max
        return at if number and self._file >= 0 and self._numbers[at] == number else None

    def _drop(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._end = -1, 0
        self._numbers = self._starts = self._sizes = array("Q")

    def _open(self) -> int:
        path = self._directory / os.fsdecode(durable.temporary_name())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # Secrets leave nothing behind, whatever happens (P12).
        path.unlink(missing_ok=True)
        return descriptor


class Keeping:
    """*inner*; what it creates of the log is kept in *recent*, and read from *inner* all the same."""

    def __init__(self, inner: Store, recent: Recent) -> None:
        self.inner = inner
        self._recent = recent

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    def put(self, key: str, body: bytes) -> None:
        """Create *key*."""
        self.inner.put(key, body)
        if number := layout.log_number(key):
            self._recent.keep(number, body)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        self.inner.replace(key, body)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        return self.inner.get(key, first, size)

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*."""
        return self.inner.list(prefix)

    def delete(self, keys: Keys) -> None:
        """Remove *keys*."""
        for key in keys:
            if number := layout.log_number(key):
                self._recent.forget(number)
        self.inner.delete(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()


class Recalling(Keeping):
    """*inner*, of which those log objects are not read that are in *recent*: whoever asks knows that they are there."""

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        number = layout.log_number(key)
        body = self._recent.get(number) if number and not first and size is None else None
        return self.inner.get(key, first, size) if body is None else body
