"""The command that runs the torture: what it prints can be read by programs, and what fails can be seen again."""

import json
import os

import pytest

from tests.torture import __main__ as command
from tests.torture.figures import Figures, repeat


def _fails_at(bad: int) -> Figures:
    def history(seed: int, figures: Figures) -> None:
        figures.operations += 1
        assert seed != bad, "something was lost"

    return repeat(history, 40, count=10)


def test_a_part_prints_its_figures_as_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["protocol", "--seconds", "0", "--seed", "5"]) == 0

    line, end = capsys.readouterr().out.split("\n")
    found = json.loads(line)
    assert end == ""
    assert (found["part"], found["seed"], found["seeds"], found["failures"]) == ("protocol", 5, 1, [])
    assert found["operations"] > 50


def test_a_failure_ends_a_part_and_names_its_seed_and_the_command_that_shows_it_again() -> None:
    figures = _fails_at(42)

    assert (figures.seeds, figures.operations) == (3, 3)
    said = figures.complaint("simulator").splitlines()
    assert said[0] == "simulator failed with seed 42:"
    assert "AssertionError: something was lost" in said
    assert said[-1].endswith("python -m tests.torture simulator --seed 42 --seconds 0")


def test_until_failure_goes_on_with_fresh_seeds_until_something_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def run(_part: str, _seconds: float, seed: int) -> Figures:
        seeds.append(seed)
        return _fails_at(42 if len(seeds) == 3 else 0)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setenv("AWS_REGION", "nowhere")

    assert command.main(["protocol", "--seed", "7", "--until-failure"]) == 1

    assert len(set(seeds)) == 3
    assert seeds[0] == 7
    assert "AWS_REGION" not in os.environ
    captured = capsys.readouterr()
    assert [json.loads(line)["failures"] for line in captured.out.splitlines()] == [[], [], [42]]
    assert captured.err.startswith("seed 7\n")


def test_without_a_seed_one_is_drawn_and_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run", lambda _part, _seconds, _seed: Figures())

    assert command.main(["all"]) == 0

    drawn = int(capsys.readouterr().err.removeprefix("seed "))
    assert 0 <= drawn < command.SEED_COUNT


def test_every_part_says_what_it_is() -> None:
    assert all(command.parts().values())
