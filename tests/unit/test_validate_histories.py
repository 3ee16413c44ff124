"""Real configuration histories: what is legal is never called invalid, what is broken always is."""

import random

import pytest
import yaml

from confstream.validate import Validators
from tests.histories import BUNDLES, GitHistory, git, load

_SEED = 20261123
_FILES_MAX = 150
_REJECTED_BY_SAFE_LOAD = {"dubhad_home-assistantconfig", "frenck_home-assistant-config", "htpcbeginner_docker-traefik"}
_NOT_YAML = {"htpcbeginner_docker-traefik"}


def _sample(history: GitHistory) -> list[tuple[bytes, bytes]]:
    """Return a seeded choice of the YAML and JSON files of all commits, each version once."""
    listed = git(history.repository, "rev-list", "--objects", "--all").splitlines()
    named = [line.split(b" ", 1) for line in listed if line.endswith((b".yml", b".yaml", b".json"))]
    chosen = random.Random(_SEED).sample(named, min(_FILES_MAX, len(named)))  # noqa: S311 - a choice, no secret.
    return [(path, git(history.repository, "cat-file", "blob", name.decode())) for name, path in chosen]


@pytest.fixture(scope="module", params=BUNDLES)
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GitHistory:
    found = load(request.param, tmp_path_factory.mktemp("histories"))
    if not found.origin.startswith("bundle"):
        pytest.skip(f"the bundle {request.param} is not there, and a generated history proves nothing about real files")
    return found


def _error(content: bytes, *, construct: bool) -> yaml.YAMLError | None:
    try:
        if construct:
            yaml.load(content, yaml.CSafeLoader)
        else:
            list(yaml.parse(content, yaml.CSafeLoader))
    except yaml.YAMLError as error:
        return error
    return None


def test_files_that_only_their_application_can_construct_are_valid_and_broken_ones_are_not(history: GitHistory) -> None:
    validators = Validators.default()
    legal_but_refused = broken = 0

    for path, content in _sample(history):
        outcome = validators.check(path, content)
        assert not outcome.unchecked, path
        if path.endswith(b".json"):
            assert not outcome.findings, path
            continue
        error = _error(content, construct=False)
        if error is None:
            assert not outcome.findings, path
            legal_but_refused += _error(content, construct=True) is not None
        else:
            assert isinstance(error, yaml.MarkedYAMLError)
            assert error.problem_mark is not None
            expected = (error.problem_mark.line + 1, error.problem_mark.column + 1)
            assert [(one.line, one.column) for one in outcome.findings] == [expected], path
            broken += 1

    name = history.repository.name
    assert bool(legal_but_refused) == (name in _REJECTED_BY_SAFE_LOAD), f"seed {_SEED}"
    assert bool(broken) == (name in _NOT_YAML), f"seed {_SEED}"
