"""Measure what a sidecar costs while nothing happens."""

from collections import Counter

from benchmarks import footprint
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Sidecar
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import EVERY_MINUTE, ON_EVENT
from benchmarks.links import key, operation
from benchmarks.proxy import Seen
from benchmarks.rows.watched import pause, watching
from benchmarks.samples import Row
from benchmarks.world import World

_HOUR = 3600.0
_BEATS_OF_AN_HOUR = 12
_BEAT = "PUT of a heartbeat"
_BEAT_SECONDS = 6
"""Less than that, and nobody would ever seem to rest."""


def measure(world: World) -> Row:
    """Compare memory, CPU, wake-ups and requests, all at the same time: they have nothing to do."""
    seconds = world.scale.idle_seconds
    row = Row("idle", "What does a sidecar cost while nothing happens?")
    if not footprint.is_supported():
        row.left_out["everything"] = "this system has no /proc that tells"
        return row
    beat = max(_BEAT_SECONDS, round(seconds / 3))
    silent = [Confstream(client, "0", ", no heartbeat") for client in ("s3fs", "lean")]
    beating = [Confstream(client, f"{beat}s") for client in ("s3fs", "lean")]
    sidecars: list[Sidecar] = [
        *silent,
        *beating,
        Litestream(),
        Litestream("Litestream, 10 ms", "10ms"),
        EVERY_MINUTE,
        ON_EVENT,
    ]
    with watching(world, row, sidecars, files=world.scale.files) as watched:
        before = {name: footprint.effort(one.pid) for name, one in watched.items()}
        pause(seconds)
        for name, one in watched.items():
            spent = footprint.effort(one.pid).since(before[name])
            held = footprint.memory(one.pid)
            counts = Counter(_kind(seen) for seen in one.link.take())
            row.add("resident", name, "MiB", [held.rss], f"proportional {held.pss:.0f}, most ever {held.peak:.0f}")
            row.add("CPU", name, "%", [100 * spent.cpu_seconds / seconds])
            row.add("wake-ups", name, "1/s", [spent.wakeups / seconds])
            note = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
            row.add("requests an hour", name, "", [_of_an_hour(counts, seconds)], f"{note} in {seconds:g} s")
    row.notes.append(f"Requests of an hour are extrapolated from {seconds:g} s.")
    row.notes.append(f"A heartbeat came every {beat} s instead of every 5 minutes; an hour has 12 of those.")
    return row


def _kind(seen: Seen) -> str:
    return _BEAT if "/heartbeat/" in key(seen) else operation(seen)


def _of_an_hour(counts: Counter[str], seconds: float) -> float:
    """Return how many requests an hour has: so many for each heartbeat, of which it has twelve, else by the time."""
    per_beat = counts.total() / counts[_BEAT] if counts[_BEAT] else 0.0
    return per_beat * _BEATS_OF_AN_HOUR if per_beat else counts.total() * _HOUR / seconds
