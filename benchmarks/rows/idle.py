"""Measure what a sidecar costs while nothing happens."""

from collections import Counter

from benchmarks import footprint
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Sidecar
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import EVERY_MINUTE, ON_EVENT
from benchmarks.links import operation
from benchmarks.rows.watched import pause, watching
from benchmarks.samples import Row
from benchmarks.world import World

_HOUR = 3600.0
_BEATS_OF_AN_HOUR = 12
_WINDOWS = 4


def measure(world: World) -> Row:
    """Compare memory, CPU, wake-ups and requests, all at the same time: they have nothing to do."""
    seconds = world.scale.idle_seconds
    row = Row("idle", "What does a sidecar cost while nothing happens?")
    if not footprint.is_supported():
        row.left_out["everything"] = "this system has no /proc that tells"
        return row
    beat = max(1, round(seconds / 3))
    silent = [Confstream(client, "0", ", no heartbeat") for client in ("s3fs", "lean")]
    beating = [Confstream(client, f"{beat}s") for client in ("s3fs", "lean")]
    sidecars: list[Sidecar] = [*silent, *beating, Litestream(), EVERY_MINUTE, ON_EVENT]
    with watching(world, row, sidecars, files=world.scale.files) as watched:
        counts: dict[str, Counter[str]] = {name: Counter() for name in watched}
        busy: dict[str, list[float]] = {name: [] for name in watched}
        woken: dict[str, list[float]] = {name: [] for name in watched}
        for _ in range(_WINDOWS):
            before = {name: footprint.effort(one.pid) for name, one in watched.items()}
            pause(seconds / _WINDOWS)
            for name, one in watched.items():
                spent = footprint.effort(one.pid).since(before[name])
                busy[name].append(100 * spent.cpu_seconds / (seconds / _WINDOWS))
                woken[name].append(spent.wakeups / (seconds / _WINDOWS))
                counts[name].update(operation(seen) for seen in one.link.take())
        for name, one in watched.items():
            held = footprint.memory(one.pid)
            row.add("resident", name, "MiB", [held.rss], f"proportional {held.pss:.0f}, most ever {held.peak:.0f}")
            row.add("CPU", name, "%", busy[name])
            row.add("wake-ups", name, "1/s", woken[name])
            total, note = (
                sum(counts[name].values()),
                ", ".join(f"{count} {what}" for what, count in counts[name].items()),
            )
            is_beating = one.sidecar in beating
            an_hour = total * beat / seconds * _BEATS_OF_AN_HOUR if is_beating else total * _HOUR / seconds
            row.add("requests an hour", name, "", [an_hour], f"{note or 'none'} in {seconds:g} s")
    row.notes.append(f"Requests of an hour are extrapolated from {seconds:g} s.")
    row.notes.append(f"A heartbeat came every {beat} s instead of every 5 minutes; an hour has 12 of those.")
    return row
