"""An append-only log of checksummed frames: what was synced survives power loss (P4).

A frame that a crash cut short is dropped at the next opening; a damaged one is
an error, never skipped. A failed write leaves the log as it was; a failed sync
ends it, for nobody knows what the disk kept.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from confstream import durable
from confstream.errors import IntegrityError, UnavailableError, UsageError
from confstream.journal.frames import (
    HEADER_SIZE,
    PAYLOAD_SIZE_MAX,
    Frame,
    encode_frame,
    encode_header,
    frame_size,
    read_frame,
    remedy,
    replay,
)

_WRITTEN_TOGETHER = 1 << 18


def sync_content(descriptor: int) -> None:
    """Return once the bytes of *descriptor*, and the size that is needed to find them, are on the disk."""
    durable.sync(descriptor, content_only=True)


def cannot_write(path: Path, error: OSError, consequence: str) -> UnavailableError:
    """Return the error that says that *path* could not be written, what that means, and what helps."""
    remedies = {
        errno.ENOSPC: "free some space on that file system and try again",
        errno.EDQUOT: "free some space or raise the quota, and try again",
        errno.EFBIG: "raise the limit on the size of files (ulimit -f) and try again",
        errno.EROFS: "mount that file system writable and try again",
    }
    remedy = remedies.get(error.errno or 0, "look at the disk and the kernel's log, then try again")
    return UnavailableError(f"{path}: {error.strerror or error}; {consequence}; {remedy}")


class Wal:
    """One log file, open for appending. Every method may be called from any thread.

    ``append`` hands bytes to the kernel; only ``sync`` makes them durable.
    """

    def __init__(self, path: Path, generation: int, descriptor: int, size: int, sync: Callable[[int], None]) -> None:
        self.path = path
        self.generation = generation
        self._descriptor = descriptor
        self._sync_descriptor = sync
        self._changed = threading.Condition()
        self._size = size
        self._durable = size
        self._syncing = False
        self._users = 0
        self._closed = False
        self._broken: str | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        generation: int,
        *,
        owner: tuple[int, int] | None = None,
        sync: Callable[[int], None] = sync_content,
    ) -> "Wal":
        """Create an empty log, mode 0600, that belongs to *owner*; its name is not synced.

        Raise ``UnavailableError`` if it cannot be written, and leave nothing behind.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise cannot_write(path, error, "no new log was begun") from error
        try:
            if owner is not None:
                os.fchown(descriptor, *owner)
            durable.write_all(descriptor, encode_header(generation))
            sync(descriptor)
        except BaseException as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise cannot_write(path, error, "no new log was begun") from error
            raise
        return cls(path, generation, descriptor, HEADER_SIZE, sync)

    @classmethod
    def open(
        cls,
        path: Path,
        visit: Callable[[Frame], None] = lambda _: None,
        *,
        sync: Callable[[int], None] = sync_content,
    ) -> "Wal":
        """Open an existing log, show *visit* its frames in order, and drop a torn end.

        Everything that *visit* saw is durable when this returns. Raise
        ``IntegrityError`` if anything but the end is damaged, and leave the
        file as it is.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            generation, end = replay(descriptor, path, visit)
            try:
                os.ftruncate(descriptor, end)
                # What the last process appended without a sync must not be believed and then lost.
                sync(descriptor)
            except OSError as error:
                raise cannot_write(path, error, "the log was not opened") from error
            os.lseek(descriptor, end, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, generation, descriptor, end, sync)

    @staticmethod
    def look(path: Path, visit: Callable[[Frame], None]) -> int:
        """Show *visit* the frames of a log that another process may be appending to; return its generation."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return replay(descriptor, path, visit)[0]
        finally:
            os.close(descriptor)

    @property
    def size(self) -> int:
        """Where the next frame will begin."""
        return self._size

    @property
    def durable(self) -> int:
        """Up to where the file is known to survive a power loss."""
        return self._durable

    @property
    def broken(self) -> bool:
        """Whether nothing can be appended any more, for the disk did not keep what it was given."""
        return self._broken is not None

    def append(self, kind: int, payload: bytes) -> int:
        """Append one frame without syncing it; return where it begins.

        Raise ``UnavailableError`` if it cannot be written: then nothing was
        appended, and the log can be used as before.
        """
        return self.append_all([(kind, payload)])[0]

    def append_all(self, frames: Iterable[tuple[int, bytes]]) -> list[int]:
        """Append *frames*, all or none, as ``append`` does; whatever *frames* raises is passed on."""
        with self._changed:
            self._check_usable()
            start = size = self._size
            offsets, waiting = [], bytearray()
            try:
                for kind, payload in frames:
                    if len(payload) > PAYLOAD_SIZE_MAX:
                        found = f"a record of {len(payload)} bytes"
                        raise UsageError(f"{self.path}: {found}; at most {PAYLOAD_SIZE_MAX} are possible")  # noqa: TRY301
                    waiting += encode_frame(self.generation, size, kind, payload, self._durable)
                    offsets.append(size)
                    size += frame_size(len(payload))
                    if len(waiting) > _WRITTEN_TOGETHER:
                        durable.write_all(self._descriptor, waiting)
                        waiting.clear()
                durable.write_all(self._descriptor, waiting)
            except BaseException as error:
                self._cut(start)
                if isinstance(error, OSError):
                    raise cannot_write(self.path, error, "nothing was recorded") from error
                raise
            self._size = size
            return offsets

    def sync(self, offset: int) -> None:
        """Return once the frame at *offset*, and all before it, survive a power loss (P4).

        One of the threads that wait here syncs for all of them. When the disk
        reports an error, the log refuses everything from then on: a second
        sync would succeed without having written what the first one lost.
        """
        with self._changed:
            if offset >= self._size:
                raise ValueError(f"{self.path}: there is no frame at {offset}; the log ends at {self._size}")
            while self._durable <= offset and self._syncing:
                self._changed.wait()
            if self._durable > offset:
                return
            self._check_usable()
            target = self._size
            self._syncing = True
            self._users += 1
        failure: BaseException | None = None
        try:
            self._sync_descriptor(self._descriptor)
        except OSError as error:
            failure = cannot_write(self.path, error, "the disk did not confirm what was recorded last")
            raise failure from error
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._changed:
                self._syncing = False
                if failure is None:
                    self._durable = max(self._durable, target)
                else:
                    self._broken = self._broken or str(failure)
                self._leave()
                self._changed.notify_all()

    def read(self, offset: int) -> bytes:
        """Return the payload of the frame at *offset*; raise ``IntegrityError`` if it is damaged."""
        with self._changed:
            if self._closed:
                raise ValueError(f"{self.path} is closed")
            self._users += 1
            size = self._size
        try:
            frame = read_frame(self._descriptor, self.generation, offset, size)
        finally:
            with self._changed:
                self._leave()
        if frame is None:
            raise IntegrityError(f"{self.path}: the record at byte {offset} is damaged. {remedy(self.path)}")
        return frame.payload

    def close(self) -> None:
        """Close the file once no thread reads or syncs it any more."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._users += 1
                self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._closed and self._users == 0:
            os.close(self._descriptor)
            # A number that the kernel may have given to another file must never be used again.
            self._descriptor = -1

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise UnavailableError(
                f"{self.path}: an earlier write failed ({self._broken}), so what the disk holds is unknown and nothing "
                f"is recorded any more; see that the disk works and has space, then open the journal again"
            )
        if self._closed:
            raise ValueError(f"{self.path} is closed")

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
            os.lseek(self._descriptor, size, os.SEEK_SET)
        except OSError as error:
            self._broken = f"the torn end could not be cut off: {error.strerror}"
