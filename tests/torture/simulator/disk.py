"""The calls of the system that change files, each a place where a process can be killed.

A process that was killed changes nothing any more, whatever its ``finally``
blocks try: it has not unwound, it is gone.
"""

import contextlib
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
Hook = Callable[[str, tuple[Any, ...]], None]


class Disk:
    """Counts, yields and kills at whatever the processes of *scheduler* do to files.

    *applied* is told of every call that took effect.
    """

    def __init__(self, scheduler: Scheduler, applied: Hook, step: Callable[[Process, str], None]) -> None:
        self._scheduler = scheduler
        self._applied = applied
        self._step = step
        self.calls = 0
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
        return int(write(descriptor, content))

    def _open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        process = self._process()
        if process is not None and flags & _CREATES:
            self.calls += 1
            self._step(process, "create")
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
