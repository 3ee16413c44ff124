"""A cache of the contents of the current tree, by hash.

Best effort: what is not here is read from the tree or from the replica. What
is here is checked at every read, and its size is bounded (P14).
"""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from confstream import durable
from confstream.journal.directory import owner_for
from confstream.tree import HASH_SIZE, content_hash

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

CONTENT_SIZE_MAX = 1 << 20
"""The largest content that is kept, in bytes."""


class ContentCache:
    """Contents by hash, in memory and in a directory; any thread may call any method, and none fails for the disk."""

    def __init__(self, path: Path, *, disk_bytes_max: int = 64 << 20, memory_bytes_max: int = 1 << 18) -> None:
        """Use the directory *path*, which is created with mode 0700 when there is something to keep."""
        self.directory = self._path = path
        self._disk_bytes_max = disk_bytes_max
        self._memory_bytes_max = memory_bytes_max
        self._lock = threading.Lock()
        self._memory: OrderedDict[bytes, bytes] = OrderedDict()
        self._memory_bytes = 0
        # Oldest first; what was used last goes last.
        self._disk: OrderedDict[bytes, int] = OrderedDict()
        self._disk_bytes = 0
        self._writing: set[bytes] = set()
        self._owner: tuple[int, int] | None = None
        with contextlib.suppress(OSError):
            self._survey()

    def put(self, digest: bytes, content: bytes) -> None:
        """Keep *content*, if there is room and it is not too large."""
        if len(content) > CONTENT_SIZE_MAX:
            return
        with self._lock:
            self._keep_in_memory(digest, content)
            if digest in self._disk or digest in self._writing or len(content) > self._disk_bytes_max:
                return
            self._writing.add(digest)
        written = False
        try:
            # Nobody else has to wait for the disk.
            with contextlib.suppress(OSError):
                self._write(digest, content)
                written = True
        finally:
            with self._lock:
                self._writing.discard(digest)
                if written:
                    self._disk[digest] = len(content)
                    self._disk_bytes += len(content)
                while self._disk_bytes > self._disk_bytes_max:
                    self._forget(next(iter(self._disk)))

    def get(self, digest: bytes) -> bytes | None:
        """Return the content with the hash *digest*, or None; a damaged file is removed."""
        with self._lock:
            content = self._memory.get(digest)
            if content is not None:
                self._memory.move_to_end(digest)
                return content
            if digest not in self._disk:
                return None
            try:
                content = self._read(digest)
            except OSError:
                content = None
            if content is None or content_hash(content) != digest:
                self._forget(digest)
                return None
            self._disk.move_to_end(digest)
            self._keep_in_memory(digest, content)
            return content

    def retain(self, digests: Collection[bytes]) -> None:
        """Drop every content whose hash is not among *digests*."""
        kept = set(digests)
        with self._lock:
            for digest in [digest for digest in self._disk if digest not in kept]:
                self._forget(digest)
            for digest in [digest for digest in self._memory if digest not in kept]:
                self._memory_bytes -= len(self._memory.pop(digest))

    def _survey(self) -> None:
        self._owner = owner_for(self._path)
        for path in sorted(self._path.iterdir()):
            digest = _digest_of(path.name)
            if digest is not None:
                self._disk[digest] = size = path.lstat().st_size
                self._disk_bytes += size
            elif durable.is_temporary(os.fsencode(path.name)):
                # What a crash left before its name was taken away; nobody else makes any while there is a journal.
                path.unlink(missing_ok=True)

    def _keep_in_memory(self, digest: bytes, content: bytes) -> None:
        self._memory_bytes += len(content) - len(self._memory.pop(digest, b""))
        self._memory[digest] = content
        while self._memory_bytes > self._memory_bytes_max:
            _, dropped = self._memory.popitem(last=False)
            self._memory_bytes -= len(dropped)

    def _write(self, digest: bytes, content: bytes) -> None:
        # Under its own name at once, and not synced: what a crash leaves of it the hash tells when it is read, and the
        # content is somewhere else as well.
        name = f"{self._path}/{digest.hex()}"
        try:
            descriptor = os.open(name, _CREATE, 0o600)
        except FileNotFoundError:
            self._make_directory()
            descriptor = os.open(name, _CREATE, 0o600)
        try:
            try:
                durable.write_all(descriptor, content)
                if self._owner is not None:
                    os.fchown(descriptor, *self._owner)
            finally:
                os.close(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                (self._path / digest.hex()).unlink()
            raise

    def _make_directory(self) -> None:
        self._path.mkdir(0o700, exist_ok=True)
        self._owner = owner_for(self._path.parent)
        if self._owner is not None:
            os.chown(self._path, *self._owner)

    def _read(self, digest: bytes) -> bytes:
        descriptor = os.open(self._path / digest.hex(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            # By its own size: a buffer is made for as much as is asked for.
            return file.read(min(os.fstat(descriptor).st_size, CONTENT_SIZE_MAX) + 1)

    def _forget(self, digest: bytes) -> None:
        self._disk_bytes -= self._disk.pop(digest)
        with contextlib.suppress(OSError):
            (self._path / digest.hex()).unlink()


def _digest_of(name: str) -> bytes | None:
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == HASH_SIZE and digest.hex() == name else None
