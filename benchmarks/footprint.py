"""What a process and its children cost while they run, as Linux counts it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MIB = 1024.0


@dataclass(frozen=True)
class Memory:
    """In MiB: resident, proportional (shared pages divided among those who share them), and the most it ever was."""

    rss: float
    pss: float
    peak: float


@dataclass(frozen=True)
class Effort:
    """Since the processes began: seconds on a CPU, and how often a thread woke up."""

    cpu_seconds: float
    wakeups: int

    def since(self, before: "Effort") -> "Effort":
        """Return what came after *before*."""
        return Effort(self.cpu_seconds - before.cpu_seconds, self.wakeups - before.wakeups)


def is_supported() -> bool:
    """Return whether this kernel counts what is asked here."""
    return Path("/proc/self/smaps_rollup").exists() and Path("/proc/self/schedstat").exists()


def memory(pid: int) -> Memory:
    """Return what *pid* and its children hold at this moment."""
    rss = pss = peak = 0.0
    for process in family(pid):
        # A child that has just ended has no such file, or one that names no memory.
        with contextlib.suppress(OSError, KeyError):
            held, ever = _fields((process / "smaps_rollup").read_text()), _fields((process / "status").read_text())
            rss, pss, peak = rss + held["Rss"] / _MIB, pss + held["Pss"] / _MIB, peak + ever["VmHWM"] / _MIB
    return Memory(rss, pss, peak)


def effort(pid: int) -> Effort:
    """Return what *pid* and its children did; of children that ended, the wake-ups are not known."""
    nanoseconds = wakeups = 0
    for process in family(pid):
        for thread in _list(process / "task"):
            with contextlib.suppress(OSError):
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
                wakeups += int(_fields((thread / "status").read_text())["voluntary_ctxt_switches"])
    return Effort(nanoseconds / 1e9 + _ended_children_seconds(pid), wakeups)


def family(pid: int) -> Iterator[Path]:
    """Yield the directories of *pid* and of all its children in /proc."""
    process = Path(f"/proc/{pid}")
    yield process
    for thread in _list(process / "task"):
        with contextlib.suppress(OSError):
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


def _ended_children_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _fields(text: str) -> dict[str, float]:
    """Return the numbers behind the names of a file in /proc."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        with contextlib.suppress(ValueError, IndexError):
            found[name] = float(value.split()[0])
    return found


def _list(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []
