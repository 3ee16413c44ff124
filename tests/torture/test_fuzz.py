"""A bounded slice of the fuzzing, and proof that it finds what is put there to be found."""

from typing import Any

import pytest

from confstream import moments
from confstream.codec import frames, objects
from tests.torture import part_fuzz
from tests.torture.fuzz_target import first_failure
from tests.torture.fuzz_worker import load

TARGETS = load()
SEED = 20260227
_SLOW = {"replica": 60, "replica_history": 60, "replica_verify": 40, "journal": 150, "environment": 60}

needs_atheris = pytest.mark.skipif(not part_fuzz.is_possible(), reason="there is no atheris for this platform")


@pytest.mark.parametrize("name", TARGETS)
def test_p9_inputs_that_a_seed_chooses_raise_nothing_but_what_is_promised(name: str) -> None:
    failure = first_failure({name: TARGETS[name]}, SEED, _SLOW.get(name, 200))

    assert failure is None, str(failure)


@needs_atheris
def test_p9_inputs_that_coverage_leads_to_raise_nothing_but_what_is_promised() -> None:
    figures = part_fuzz.fuzz([*TARGETS], SEED, runs=60)

    print(figures.document("fuzz", SEED, 0))  # noqa: T201 - shown where the test fails.
    assert not figures.failures, figures.complaint("fuzz")
    assert figures.more["targets"] == len(TARGETS)
    assert figures.more["coverage"] > figures.more["coverage_of_seeds"] > 1000


def test_every_target_takes_its_own_seeds() -> None:
    for target in TARGETS.values():
        for given in target.seeds():
            target.attempt(given, weigh=True)


def _unchecked(value: Any, _expected: type, _name: str) -> Any:
    return value


@pytest.mark.parametrize(
    ("names", "module", "attribute", "broken"),
    [
        (("revision", "pack", "snapshot"), objects, "checked", _unchecked),
        (("frames",), frames, "_expect_end", lambda *_values: 1 // 0),
        (("moments",), moments, "_offset", lambda _text: 1 // 0),
    ],
)
def test_a_decoder_that_somebody_broke_is_caught(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], module: Any, attribute: str, broken: Any
) -> None:
    targets = {name: TARGETS[name] for name in names}
    assert first_failure(targets, SEED, 50) is None

    monkeypatch.setattr(module, attribute, broken)

    failure = first_failure(targets, SEED, 3000)
    assert failure is not None
    assert failure.target in names
    assert failure.given
