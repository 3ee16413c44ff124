"""The protocol as a model: every history within bounds that the seed chooses, and each without a dead end."""

import random

from tests.torture.figures import Figures, repeat
from tests.torture.protocol import Bounds, Explorer, Protocol, Rules

COST_MAX = 3
"""How much may happen in one history besides what must: one more multiplies the states by ten or so."""


def run(seconds: float, seed: int) -> Figures:
    """Explore one set of bounds after another."""
    return repeat(explore, seed, seconds=seconds)


def explore(seed: int, figures: Figures) -> None:
    """Explore all that is possible within the bounds of *seed*."""
    bounds = choose(random.Random(seed))  # noqa: S311 - a seed, not a secret.
    explorer = Explorer(Protocol(Rules(), bounds))
    found = explorer.explore()
    figures.operations += found.states
    figures.more["states"] += found.states
    assert not found.wrong, f"{bounds}\n{found}"
    stuck = explorer.stuck()
    assert stuck is None, f"{bounds}\n{explorer.way_to(stuck)}"


def choose(draw: random.Random) -> Bounds:
    """Return bounds that are explored within a minute or so."""
    while True:
        bounds = Bounds(
            drafts=draw.choice([(1, 1), (2, 1), (2, 2)]),
            unknowns=draw.randrange(2),
            crashes=draw.randrange(2),
            sleeps=draw.randrange(2),
            reader=draw.random() < 1 / 2,
            beats=draw.random() < 1 / 2,
        )
        cost = sum(bounds.drafts) - 2 + bounds.unknowns + bounds.crashes + bounds.sleeps + bounds.reader + bounds.beats
        if 1 <= cost <= COST_MAX:
            return bounds
