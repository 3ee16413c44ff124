"""One thread at a time, in an order that a seed decides: time, sleeping, processes and their sudden ends.

Every task is a real thread, and only the one that holds the baton runs. It
passes the baton on wherever it would wait, so a run is a list of events, and
the same seed makes the same list.
"""

import heapq
import random
import threading
import traceback
from collections.abc import Callable

SECOND = 10**9
_EPOCH_NS = 1_750_000_000 * SECOND


class KilledError(BaseException):
    """This process does not exist any more: nothing that it does while this unwinds has any effect."""


class StuckError(AssertionError):
    """Nobody can go on, and nobody waits for a time to come."""


class Process:
    """What is killed, paused and started as a whole: its tasks, open files and clocks.

    *until_kill* counts down at every operation on files and storage; at zero
    the process is killed there. *counts_pauses* says whether its steady clock
    goes on while it is paused.
    """

    def __init__(self, name: str, *, counts_pauses: bool = True) -> None:
        self.name = name
        self.dead = False
        self.tasks: set[Task] = set()
        self.descriptors: set[int] = set()
        self.until_kill = 0
        self.paused_until_ns = 0
        self.offset_ns = 0
        self.lost_ns = 0
        self.counts_pauses = counts_pauses


class Task:
    """One thread of control."""

    __slots__ = ("baton", "done", "ident", "name", "process", "thread", "ticket")

    def __init__(self, name: str, process: Process | None) -> None:
        self.name = name
        self.process = process
        self.baton = threading.Lock()
        self.baton.acquire()
        self.ticket = 0
        self.done = False
        self.ident = 0
        self.thread: threading.Thread | None = None


class Scheduler:
    """All tasks of one run; the thread that makes it is the first one."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - a seed, not a secret.
        self.now_ns = 0
        self.switches = 0
        self.failure = ""
        self.current = Task("main", None)
        self.current.ident = threading.get_ident()
        self._main = self.current
        self._queue: list[tuple[int, int, int, Task]] = []
        self._order = 0
        self._joining: dict[Process, list[Task]] = {}
        self._tasks: set[Task] = set()
        self._is_closing = False

    @property
    def seconds(self) -> float:
        return self.now_ns / SECOND

    def spawn(self, call: Callable[[], object], name: str, process: Process | None) -> Task:
        """Begin *call* as a task of *process*, or of none, which nobody can kill."""
        task = Task(name, process)
        task.thread = threading.Thread(target=self._run, args=(task, call), name=f"simulated-{name}", daemon=True)
        if process is not None:
            process.tasks.add(task)
        self._tasks.add(task)
        task.thread.start()
        self._push(task, self.draw.randrange(SECOND // 1000))
        return task

    def sleep(self, delay_ns: int) -> None:
        """Let others run, and go on once *delay_ns* have passed."""
        self._push(self.current, delay_ns)
        self._pass_on()

    def park(self) -> None:
        """Let others run until somebody wakes this task."""
        self.current.ticket += 1
        self._pass_on()

    def wake(self, task: Task) -> None:
        """Have *task*, which is parked or sleeps, go on now."""
        self._push(task, 0)

    def kill(self, process: Process) -> None:
        """End *process* at once; its tasks unwind without any effect, this one first if it belongs to it."""
        if process.dead:
            return
        process.dead = True
        for task in sorted(process.tasks, key=lambda one: one.name):
            if task is not self.current:
                self._push(task, 0)
        if self.current.process is process:
            raise KilledError

    def wait_for_end(self, process: Process) -> None:
        """Return once no task of *process* runs any more."""
        while process.tasks:
            self._joining.setdefault(process, []).append(self.current)
            self.park()

    def pause(self, process: Process, delay_ns: int) -> None:
        """Let nothing of *process* run for *delay_ns*."""
        process.paused_until_ns = self.now_ns + delay_ns
        if not process.counts_pauses:
            process.lost_ns += delay_ns

    def check_alive(self) -> None:
        """Raise ``KilledError`` if the running task belongs to a process that was killed, or all is over."""
        me = self.current
        if (me.process is not None and me.process.dead) or (self._is_closing and me is not self._main):
            raise KilledError

    def close(self) -> None:
        """End every task."""
        self.failure, self._is_closing = "", True
        while self._tasks:
            task = min(self._tasks, key=lambda one: one.name)
            self._push(task, 0)
            self._push(self._main, 1)
            self._pass_on()
            self.failure = ""

    def fail(self, text: str) -> None:
        """Note what went wrong, for the first task to raise."""
        self.failure = self.failure or text
        self._push(self._main, 0)

    def _run(self, task: Task, call: Callable[[], object]) -> None:
        task.ident = threading.get_ident()
        task.baton.acquire()
        try:
            self.check_alive()
            call()
        except KilledError:
            pass
        except BaseException:  # noqa: BLE001 - it is told by the first task.
            self.fail(f"{task.name}:\n{traceback.format_exc()}")
        task.done = True
        self._tasks.discard(task)
        process = task.process
        if process is not None:
            process.tasks.discard(task)
            if not process.tasks:
                for waiting in self._joining.pop(process, ()):
                    self.wake(waiting)
        self._next().baton.release()

    def _push(self, task: Task, delay_ns: int) -> None:
        task.ticket += 1
        self._order += 1
        heapq.heappush(self._queue, (self.now_ns + delay_ns, self._order, task.ticket, task))

    def _pass_on(self) -> None:
        me = self.current
        task = self._next()
        if task is not me:
            task.baton.release()
            me.baton.acquire()
        if me is self._main and self.failure:
            raise AssertionError(self.failure)
        self.check_alive()

    def _next(self) -> Task:
        """Return whose turn it is, and let the time be what it is then."""
        while True:
            if not self._queue:
                self.failure = self.failure or "nobody can go on, and nobody waits for a time to come"
                self.current = self._main
                return self._main
            when_ns, _, ticket, task = heapq.heappop(self._queue)
            if ticket != task.ticket or task.done:
                continue
            process = task.process
            is_paused = process is not None and not process.dead and not self._is_closing
            if process is not None and is_paused and process.paused_until_ns > when_ns:
                self._push(task, process.paused_until_ns - self.now_ns)
                continue
            self.now_ns = max(self.now_ns, when_ns)
            self.switches += 1
            self.current = task
            return task


class SimulatedClock:
    """The clocks of one process: the wall's, which is set wrong and jumps, and the steady one."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process

    def now_ns(self) -> int:
        return _EPOCH_NS + self._scheduler.now_ns + self._process.offset_ns

    def elapsed_seconds(self) -> float:
        return (self._scheduler.now_ns - self._process.lost_ns) / SECOND

    def boot(self) -> str:
        # What one process did not see pass, the next one would: it begins anew.
        return "machine" if self._process.counts_pauses else f"{self._process.name} {self._scheduler.now_ns}"

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        return event.wait(timeout_seconds)
