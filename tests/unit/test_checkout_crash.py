"""Tree to disk, killed at every step."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import checkout, scan
from confstream.checkout import plan_checkout
from confstream.testing import ManualClock
from confstream.tree import Tree
from tests.checkout_trees import CONTENTS, current, file, folder, link, restore


def before_the_crash(root: Path) -> None:
    """Make a directory that a restore has to change in every way."""
    root.mkdir()
    restore(
        root,
        Tree(
            [
                file("same"),
                file("edited", b"old"),
                file("blank", b""),
                file("mode", mode=0o600),
                folder("was-folder"),
                file("was-folder/inside", b"old"),
                file("was-file", b"old"),
                link("link", b"old"),
                folder("sealed", 0o500),
                file("sealed/edited", b"old"),
                folder("gone"),
                file("gone/too", b"old"),
            ]
        ),
    )


AFTER_THE_CRASH = Tree(
    [
        file("same"),
        file("edited", b"newer\n", 0o600),
        file("blank"),
        file("mode", mode=0o640),
        file("was-folder"),
        folder("was-file", 0o500),
        file("was-file/inside", b"secret", 0o400),
        link("link", b"new"),
        folder("sealed", 0o500),
        file("sealed/edited"),
    ]
)


def restore_after_crash(root: Path, checkpoint: Callable[[str], None]) -> None:
    if checkout.finish(root, checkpoint=checkpoint) is None:
        loaded = scan.load(root)
        plan = plan_checkout(loaded.tree, AFTER_THE_CRASH, aside={b"blank"}, delete=True)
        if not plan:
            return
        checkout.stage(root, plan, CONTENTS.__getitem__, clock=ManualClock(), checkpoint=checkpoint)
    checkout.finish(root, checkpoint=checkpoint)


def killed_at(step: int, root: Path) -> bool:
    """Restore in a process of its own that is killed at its checkpoint number *step*; return whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def count(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            restore_after_crash(root, count)
        except BaseException:  # noqa: BLE001 - a child must never return into the test runner.
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.exhaustive
@pytest.mark.parametrize("twice", [False, True])
def test_p3_killed_at_any_step_the_next_run_finishes_the_job(tmp_path: Path, twice: bool) -> None:
    step, crashes = 0, 0
    while True:
        root = tmp_path / str(step)
        before_the_crash(root)
        before = current(root)
        was_killed = killed_at(step, root)
        if was_killed and checkout.unfinished(root) is None and not current(root).matches(AFTER_THE_CRASH):
            # Before the marker nothing has changed; there is no state in between.
            assert current(root).matches(before)
        if twice and was_killed:
            killed_at(step // 2, root)
        restore_after_crash(root, lambda _: None)

        assert current(root).matches(AFTER_THE_CRASH)
        assert checkout.unfinished(root) is None
        assert not (root / ".confstream" / "staging").exists()
        asides = [path for path in (root / ".confstream" / "aside").rglob("*") if path.is_file()]
        assert sorted(path.read_bytes() for path in asides) == [b"", b"old"]
        if not was_killed:
            break
        crashes += 1
        step += 1
    assert crashes > 25


def test_p3_an_edit_made_between_the_crash_and_the_next_run_survives_where_the_switch_was_done(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    before_the_crash(root)

    class Killed(Exception):  # noqa: N818 - stands for the end of the process.
        pass

    def kill(step: str) -> None:
        if step.startswith("link"):
            raise Killed

    with pytest.raises(Killed):
        restore_after_crash(root, kill)
    assert (root / "edited").read_bytes() == b"newer\n"
    (root / "edited").write_bytes(b"edited in place")

    checkout.finish(root)

    assert (root / "edited").read_bytes() == b"edited in place"
    assert (root / "link").readlink() == Path("new")
