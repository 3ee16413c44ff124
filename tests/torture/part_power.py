"""What a disk may hold after a power cut, built and recovered from, state by state."""

from tests.torture.crash_bench import bench, scenarios
from tests.torture.figures import Figures, repeat

STATES_MAX = 60
"""How many states of a scenario one history tries."""


def run(seconds: float, seed: int) -> Figures:
    """Cut the power of one scenario after another, into states that the seeds choose."""
    return repeat(cut, seed, seconds=seconds)


def cut(seed: int, figures: Figures) -> None:
    """Cut the power while the scenario of *seed* runs."""
    names = scenarios(cuttable=True)
    [result] = bench("power", [names[seed % len(names)]], seed, limit=STATES_MAX)
    figures.operations += result.tried
    figures.faults += result.tried
    figures.revisions_compared += result.revisions
    figures.more["states"] += result.points
    figures.more["states_recovered"] += result.tried - len(result.failures)
    assert not result.failures, "\n".join(result.failures)
