"""A short soak: every moment that was copied by other means restores as it was."""

from tests.torture import part_soak

SEED = 1


def test_p8_p9_every_moment_of_a_short_soak_restores_as_it_was() -> None:
    figures = part_soak.run(0, SEED)

    assert not figures.failures, figures.complaint("soak")
    assert figures.kills > 0
    assert figures.faults > 0
    assert figures.revisions_compared > 20
