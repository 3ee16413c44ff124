"""An application that writes on while a restore switches: what nobody recorded is set aside, never replaced (P1)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import checkout, durable, scan
from confstream.checkout import plan_checkout
from confstream.errors import PartialError, RefusedError
from confstream.testing import ManualClock
from confstream.tree import Tree
from tests.checkout_trees import CONTENTS, current, file, folder, link, stage

TARGET = Tree([file("config.yml", b"new")])
EDITED = b"edited in the last moment\n"


def in_place(root: Path) -> None:
    (root / "config.yml").write_bytes(EDITED)


def by_rename(root: Path) -> None:
    (root / "other").write_bytes(EDITED)
    (root / "other").replace(root / "config.yml")


def aside(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in (root / ".confstream" / "aside").rglob("*") if path.is_file()]


@pytest.mark.parametrize("edit", [in_place, by_rename])
@pytest.mark.parametrize(
    ("target", "left"),
    [
        (TARGET, {b"config.yml": b"new"}),
        (Tree([]), {}),
        (Tree([link("config.yml", b"nowhere")]), {b"config.yml": b"nowhere"}),
    ],
    ids=["replaced", "deleted", "linked"],
)
def test_p1_an_edit_after_the_marker_is_set_aside(
    tmp_path: Path, target: Tree, left: dict[bytes, bytes], edit: Callable[[Path], None]
) -> None:
    (tmp_path / "config.yml").write_bytes(b"old\n")
    stage(tmp_path, target, delete=True)
    edit(tmp_path)

    finished = checkout.finish(tmp_path)

    found = current(tmp_path)
    assert {path: entry.target or (tmp_path / os.fsdecode(path)).read_bytes() for path, entry in found.items()} == left
    assert aside(tmp_path) == [EDITED]
    assert finished is not None
    assert finished.aside is not None


def test_what_nobody_edited_is_replaced_and_nothing_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"old\n")
    stage(tmp_path, TARGET)

    finished = checkout.finish(tmp_path)

    assert (tmp_path / "config.yml").read_bytes() == b"new"
    assert finished is not None
    assert finished.aside is None


def test_p1_an_edit_between_the_look_and_the_marker_takes_the_marker_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yml").write_bytes(b"old\n")
    expected = {b"config.yml": scan.stamp(tmp_path, b"config.yml")}
    actions = plan_checkout(current(tmp_path), TARGET)
    replace = durable.replace

    def late(directory: int, name: bytes, content: bytes, **options: object) -> None:
        in_place(tmp_path)
        replace(directory, name, content, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(durable, "replace", late)
    with pytest.raises(RefusedError, match="changed while the restore was prepared"):
        checkout.stage(
            tmp_path,
            actions,
            CONTENTS.__getitem__,
            clock=ManualClock(),
            expected={path: stamp for path, stamp in expected.items() if stamp is not None},
        )

    assert checkout.unfinished(tmp_path) is None
    assert (tmp_path / "config.yml").read_bytes() == EDITED
    assert not (tmp_path / ".confstream" / "staging").exists()


@pytest.mark.parametrize("replaced", [True, False])
def test_p3_a_directory_that_is_moved_away_while_it_is_filled_is_not_taken_for_restored(
    tmp_path: Path, replaced: bool
) -> None:
    marker = stage(tmp_path, Tree([folder("d"), file("d/a"), file("d/b"), file("e")]))

    def move(step: str) -> None:
        if step.startswith("write") and "d/b" in step:
            (tmp_path / "d").rename(tmp_path / "elsewhere")
            if replaced:
                (tmp_path / "d").mkdir()

    with pytest.raises(PartialError):
        checkout.finish(tmp_path, checkpoint=move, staged=marker)

    assert (tmp_path / ".confstream" / "restoring").exists()
    assert not (tmp_path / "e").exists()
