"""What the product knows as ``threading`` and ``concurrent.futures``, over the simulated scheduler.

Nothing here blocks a real thread: whoever would wait hands the baton on.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from tests.torture.simulator.scheduler import SECOND, Scheduler, Task

_Result = Any


def _nanoseconds(timeout: float) -> int:
    # Time must pass: a wait for less than a number of seconds can tell apart would be repeated for ever.
    return max(1000, round(timeout * SECOND))


class Lock:
    """A lock; ``RLock`` may be taken again by who has it."""

    is_reentrant = False

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Task | None = None
        self._depth = 0
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._scheduler.current
        if self._owner is me and self.is_reentrant:
            self._depth += 1
            return True
        while self._owner is not None and not self._is_orphaned():
            if not blocking:
                return False
            assert timeout < 0, "no lock of the product is waited for with a deadline"
            self._waiting.append(me)
            self._scheduler.park()
        self._owner, self._depth = me, 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            waiting, self._waiting = self._waiting, []
            for task in waiting:
                self._scheduler.wake(task)

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_orphaned(self) -> bool:
        return self._owner is not None and self._owner.done

    def _give_up(self) -> int:
        depth, self._depth = self._depth, 1
        self.release()
        return depth

    def _take_back(self, depth: int) -> None:
        try:
            self.acquire()
        finally:
            # Killed while waiting: what unwinds now releases it as often as it was taken.
            self._owner, self._depth = self._scheduler.current, depth


class RLock(Lock):
    """A lock that its owner may take again."""

    is_reentrant = True


class Condition:
    """A condition over a lock of its own, or a given one."""

    def __init__(self, scheduler: Scheduler, lock: Lock | None = None) -> None:
        self._scheduler = scheduler
        self._lock = lock if lock is not None else RLock(scheduler)
        self._waiting: list[Task] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        me = self._scheduler.current
        self._waiting.append(me)
        depth = self._lock._give_up()
        try:
            if timeout is None:
                self._scheduler.park()
            else:
                self._scheduler.sleep(_nanoseconds(timeout))
        finally:
            was_told = me not in self._waiting
            if not was_told:
                self._waiting.remove(me)
            self._lock._take_back(depth)
        return was_told

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        end_ns = None if timeout is None else self._scheduler.now_ns + _nanoseconds(timeout)
        while not (found := predicate()):
            left = None if end_ns is None else (end_ns - self._scheduler.now_ns) / SECOND
            if left is not None and left <= 0:
                return found
            self.wait(left)
        return True

    def notify(self, n: int = 1) -> None:
        for task in self._waiting[:n]:
            self._waiting.remove(task)
            self._scheduler.wake(task)

    def notify_all(self) -> None:
        self.notify(len(self._waiting))


class Event:
    """A flag to wait for."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set:
            return True
        me = self._scheduler.current
        self._waiting.append(me)
        try:
            if timeout is None:
                self._scheduler.park()
            else:
                self._scheduler.sleep(_nanoseconds(timeout))
        finally:
            if me in self._waiting:
                self._waiting.remove(me)
        return self._is_set


class Barrier:
    """Where so many meet."""

    def __init__(self, scheduler: Scheduler, parties: int) -> None:
        self._event = Event(scheduler)
        self._left = parties

    def wait(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._event.set()
        self._event.wait()


class Thread:
    """A task of the process that makes it."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        target: Callable[..., object],
        name: str = "thread",
        args: tuple[object, ...] = (),
        daemon: bool = False,
    ) -> None:
        del daemon
        self._scheduler = scheduler
        self._call: Callable[[], object] = lambda: target(*args)
        self.name = name
        self.ident: int | None = None
        self._task: Task | None = None
        self._ended = Event(scheduler)

    def start(self) -> None:
        process = self._scheduler.current.process
        name = f"{process.name if process else '-'}:{self.name}"
        self._task = self._scheduler.spawn(self._run, name, process)
        self.ident = id(self._task)

    def is_alive(self) -> bool:
        return self._task is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def _run(self) -> None:
        try:
            self._call()
        finally:
            self._ended.set()


class _Done:
    """What was done when it was handed in: a future that has come."""

    def __init__(self, call: Callable[[], _Result]) -> None:
        self._error: Exception | None = None
        self._value: _Result = None
        try:
            self._value = call()
        except Exception as error:  # noqa: BLE001 - as a future does.
            self._error = error

    def cancel(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def exception(self) -> Exception | None:
        return self._error

    def result(self) -> _Result:
        if self._error is not None:
            raise self._error
        return self._value


class Pool:
    """A thread pool that does everything at once, in the thread that asks."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what a pool takes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def submit(self, call: Callable[..., _Result], *arguments: object, **named: object) -> _Done:
        return _Done(lambda: call(*arguments, **named))

    def map(self, call: Callable[..., _Result], *over: Iterable[Any]) -> Iterator[_Result]:
        return iter([call(*one) for one in zip(*over, strict=False)])

    def shutdown(self, **_: object) -> None:
        return


class Threading:
    """Stands for the module ``threading``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Lock(self) -> Lock:  # noqa: N802 - what the module calls it.
        return Lock(self._scheduler)

    def RLock(self) -> RLock:  # noqa: N802
        return RLock(self._scheduler)

    def Event(self) -> Event:  # noqa: N802
        return Event(self._scheduler)

    def Condition(self) -> Condition:  # noqa: N802
        return Condition(self._scheduler)

    def Barrier(self, parties: int) -> Barrier:  # noqa: N802
        return Barrier(self._scheduler, parties)

    def Thread(self, **named: Any) -> Thread:  # noqa: N802
        return Thread(scheduler=self._scheduler, **named)

    @staticmethod
    def current_thread() -> threading.Thread:
        return threading.current_thread()
