"""Everything that a simulated history needs: storage, disk, time, and the product with all of these in its place."""

import concurrent.futures
import contextlib
import errno
import gc
import hashlib
import importlib
import logging
import os
import pkgutil
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import confstream
from confstream.errors import OutcomeUnknownError, UnavailableError
from confstream.store import Keys, Store
from confstream.store.keys import is_key
from confstream.store.local import LocalStore
from tests.torture.simulator.cloud import Bucket, Weather, open_bucket
from tests.torture.simulator.disk import Disk
from tests.torture.simulator.oracle import Oracle
from tests.torture.simulator.scheduler import SECOND, Process, Scheduler, SimulatedClock
from tests.torture.simulator.threads import Pool, Threading

TAIL_LINES = 60
GRACE_SECONDS = 3600.0


_PARTS = (
    "restorer", "reader", "spoils", "jumps", "faults", "kills", "pauses", "packer", "fresh", "stale", "scarce", "full",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What may happen in a history; every part can be switched off, to find the smallest one that fails.

    With *batches*, writers write several files at once and nothing else. With
    *scarce*, journals may hold little, and long outages have them merge what
    waits. With *full*, the disk of writers and restores is full at times.
    """

    storage: str = "s3"
    writers: int = 2
    shared: bool = False
    fresh: bool = False
    kills: bool = True
    faults: bool = True
    spoils: bool = True
    stale: bool = False
    pauses: bool = True
    jumps: bool = True
    packer: bool = True
    reader: bool = True
    restorer: bool = True
    heartbeat_seconds: float = 300.0
    page_keys: int = 1000
    pack_size: int = 4
    snapshot_every: int = 5
    actions: int = 24
    batches: bool = False
    scarce: bool = False
    full: bool = False

    @classmethod
    def choose(cls, draw: random.Random) -> "Scenario":
        """Return one of many."""
        storage = draw.choice(["s3", "s3", "s3", "local"])
        return cls(
            storage=storage,
            writers=draw.choice([1, 2, 2, 2, 3]),
            shared=draw.random() < 1 / 3,
            fresh=draw.random() < 1 / 3,
            kills=draw.random() < 3 / 4,
            faults=draw.random() < 5 / 6,
            spoils=draw.random() < 1 / 3,
            stale=storage == "s3" and draw.random() < 1 / 8,
            pauses=draw.random() < 2 / 3,
            jumps=draw.random() < 1 / 2,
            packer=draw.random() < 3 / 4,
            reader=draw.random() < 1 / 2,
            restorer=draw.random() < 1 / 2,
            heartbeat_seconds=draw.choice([0.0, 300.0, 300.0]),
            page_keys=draw.choice([5, 1000]),
            pack_size=draw.choice([2, 4, 9]),
            snapshot_every=draw.choice([2, 5, 50]),
            actions=draw.choice([8, 24, 24, 60]),
            scarce=draw.random() < 1 / 4,
            full=draw.random() < 1 / 4,
        )

    def smaller(self) -> Iterator["Scenario"]:
        """Yield this scenario with one thing less each."""
        for name in _PARTS:
            if getattr(self, name):
                less: dict[str, Any] = {name: False}
                yield replace(self, **less)
        if self.page_keys < 1000:
            yield replace(self, page_keys=1000)
        if self.writers > 1:
            yield replace(self, writers=self.writers - 1)
        if self.actions > 4:
            yield replace(self, actions=self.actions // 2)


class World:
    """One history: time, storage and disk, and what happened so far."""

    def __init__(self, seed: int, scenario: Scenario, base: Path) -> None:
        self.scenario = scenario
        self.base = base
        self.scheduler = Scheduler(seed)
        self.draw = self.scheduler.draw
        self.oracle = Oracle()
        self.weather = Weather(page_keys=scenario.page_keys)
        self.bucket = Bucket(self.scheduler, self.weather, self._changed)
        self.disk = Disk(self.scheduler, self._applied, self._step_on_disk)
        self.replica = base / "replica"
        self.url = str(self.replica) if scenario.storage == "local" else "s3://simulated"
        self.processes: list[Process] = []
        self.kills = self.operations = self.merged = 0
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.digest = hashlib.sha256()
        self.is_over = False

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        process = self.scheduler.current.process
        # The directory has another name each time.
        text = text.replace(str(self.base), "")
        line = f"{self.scheduler.seconds:12.3f} {process.name if process else '-':10} {text}"
        self.tail.append(line)
        self.digest.update(line.encode("utf-8", "backslashreplace"))

    def is_full(self, error: Exception) -> bool:
        """Return whether *error* says that the disk is full, in a history where it may be."""
        return self.scenario.full and os.strerror(errno.ENOSPC) in str(error)

    def step(self, what: str) -> None:
        """Count one operation; it may be the last one of this process."""
        self.scheduler.check_alive()
        self.operations += 1
        self.say(what)
        process = self.scheduler.current.process
        if process is not None and process.until_kill > 0:
            process.until_kill -= 1
            if process.until_kill == 0:
                self.kills += 1
                self.say("killed")
                self.scheduler.kill(process)

    def clock(self, process: Process | None = None) -> SimulatedClock:
        """Return the clock of the running process."""
        process = process or self.scheduler.current.process
        assert process is not None
        return SimulatedClock(self.scheduler, process)

    def open_store(self, *_: Any, **__: Any) -> Store:
        """Return a connection of the running process."""
        if self.scenario.storage == "local":
            # As it is now: the default is the one of the time when the module was imported.
            return Rough(LocalStore(self.replica, clock=self.clock(), link=os.link), self)
        return open_bucket(self.bucket, self.scheduler, self.draw, self.step, self.clock())

    def run_process(self, name: str, work: Callable[[], object], *, offset_ns: int = 0, until_kill: int = 0) -> bool:
        """Run *work* as a process; return whether it came to its own end."""
        process = Process(name, counts_pauses=self.draw.random() < 1 / 2)
        process.offset_ns, process.until_kill = offset_ns, until_kill
        self.processes.append(process)
        self.scheduler.spawn(work, name, process)
        self.scheduler.wait_for_end(process)
        self.disk.close_all(process)
        self.processes.remove(process)
        return not process.dead

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Put time, threads, chance, disk and storage of this world in the place of the real ones."""
        handler = _Listener(self)
        logger = logging.getLogger("confstream")
        level, propagates = logger.level, logger.propagate
        gc.collect()
        gc.disable()
        pool = concurrent.futures.ThreadPoolExecutor
        with self.disk.installed(), _replaced(self._replacements()):
            # Some import it where they need it.
            concurrent.futures.ThreadPoolExecutor = Pool  # type: ignore[assignment, misc]
            logger.addHandler(handler)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
            try:
                yield
            finally:
                try:
                    self.scheduler.close()
                    for process in self.processes:
                        self.disk.close_all(process)
                finally:
                    concurrent.futures.ThreadPoolExecutor = pool  # type: ignore[misc]
                    logger.removeHandler(handler)
                    logger.setLevel(level)
                    logger.propagate = propagates
                    gc.enable()

    def _replacements(self) -> dict[str, object]:
        return {
            "threading": Threading(self.scheduler),
            "ThreadPoolExecutor": Pool,
            "secrets": _Secrets(self.draw),
            "random": _Random(self.draw),
            "open_store": self.open_store,
            "_CLOCK": _NeverSure(),
            "SystemClock": _NeverSure,
        }

    def _changed(self, what: str, key: str, body: bytes) -> None:
        self.say(f"storage: {what} {key} {hashlib.sha256(body).hexdigest()[:8]}")
        try:
            self.oracle.changed(self.bucket.objects, what, key, body)
        except Exception as error:
            self.scheduler.fail(f"{type(error).__name__}: {error}")
            raise

    def _applied(self, name: str, arguments: tuple[Any, ...]) -> None:
        """See what became of the files of a local replica."""
        if self.scenario.storage != "local" or name not in {"link", "unlink"}:
            return
        path = str(arguments[-1]) if not isinstance(arguments[-1], bytes) else ""
        prefix = f"{self.replica}/"
        key = path.removeprefix(prefix)
        if not path.startswith(prefix) or not is_key(key):
            return
        if name == "link":
            body = Path(path).read_bytes()
            self.bucket.objects[key] = body
            self._changed("create", key, body)
        elif key in self.bucket.objects:
            self._changed("delete", key, self.bucket.objects.pop(key))

    def _step_on_disk(self, process: Process, what: str) -> None:
        del process
        self.step(what)
        if self.draw.random() < 1 / 50:
            self.scheduler.sleep(self.draw.randrange(SECOND // 100))


class Rough:
    """A local directory as it is over a network: slow, and failing as the weather says."""

    def __init__(self, inner: Store, world: World) -> None:
        self.inner = inner
        self._world = world

    @property
    def url(self) -> str:
        return self.inner.url

    def put(self, key: str, body: bytes) -> None:
        fault = self._begin("put", key)
        self.inner.put(key, body)
        self._end(fault, OutcomeUnknownError, key)

    def replace(self, key: str, body: bytes) -> None:
        fault = self._begin("replace", key)
        self.inner.replace(key, body)
        self._end(fault, UnavailableError, key)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        self._begin("get", key)
        body, draw = self.inner.get(key, first, size), self._world.draw
        if body and draw.random() < self._world.weather.spoiled_rate:
            self._world.weather.faults["flipped"] += 1
            at = draw.randrange(len(body))
            return body[:at] + draw.choice([b"", bytes([body[at] ^ 1]) + body[at + 1 :]])
        return body

    def list(self, prefix: str = "") -> Keys:
        self._begin("list", prefix)
        return self.inner.list(prefix)

    def delete(self, keys: Keys) -> None:
        for key in keys:
            fault = self._begin("delete", key)
            self.inner.delete([key])
            self._end(fault, UnavailableError, key)

    def close(self) -> None:
        self.inner.close()

    def _begin(self, operation: str, key: str) -> str:
        world = self._world
        world.step(f"{operation} {key}")
        world.scheduler.sleep(int(world.draw.random() * world.weather.delay_seconds * SECOND))
        if world.draw.random() >= world.weather.fault_rate:
            return ""
        fault = world.draw.choice(["failed before", "lost"]) if operation in {"put", "replace", "delete"} else "failed"
        world.weather.faults[fault] += 1
        if fault != "lost":
            raise UnavailableError(f"{key}: the disk reports an error")
        return fault

    def _end(self, fault: str, kind: type[UnavailableError], key: str) -> None:
        if fault:
            raise kind(f"{key}: no answer came")


class _Listener(logging.Handler):
    """Has what the product logs in the trace, and finds what it calls a bug."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.say(f"{record.levelname}: {record.getMessage()}")
        text = self.format(record)
        self._world.merged += getattr(record, "fields", {}).get("fewer", 0)
        if getattr(record, "event", "") == "bug":
            self._world.scheduler.fail(text)


class _NeverSure:
    """A clock by which every file was written a moment ago, so that no stamp is believed: the disk's time is real."""

    def now_ns(self) -> int:
        return 0

    def elapsed_seconds(self) -> float:
        return 0.0

    def boot(self) -> str:
        return ""


class _Secrets:
    """Stands for the module ``secrets``."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def token_bytes(self, size: int) -> bytes:
        return self._draw.randbytes(size)

    def token_hex(self, size: int) -> str:
        return self._draw.randbytes(size).hex()


class _Random:
    """Stands for the module ``random``."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def Random(self) -> random.Random:  # noqa: N802 - what the module calls it.
        return self._draw


@contextlib.contextmanager
def _replaced(by_name: dict[str, object]) -> Iterator[None]:
    saved = []
    for module in _modules():
        for name, value in by_name.items():
            if name in vars(module) and module.__name__ not in {"confstream.clock", "confstream.testing"}:
                saved.append((module, name, getattr(module, name)))
                setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in reversed(saved):
            setattr(module, name, value)


def _modules() -> list[Any]:
    """Return every module of the product, imported, so that none is imported later with the real things in it."""
    if not _IMPORTED:
        for found in pkgutil.walk_packages(confstream.__path__, "confstream."):
            with contextlib.suppress(ImportError):
                importlib.import_module(found.name)
        _IMPORTED.extend(module for name, module in sorted(sys.modules.items()) if name.startswith("confstream."))
    return _IMPORTED


_IMPORTED: list[Any] = []
