"""What must be reached: each figure against a limit, or against the best of its peers in the same run."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESTORERS = ("rclone", "rclone tuned", "restic")
"""Not Litestream, which brings a database and no files yet."""

REMEMBERERS = ("restic", "Litestream")
LEAN = ("confstream lean", "confstream")
"""Who is meant: the first of these that was measured."""


@dataclass(frozen=True)
class Bar:
    """What *ours* has to reach in *figure* of *row*: at most *must* times the best of *peers*, or *must* itself."""

    row: str
    figure: str
    must: float
    goal: float
    ours: tuple[str, ...] = LEAN
    peers: tuple[str, ...] = ()
    peer_row: str = ""
    peer_figure: str = ""
    statistic: str = "median"
    is_least: bool = False
    """More is better: *must* is what has to be reached at least."""


@dataclass(frozen=True)
class Judged:
    """How a bar came out."""

    bar: Bar
    ours: str
    value: float
    peer: str
    against: float
    found: float

    @property
    def verdict(self) -> str:
        """Return what was reached."""
        for name, limit in (("goal", self.bar.goal), ("must", self.bar.must)):
            if self.found >= limit if self.bar.is_least else self.found <= limit:
                return name
        return "**not reached**"


BARS = (
    Bar("present", "time", 2.0, 1.3, ("confstream",), ("python -c pass",)),
    Bar("present", "CPU", 2.0, 1.3, ("confstream",), ("python -c pass",)),
    Bar("present", "instructions", 2.0, 1.3, ("confstream",), ("python -c pass",)),
    Bar("restore", "near", 1.0, 0.5, peers=RESTORERS),
    Bar("restore", "+30 ms", 1.0, 0.5, peers=RESTORERS),
    Bar("past", "newest, +30 ms", 0.5, 0.25, peers=REMEMBERERS),
    Bar("past", "arbitrary, +30 ms", 0.5, 0.25, peers=REMEMBERERS),
    Bar("change", "lag", 69, 25),
    Bar("change", "lag", 150, 60, statistic="p95"),
    Bar("change", "requests per change", 1.0, 1.0),
    Bar("second-write", "lost", 0, 0),
    Bar("second-write", "lost in a storm", 0, 0),
    Bar("idle", "requests an hour", 12, 12),
    Bar("idle", "requests an hour", 0, 0, ("confstream lean, no heartbeat", "confstream, no heartbeat")),
    Bar("idle", "resident", 64, 64, ("confstream",)),
    Bar("idle", "resident", 44, 32, ("confstream lean",)),
    Bar("change", "resident, working", 96, 96, ("confstream",)),
    Bar("change", "resident, working", 64, 48, ("confstream lean",)),
    Bar("idle", "CPU", 0.1, 0.02, ("confstream lean, no heartbeat", "confstream, no heartbeat")),
    Bar("idle", "wake-ups", 1.0, 1.0, ("confstream lean, no heartbeat", "confstream, no heartbeat")),
    Bar("bytes", "on the replica", 1.0, 1.0, ("confstream",), ("git gc",)),
    Bar("bytes", "on the replica", 1.0, 1.0, ("confstream, a day later",), ("git gc",)),
    Bar("bytes", "on the replica", 1.0, 0.7, ("confstream, packed",), ("git gc",)),
    Bar("write", "time", 4.0, 2.0, ("Journal.write",), ("both primitives",)),
    Bar("threads", "writes", 2.0, 4.0, ("8 threads",), ("1 thread",), is_least=True),
    Bar("scan", "time", 1.5, 1.0, ("confstream, inside",), ("git status",)),
    Bar("change-many", "lag", 1.5, 1.0, peers=("git",), peer_row="change-many-peers", peer_figure="time"),
    Bar("restore-many", "near", 1.5, 1.0, peers=("git",)),
    Bar("looking", "log", 3.0, 1.5, peers=("Litestream",)),
    Bar("looking", "diff", 3.0, 1.5, peers=("Litestream",), peer_figure="log"),
    Bar("long", "log", 2.0, 1.1, ("confstream lean, long", "confstream, long"), ("short",)),
    Bar("long", "restore", 2.0, 1.1, ("confstream lean, long", "confstream, long"), ("short",)),
)


def judge(rows: Mapping[str, Any]) -> list[Judged]:
    """Return how those bars came out whose figures are in *rows*."""
    return [judged for bar in BARS if (judged := _judge(bar, rows)) is not None]


def _judge(bar: Bar, rows: Mapping[str, Any]) -> Judged | None:
    ours = _figures(rows, bar.row, bar.figure)
    name = next((name for name in bar.ours if name in ours), None)
    if name is None:
        return None
    value = float(ours[name][bar.statistic])
    if not bar.peers:
        return Judged(bar, name, value, "", 0.0, value)
    them = _figures(rows, bar.peer_row or bar.row, bar.peer_figure or bar.figure)
    peers = [peer.replace("short", name.replace("long", "short")) for peer in bar.peers]
    present = [peer for peer in peers if peer in them]
    if not present:
        return None
    best = min(present, key=lambda peer: float(them[peer]["median"]))
    return Judged(
        bar, name, value, best, float(them[best]["median"]), ratio(ours[name]["samples"], them[best]["samples"])
    )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds; of the medians where the rounds are not the same."""
    if len(ours) == len(theirs) and all(theirs):
        return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    other = statistics.median(theirs)
    return statistics.median(ours) / other if other else float("inf")


def _figures(rows: Mapping[str, Any], row: str, figure: str) -> dict[str, Any]:
    found = rows.get(row, {"figures": []})["figures"]
    return {one["contender"]: one for one in found if one["figure"] == figure}
