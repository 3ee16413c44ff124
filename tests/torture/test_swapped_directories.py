"""A process that swaps directories for links while a restore runs: not one byte is written behind them."""

import contextlib
import os
import random
import threading
from pathlib import Path
from typing import Self

import pytest

from confstream.errors import ConfstreamError
from confstream.restorer import RestoreOptions, restore
from confstream.testing import ManualClock
from tests.restoring import Replica
from tests.torture.sentinel import Sentinel

SEED = 20260227
_FOLDERS = ("d", "d/e", ".confstream", ".confstream/staging")
_FILES = {f"{folder}/{name}": f"{folder} {name}".encode() for folder in ("d", "d/e") for name in ("a", "x", "passwd")}


class Swapper:
    """Swaps a directory of *tree* for a link out of it, and back, as fast as it can."""

    def __init__(self, tree: Path, seed: int) -> None:
        self._tree = tree
        self._random = random.Random(seed)  # noqa: S311 - a seed, not a secret.
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.swaps = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            name = self._random.choice(_FOLDERS)
            self.swap(name)

    def swap(self, name: str) -> None:
        """Swap *name* once, and back."""
        path, away = self._tree / name, self._tree.parent / "swapped"
        target = os.path.relpath(self._tree.parent / "etc", path.parent)
        try:
            path.rename(away)
        except OSError:
            return
        try:
            path.symlink_to(target)
            self.swaps += 1
            path.unlink()
        except OSError:
            # The restore made a directory of that name meanwhile.
            pass
        try:
            away.rename(path)
        except OSError:
            self._discard(away)

    @staticmethod
    def _discard(folder: Path) -> None:
        for parent, folders, names in os.walk(folder, topdown=False):
            for name in names:
                Path(parent, name).unlink()
            for name in folders:
                inner = Path(parent, name)
                inner.unlink() if inner.is_symlink() else inner.rmdir()
        folder.rmdir()


@pytest.fixture
def around(tmp_path: Path) -> Sentinel:
    return Sentinel(tmp_path)


def _replica() -> Replica:
    made = Replica(clock=ManualClock())
    made.publish(_FILES)
    made.publish({name: content + b" newer\n" for name, content in _FILES.items()})
    return made


@pytest.mark.parametrize("folder", ["d", "d/e", ".confstream", ".confstream/staging"])
def test_p3_a_directory_that_is_swapped_for_a_link_at_any_step_leads_nowhere(around: Sentinel, folder: str) -> None:
    replica = _replica()
    replica.restore(around.tree, revision="1")
    steps = _restore_swapping(replica, around, folder, -1)
    assert steps > 20
    # At every step in turn, so that no instant is left to luck.
    for step in range(steps):
        around.clear()
        replica.restore(around.tree, revision="1")

        _restore_swapping(replica, around, folder, step)

        around.check()


def _restore_swapping(replica: Replica, around: Sentinel, folder: str, at: int) -> int:
    """Restore revision 2 with *folder* swapped for a link at step *at*; return how many steps there were."""
    seen = 0

    def reached(_step: str) -> None:
        nonlocal seen
        path = around.tree / folder
        if seen == at and path.is_dir() and not path.is_symlink():
            path.rename(around.tree / "moved")
            path.symlink_to(os.path.relpath(around.ground / "etc", path.parent))
        seen += 1

    with contextlib.suppress(ConfstreamError):
        restore(
            "memory://replica", around.tree, RestoreOptions(force=True, revision="2"), clock=ManualClock(),
            open_store=replica.opened, record_before=replica.record, report=lambda _line: None, checkpoint=reached,
        )  # fmt: skip
    return seen


def test_p3_directories_that_are_swapped_all_the_time_lead_nowhere(
    around: Sentinel, request: pytest.FixtureRequest
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - shown where the test fails.
    rounds = 2000 if request.config.getoption("--complete") else 40
    replica, ended, swaps = _replica(), {"restored": 0, "refused": 0}, 0

    for number in range(rounds):
        around.clear()
        replica.restore(around.tree, revision="1")
        with Swapper(around.tree, SEED + number) as swapper:
            try:
                replica.restore(around.tree, force=True, delete=bool(number % 2), revision="2")
                ended["restored"] += 1
            except ConfstreamError:
                ended["refused"] += 1
        around.check()
        swaps += swapper.swaps

    print(ended, swaps)  # noqa: T201 - likewise.
    assert sum(ended.values()) == rounds
    assert swaps > rounds
