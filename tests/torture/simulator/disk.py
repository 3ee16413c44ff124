"""The calls of the system that change files, each a place where a process can be killed.

A process that was killed changes nothing any more, whatever its ``finally``
blocks try: it has not unwound, it is gone.
"""

import contextlib
import errno
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from confstream import durable
from tests.torture.simulator.scheduler import KilledError, Process, Scheduler

_CHANGING = (
    "fchmod", "fchown", "fdatasync", "fsync", "ftruncate", "link", "mkdir", "pwrite", "rename", "rmdir", "symlink",
    "unlink", "utime",
)  # fmt: skip
_CREATES = os.O_CREAT | os.O_TRUNC
_NEEDS_ROOM = {
    "create": 0.5, "fdatasync": 0.2, "fsync": 0.2, "link": 0.2, "mkdir": 0.5, "pwrite": 0.9, "rename": 0.1,
    "renameat2": 0.1, "symlink": 0.2, "write": 0.9,
}  # fmt: skip
"""How often a call fails on a full disk: some find a little room, or what they need is there already."""
Hook = Callable[[str, tuple[Any, ...]], None]


class Disk:
    """Counts, yields and kills at whatever the processes of *scheduler* do to files.

    *applied* is told of every call that took effect.
    """

    def __init__(self, scheduler: Scheduler, applied: Hook, step: Callable[[Process, str], None]) -> None:
        self._scheduler = scheduler
        self._applied = applied
        self._step = step
        self.calls = self.refusals = 0
        self.full_for: Callable[[Process], bool] = lambda _: False
        self._real: dict[str, Callable[..., Any]] = {}

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Stand between the product and the system while the block runs."""
        os_names = (*_CHANGING, "write", "open", "close", "fdopen", "urandom")
        saved = {name: getattr(os, name) for name in os_names}
        saved_rename = durable._rename_with
        self._real = saved
        for name in _CHANGING:
            setattr(os, name, self._counted(name, saved[name]))
        os.write, os.open, os.close, os.fdopen = self._write, self._open, self._close, self._fdopen  # type: ignore[assignment]
        os.urandom = self._urandom
        durable._rename_with = self._counted("renameat2", saved_rename)
        try:
            yield
        finally:
            for name, call in saved.items():
                setattr(os, name, call)
            durable._rename_with = saved_rename

    def outside(self, name: str, *arguments: Any) -> Any:
        """Call the system itself, as a program does that has nothing to do with the product."""
        return self._real[name](*arguments)

    def close_all(self, process: Process) -> None:
        """Close what a process that ended had open, as the kernel does."""
        for descriptor in sorted(process.descriptors):
            with contextlib.suppress(OSError):
                self._real["close"](descriptor)
        process.descriptors.clear()

    def _find_room(self, process: Process, name: str) -> None:
        rate = _NEEDS_ROOM.get(name, 0.0)
        if rate and self.full_for(process) and self._scheduler.draw.random() < rate:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _urandom(self, size: int) -> bytes:
        if self._process() is None:
            return bytes(self._real["urandom"](size))
        return self._scheduler.draw.randbytes(size)

    def _process(self) -> Process | None:
        current = self._scheduler.current
        return current.process if current.ident == threading.get_ident() else None

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            process = self._process()
            if process is None:
                return call(*arguments, **named)
            self.calls += 1
            self._step(process, name)
            self._find_room(process, name)
            result = call(*arguments, **named)
            self._applied(name, arguments)
            return result

        return counted

    def _write(self, descriptor: int, content: Any) -> int:
        process = self._process()
        write = self._real["write"]
        if process is not None:
            self.calls += 1
            try:
                self._step(process, "write")
            except KilledError:
                if process.until_kill == 0 and len(content) > 1:
                    # The kernel took some of it.
                    process.until_kill = -1
                    write(descriptor, content[: len(content) // 2])
                raise
            try:
                self._find_room(process, "write")
            except OSError:
                if len(content) > 1 and self._scheduler.draw.random() < 1 / 2:
                    return int(write(descriptor, content[: len(content) // 2]))
                raise
        return int(write(descriptor, content))

    def _open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        process = self._process()
        if process is not None and flags & _CREATES:
            self.calls += 1
            self._step(process, "create")
            self._find_room(process, "create")
        descriptor = int(self._real["open"](path, flags, *arguments, **named))
        if process is not None:
            process.descriptors.add(descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        process = self._process()
        if process is not None:
            process.descriptors.discard(descriptor)
        self._real["close"](descriptor)

    def _fdopen(self, descriptor: int, *arguments: Any, **named: Any) -> Any:
        process = self._process()
        if process is not None:
            # The file object closes it.
            process.descriptors.discard(descriptor)
        return self._real["fdopen"](descriptor, *arguments, **named)
