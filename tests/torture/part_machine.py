"""The public API against a list of trees: rules in any order, killed in the middle of any of them."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.torture.figures import Figures, repeat
from tests.torture.machine import PublicApi

_EXAMPLES = 10


def run(seconds: float, seed: int) -> Figures:
    """Let Hypothesis look for a sequence of rules after which something is not as it should be."""
    return repeat(explore, seed, seconds=seconds)


def explore(seed: int, figures: Figures) -> None:
    """Try the sequences that *seed* makes; the shortest one that fails is in the error."""

    class Counted(PublicApi):
        """Adds up what it did."""

        def teardown(self) -> None:
            figures.operations += self.world.operations
            figures.revisions_compared += self.compared
            figures.more["sequences"] += 1
            figures.more["revisions"] += self.head
            figures.more["rules"] += self.steps
            super().teardown()
            figures.kills += self.world.kills

    bounds = settings(
        max_examples=_EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    try:
        run_state_machine_as_test(seeded(seed)(Counted), settings=bounds)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        raise AssertionError(f"{notes}\n{error}") from error
