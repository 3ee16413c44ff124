"""SIGKILL at named points of everything that writes, and what the next run makes of it."""

from tests.torture.crash_bench import bench, scenarios
from tests.torture.figures import Figures, repeat

POINTS_MAX = 30
"""How many points of a scenario one history tries."""


def run(seconds: float, seed: int) -> Figures:
    """Kill one scenario after another at points that the seeds choose."""
    return repeat(kill, seed, seconds=seconds)


def kill(seed: int, figures: Figures) -> None:
    """Kill the scenario of *seed* at some of its points."""
    names = scenarios()
    [result] = bench("crashes", [names[seed % len(names)]], seed, limit=POINTS_MAX)
    figures.operations += result.tried
    figures.kills += result.kills
    figures.revisions_compared += result.revisions
    figures.more["points"] += result.points
    assert not result.failures, "\n".join(result.failures)
