"""What tests of journals and replicators start from: a directory, a replica in memory, and who writes to it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journals import PATIENCE_SECONDS, Open, Replica, opener
from tests.replicating import Run, Running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty directory to protect."""
    directory = tmp_path / "tree"
    directory.mkdir()
    return directory


@pytest.fixture
def replica() -> Iterator[Replica]:
    """Give an empty replica in memory; it is verified when the test is over, unless the test damaged it on purpose."""
    made = Replica()
    yield made
    made.verify()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, replica: Replica) -> Open:
    """Give a function that opens a journal on the replica."""
    return opener(monkeypatch, replica)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, root: Path, replica: Replica) -> Iterator[Run]:
    """Give a function that starts a replicator in a thread; those that still run are ended with the test."""
    replica.connect(monkeypatch)
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(options.pop("root", root), replica, **options))
        return started[-1]

    yield start
    for running in started:
        running.replicator.signal(signal.SIGTERM)
        running.replicator.signal(signal.SIGTERM)
        running.thread.join(PATIENCE_SECONDS)
