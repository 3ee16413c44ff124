"""The watcher on Linux: one watch for each directory, none for files.

A new directory is watched first and listed afterwards, so that nothing made in
between is missed. A renamed directory keeps its watch, under its new name.
Mounts are watched too. Of a file with several names only the one that was
written through is told; the next comparison finds the others.
"""

import contextlib
import errno
import importlib
import logging
import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confstream import durable
from confstream.events import about
from confstream.scan import STATE_NAME, Selection
from confstream.settle import Mark
from confstream.watch.events import Events, WatchLimitError
from confstream.watch.filesystem import mounted

_log = logging.getLogger("confstream.watch")

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _ISDIR = 0x01000000, 0x02000000, 0x40000000
_MASK = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
    | _ONLYDIR | _DONT_FOLLOW
)  # fmt: skip
_MARKS = {
    _MODIFY: Mark.MODIFIED,
    _ATTRIB: Mark.ATTRIB,
    _CLOSE_WRITE: Mark.CLOSED,
    _MOVED_FROM: Mark.DELETED,
    _MOVED_TO: Mark.RENAMED,
    _CREATE: Mark.CREATED,
    _DELETE: Mark.DELETED,
}
_ROOT_LOST = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
# A burst is read at once: an event for every line that a program writes would be a wake-up for each.
_COALESCE_SECONDS = 0.002
# The kernel tells both halves of a rename one after the other, but a read may come in between.
_PAIR_SECONDS = 0.01
_LIMITS = {
    errno.ENOSPC: ("the watch limit is reached", "max_user_watches"),
    errno.EMFILE: ("the instance limit is reached", "max_user_instances"),
    errno.ENFILE: ("too many files are open in the system", ""),
    errno.ENOMEM: ("there is no memory for another watch", ""),
}
_SETTINGS = Path("/proc/sys/fs/inotify")


def open_inotify(root: Path, selection: Selection | None) -> "Inotify":
    """Watch *root* and everything in it; raise ``WatchLimitError`` if inotify cannot."""
    try:
        importlib.import_module("inotify_simple")
    except (ImportError, AttributeError) as error:
        raise WatchLimitError("no inotify: the module inotify_simple cannot be imported") from error
    return Inotify(os.path.realpath(os.fsencode(root)), selection)


class Inotify:
    """The watches of one directory. ``wake`` may be called from any thread."""

    def __init__(self, root: bytes, selection: Selection | None) -> None:
        self._root = root
        self._selection = selection
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lost = False
        self._told_lost = False
        self._gather = _Gather()
        self._mounts = _open_mounts()
        self._mounted = mounted(root)
        self._kernel: Any = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_seconds: float | None) -> Events:
        """Wait for events, a wake-up or the timeout; a lost root is told once, then only waited for."""
        self._gather = _Gather()
        if self._lost and self._told_lost:
            self._readable(timeout_seconds, kernel=False)
            self._rest()
            return Events(root_lost=True)
        if self._readable(timeout_seconds):
            self._readable(_COALESCE_SECONDS, kernel=False)
            self._read()
        gather = self._gather
        self._told_lost = self._lost
        return Events(gather.changed, tuple(gather.moved.items()), gather.overflow, gather.rescan, self._lost)

    def wake(self) -> None:
        """Let ``wait`` return; nothing if it is closed already."""
        with contextlib.suppress(OSError, ValueError):
            os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        """Remove every watch."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        for descriptor in (self._waker, self._mounts):
            if descriptor >= 0:
                os.close(descriptor)
        self._waker = self._mounts = -1

    def _start(self) -> None:
        """Make a new inotify instance and watch everything; what is found is no news."""
        from inotify_simple import INotify  # noqa: PLC0415 - only where it is used; not on every system.

        if self._kernel is not None:
            self._kernel.close()
        try:
            self._kernel = INotify()
        except OSError as error:
            raise _limit(error) from error
        self._paths: dict[int, bytes] = {}
        self._watches: dict[bytes, int] = {}
        self._add(b"", required=True)
        self._adopt([b""], None)

    def _readable(self, timeout_seconds: float | None, *, kernel: bool = True) -> bool:
        """Wait; return whether the kernel has events. A wake-up ends the wait."""
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        if kernel:
            poll.register(self._kernel.fileno(), select.POLLIN)
            if self._mounts >= 0:
                poll.register(self._mounts, select.POLLPRI)
        # Rounded up: a wait that ends too early is a busy loop.
        timeout = None if timeout_seconds is None else -int(-max(0.0, timeout_seconds) * 1000 // 1)
        ready = dict(poll.poll(timeout))
        if kernel and self._waker in ready:
            self._rest()
        if kernel and self._mounts in ready:
            before, self._mounted = self._mounted, mounted(self._root)
            self._gather.rescan = before != self._mounted
        return kernel and self._kernel.fileno() in ready

    def _rest(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._waker)

    def _read(self) -> None:
        events = self._kernel.read(timeout=0)
        waiting = {event.cookie for event in events[-2:] if event.mask & _MOVED_FROM}
        if waiting - {event.cookie for event in events if event.mask & _MOVED_TO}:
            events += self._kernel.read(timeout=int(_PAIR_SECONDS * 1000))
        targets = {event.cookie: event for event in events if event.mask & _MOVED_TO}
        sources: dict[int, bytes] = {}
        for event in events:
            if event.mask & _OVERFLOW:
                self._overflow()
                return
            directory = self._paths.get(event.wd)
            if directory is None:
                continue
            if not event.name:
                self._of_itself(directory, event.wd, event.mask)
                continue
            name = os.fsencode(event.name)
            path = directory + b"/" + name if directory else name
            if event.mask & _MOVED_FROM and event.cookie in targets:
                sources[event.cookie] = path
            self._of_child(path, event.mask, sources.get(event.cookie) if event.mask & _MOVED_TO else None)
            if event.mask & _MOVED_FROM and event.mask & _ISDIR and event.cookie not in sources:
                self._drop(path)

    def _of_itself(self, directory: bytes, watch: int, mask: int) -> None:
        if not directory:
            if mask & _ROOT_LOST:
                self._lost = True
        elif mask & (_IGNORED | _UNMOUNT):
            self._paths.pop(watch, None)
            if self._watches.get(directory) == watch:
                del self._watches[directory]

    def _of_child(self, path: bytes, mask: int, source: bytes | None) -> None:
        is_dir = bool(mask & _ISDIR)
        tracked = self._tracks(path, is_dir=is_dir)
        if source is not None and is_dir:
            self._rename(source, path)
            if not tracked:
                self._drop(path)
        if not tracked:
            return
        for bit, mark in _MARKS.items():
            if mask & bit:
                self._gather.add(path, mark, source)
        if source is not None and self._tracks(source, is_dir=is_dir):
            self._gather.moved[source] = path
        # A directory that could not be watched may be readable by now.
        is_opened = bool(mask & _ATTRIB) and path not in self._watches
        if is_dir and (mask & (_CREATE | _MOVED_TO) or is_opened) and self._add(path):
            self._adopt([path], Mark.CREATED if source is None else Mark.RENAMED)
            if source is not None:
                self._gather.keep_open_below(source, path)

    def _adopt(self, directories: list[bytes], mark: Mark | None) -> None:
        """List *directories*, which are watched, and everything below; watch it before listing it."""
        while directories:
            directory = directories.pop()
            for name, is_dir in self._list(directory):
                path = directory + b"/" + name if directory else name
                if not self._tracks(path, is_dir=is_dir):
                    continue
                if mark is not None:
                    self._gather.add(path, mark)
                if is_dir and self._add(path):
                    directories.append(path)

    def _list(self, directory: bytes) -> Iterable[tuple[bytes, bool]]:
        try:
            with os.scandir(self._root + b"/" + directory) as found:
                return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError:
            # Gone again, or closed to this process: the next scan says which.
            return []

    def _add(self, directory: bytes, *, required: bool = False) -> bool:
        """Watch *directory*; return whether it is there."""
        try:
            watch = self._kernel.add_watch(self._root + b"/" + directory, _MASK)
        except OSError as error:
            if error.errno in _LIMITS:
                raise _limit(error) from error
            if required:
                raise
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                said = about("unwatched", path=directory, error=error.strerror)
                _log.warning("a directory cannot be watched, only scanned: %s", error.strerror, extra=said)
            return False
        before = self._paths.get(watch)
        if before is not None and self._watches.get(before) == watch:
            del self._watches[before]
        self._paths[watch] = directory
        self._watches[directory] = watch
        return True

    def _rename(self, source: bytes, target: bytes) -> None:
        """Let the watches at and below *source* follow their directories to *target*."""
        self._drop(target)
        for path in [path for path in self._watches if path == source or path.startswith(source + b"/")]:
            watch = self._watches.pop(path)
            moved = target + path[len(source) :]
            self._watches[moved] = watch
            self._paths[watch] = moved

    def _drop(self, directory: bytes) -> None:
        """Stop watching *directory* and what is below it: it is not ours any more."""
        for path in [path for path in self._watches if path == directory or path.startswith(directory + b"/")]:
            watch = self._watches.pop(path)
            self._paths.pop(watch, None)
            with contextlib.suppress(OSError):
                self._kernel.rm_watch(watch)

    def _overflow(self) -> None:
        """Watch everything anew: which directories came and went is not known."""
        self._gather = _Gather(overflow=True)
        try:
            self._start()
        except OSError:
            self._lost = True

    def _tracks(self, path: bytes, *, is_dir: bool) -> bool:
        if path.partition(b"/")[0] == STATE_NAME or durable.is_temporary(path.rpartition(b"/")[2]):
            return False
        return self._selection is None or self._selection.tracks(path, is_dir)


def _open_mounts() -> int:
    """Return a descriptor that is urgent when mounts change, or -1."""
    with contextlib.suppress(OSError):
        return os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    return -1


def _limit(error: OSError) -> WatchLimitError:
    """Return what keeps inotify from working, and what to raise on the node so that it works."""
    found, setting = _LIMITS.get(error.errno or 0, (f"no inotify ({error.strerror})", ""))
    if not setting:
        return WatchLimitError(found)
    now = ""
    with contextlib.suppress(OSError):
        now = f", which is {(_SETTINGS / setting).read_text().strip()} now"
    return WatchLimitError(f"{found}; raise fs.inotify.{setting} on the node{now}")


class _Gather:
    """The events of one wait."""

    def __init__(self, *, overflow: bool = False) -> None:
        self.changed: dict[bytes, Mark] = {}
        self.moved: dict[bytes, bytes] = {}
        self.overflow = overflow
        # Something was mounted over the directory or in it, or unmounted, which no event tells.
        self.rescan = False
        # Seen to be written to and not to be closed, under any name so far.
        self._open: dict[bytes, Mark] = {}

    def add(self, path: bytes, mark: Mark, source: bytes | None = None) -> None:
        """Add *mark* of *path*, which was *source* before; the last one counts."""
        if mark is Mark.ATTRIB and path in self.changed:
            # Another mode says nothing about the writer.
            return
        if mark in {Mark.MODIFIED, Mark.CREATED}:
            self._open[path] = mark
        elif mark is not Mark.DELETED:
            self._open.pop(path, None)
        if source is not None and source in self._open:
            # Its writer goes on writing to it under the new name.
            mark = self._open[path] = self._open[source]
        self.changed[path] = mark

    def keep_open_below(self, source: bytes, target: bytes) -> None:
        """Let what was open below the directory *source* count as open below *target*."""
        for path, mark in [*self._open.items()]:
            if path.startswith(source + b"/"):
                moved = target + path[len(source) :]
                self.changed[moved] = self._open[moved] = mark
