"""The text that Prometheus reads, version 0.0.4, and what it is told of any process.

Written here, not by prometheus-client: that imports a hundred modules, HTTP servers and TLS among them, and holds 4 MB
for what is one line for each sample.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What it is called in HTTP."""

_PROC = Path("/proc")


class Sample(NamedTuple):
    """One number: the name of its family goes on with *ending* in front of *labels*."""

    labels: Mapping[str, str]
    value: float
    ending: str = ""


class Family(NamedTuple):
    """All samples of one name, of one *kind*, with one *help*."""

    name: str
    kind: str
    help: str
    samples: Iterable[Sample]


def text(families: Iterable[Family]) -> bytes:
    """Return *families* as a scrape reads them; what is not Unicode in a label becomes a question mark."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(f'{name}="{_quotable(value)}"' for name, value in sorted(sample.labels.items()))
            braced = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{sample.ending}{braced} {float(sample.value)!r}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def of_process() -> Iterator[Family]:
    """Yield what Linux says of this process, under the names that every exporter gives it; nothing elsewhere."""
    with contextlib.suppress(OSError):
        # Behind the name of the program, which may hold blanks: the fields from the third on.
        fields = (_PROC / "self/stat").read_bytes().rpartition(b")")[2].split()
        user, system, started, virtual, resident = (int(fields[at]) for at in (11, 12, 19, 20, 21))
        ticks, page_bytes = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
        lines = (_PROC / "stat").read_bytes().splitlines()
        booted = next((int(line.split()[1]) for line in lines if line.startswith(b"btime ")), 0)
        yield _plain("virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", virtual)
        yield _plain("resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident * page_bytes)
        since = booted + started / ticks
        yield _plain("start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", since)
        spent = (user + system) / ticks
        yield _plain("cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", spent)
        opened = sum(1 for _ in (_PROC / "self/fd").iterdir())
        yield _plain("open_fds", "gauge", "Number of open file descriptors.", opened)
        yield _plain("max_fds", "gauge", "Maximum number of open file descriptors.", os.sysconf("SC_OPEN_MAX"))


def _plain(name: str, kind: str, text: str, value: float) -> Family:
    return Family(f"process_{name}", kind, text, [Sample({}, value)])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n")


def _quotable(value: str) -> str:
    return _escaped(value).replace('"', r"\"")
