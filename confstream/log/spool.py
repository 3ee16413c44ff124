"""Contents by hash, in memory while they are few and in an unlinked file when they are not.

A restore must not need more memory because a tree is larger (P14).
"""

import threading
from typing import IO

from confstream.errors import IntegrityError, UnavailableError

MEMORY_SIZE_MAX = 1 << 25


class Spool:
    """A write-once map of hash to content that holds at most 32 MiB in memory."""

    def __init__(self, memory_size_max: int = MEMORY_SIZE_MAX) -> None:
        self._memory: dict[bytes, bytes] = {}
        self._memory_size = 0
        self._memory_size_max = memory_size_max
        self._places: dict[bytes, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._memory or digest in self._places

    def __len__(self) -> int:
        return len(self._memory) + len(self._places)

    def __getitem__(self, digest: bytes) -> bytes:
        with self._lock:
            if digest in self._memory:
                return self._memory[digest]
            if self._file is None or digest not in self._places:
                raise KeyError(digest)
            offset, size = self._places[digest]
            self._file.seek(offset)
            content = self._file.read(size)
        if len(content) != size:
            raise IntegrityError("the temporary file for contents, in TMPDIR or /tmp, lost bytes; run again")
        return content

    def pop(self, digest: bytes) -> bytes:
        """Return the content of *digest*, and let go of what memory it takes; ``KeyError`` if it is not there."""
        content = self[digest]
        with self._lock:
            if self._memory.pop(digest, None) is not None:
                self._memory_size -= len(content)
        return content

    def add(self, digest: bytes, content: bytes) -> None:
        """Keep *content* under *digest*; once more is no change."""
        with self._lock:
            if digest in self:
                return
            if self._memory_size + len(content) <= self._memory_size_max:
                self._memory[digest] = content
                self._memory_size += len(content)
                return
            try:
                self._places[digest] = (self._append(content), len(content))
            except OSError as error:
                raise UnavailableError(
                    f"contents of more than {self._memory_size_max >> 20} MiB need a temporary file, and that failed: "
                    f"{error.strerror or error}; free some space there, or name another directory in TMPDIR"
                ) from error

    def _append(self, content: bytes) -> int:
        if self._file is None:
            import tempfile  # noqa: PLC0415 - hardly anything is so large

            # Unlinked from the start: secrets leave nothing behind, whatever happens (P12).
            self._file = tempfile.TemporaryFile(prefix="confstream-")  # noqa: SIM115 - closed by close()
        offset = self._file.seek(0, 2)
        self._file.write(content)
        self._file.flush()
        return offset

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._memory.clear()
            self._places.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
