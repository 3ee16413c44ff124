"""Tree to disk where somebody or something is in the way: links, damage, owners, other file systems."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from confstream import checkout
from confstream.checkout import Action, Verb, plan_checkout
from confstream.checkout.marker import Marker, Staged, decode, encode
from confstream.checkout.stage import _same_name
from confstream.errors import IntegrityError, PartialError, RefusedError
from confstream.testing import ManualClock
from confstream.tree import Tree
from tests.checkout_trees import CONTENTS, current, file, folder, link, restore, stage

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can set owners")


@pytest.mark.parametrize("planted", ["before staging", "before the switch"])
def test_nothing_is_written_through_a_planted_symlink(tmp_path: Path, planted: str) -> None:
    root, outside = tmp_path / "tree", tmp_path / "outside"
    (root / "d").mkdir(parents=True)
    outside.mkdir()
    (root / "d" / "a").write_bytes(b"old")
    plan = plan_checkout(current(root), Tree([folder("d"), file("d/a"), file("d/b"), folder("d/e")]), delete=True)

    def plant() -> None:
        (root / "d").rename(tmp_path / "away")
        (root / "d").symlink_to(outside)

    if planted == "before staging":
        plant()
        with pytest.raises(RefusedError, match="d/a would be written through something that is no directory"):
            checkout.stage(root, plan, CONTENTS.__getitem__, clock=ManualClock())
    else:
        checkout.stage(root, plan, CONTENTS.__getitem__, clock=ManualClock())
        plant()
        with pytest.raises(PartialError, match="stopped half-way"):
            checkout.finish(root)
        assert checkout.unfinished(root) is not None

    assert [*outside.iterdir()] == []


@pytest.mark.parametrize("moved", ["d", "d/e"])
@pytest.mark.parametrize("replaced", [True, False])
def test_p3_a_directory_that_is_moved_away_while_it_is_filled_ends_the_restore_unfinished(
    tmp_path: Path, moved: str, *, replaced: bool
) -> None:
    root = tmp_path / "tree"
    (root / "d" / "e").mkdir(parents=True)
    new = Tree([folder("d"), folder("d/e"), file("d/e/a"), file("d/e/b"), file("f")])
    checkout.stage(root, plan_checkout(current(root), new), CONTENTS.__getitem__, clock=ManualClock())

    def move(step: str) -> None:
        if "d/e/b" in step and step.startswith("write"):
            (root / moved).rename(tmp_path / "away")
            if replaced:
                (root / "d" / "e").mkdir(parents=True)

    with pytest.raises(PartialError, match="stopped half-way"):
        checkout.finish(root, checkpoint=move)

    assert checkout.unfinished(root) is not None
    assert not (root / "f").exists()


def test_a_planted_symlink_is_replaced_where_a_file_or_mode_is_due_and_its_target_untouched(tmp_path: Path) -> None:
    root, outside = tmp_path / "tree", tmp_path / "outside"
    root.mkdir()
    outside.write_bytes(b"outside")
    outside.chmod(0o640)
    (root / "a").write_bytes(b"old")
    (root / "m").write_bytes(b"new")
    (root / "m").chmod(0o644)
    stage(root, Tree([file("a"), file("m", mode=0o777)]))
    for name in ("a", "m"):
        (root / name).unlink()
        (root / name).symlink_to(outside)

    checkout.finish(root)

    assert (root / "a").read_bytes() == b"new"
    assert not (root / "a").is_symlink()
    assert outside.read_bytes() == b"outside"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640


def test_a_state_directory_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "tree"
    root.mkdir()
    (root / ".confstream").symlink_to(tmp_path / "outside")

    with pytest.raises(RefusedError, match="is not a directory"):
        checkout.prepare_state_dir(root)
    with pytest.raises(RefusedError, match="is not a directory"):
        stage(root, Tree([file("a")]))


@pytest.mark.parametrize("path", [b"../x", b"/etc/passwd", b"a/../../x", b"a//b", b"", b"a\0b"])
def test_a_marker_with_a_path_that_leads_out_is_refused(path: bytes) -> None:
    action = Action(Verb.DELETE, b"x")
    object.__setattr__(action, "path", path)

    with pytest.raises(ValueError, match="does not hold a plan"):
        decode(encode(Marker((action,), {}, b"aside")))
    with pytest.raises(ValueError, match="does not hold a plan"):
        decode(encode(Marker((), {b"x": Staged(b"../" + path, 1)}, b"aside")))


@pytest.mark.parametrize("damage", ["shortened", "altered", "emptied", "of another version"])
def test_p3_a_damaged_marker_is_told_and_says_how_to_go_on(tmp_path: Path, damage: str) -> None:
    stage(tmp_path, Tree([file("a")]))
    marker = tmp_path / ".confstream" / "restoring"
    whole = marker.read_bytes()
    damaged = {
        "shortened": whole[:-1],
        "altered": whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        "emptied": b"",
        "of another version": whole.replace(b"restoring 1", b"restoring 2"),
    }
    marker.write_bytes(damaged[damage])

    with pytest.raises(IntegrityError, match=r"restoring is damaged: .* Remove that file and restore again"):
        checkout.unfinished(tmp_path)
    with pytest.raises(IntegrityError, match="is damaged"):
        checkout.finish(tmp_path)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("how", ["missing", "damaged", "all missing"])
def test_p3_a_lost_staged_content_is_told_before_anything_is_touched(tmp_path: Path, how: str) -> None:
    (tmp_path / "b").write_bytes(b"old")
    stage(tmp_path, Tree([file("a"), file("b", b"newer\n")]))
    staged = tmp_path / ".confstream" / "staging" / "00000001"
    if how == "damaged":
        staged.write_bytes(b"evil")
    elif how == "missing":
        staged.unlink()
    else:
        for each in staged.parent.iterdir():
            each.unlink()
        staged.parent.rmdir()

    with pytest.raises(IntegrityError, match=r"Remove .*restoring and restore again with --force"):
        checkout.finish(tmp_path)

    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").read_bytes() == b"old"


def test_two_names_that_a_file_system_takes_for_one_are_found_by_trying(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("Config.yml"), file("config.yml")]))
    assert checkout.finish(tmp_path) is not None

    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert not _same_name(descriptor, b"x/A/1", b"x/a")
        # What a case-insensitive file system does: the second name is taken once the first is there.
        (tmp_path / "B").touch()
        assert _same_name(descriptor, b"b", b"B")
    finally:
        os.close(descriptor)


def test_a_file_just_written_is_never_taken_for_another_path_of_the_restore(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("A"), file("a", b"newer\n")]))
    # What a case-insensitive file system does: the first file answers to the second name too.
    os.link(tmp_path / ".confstream" / "staging" / "00000000", tmp_path / "a")

    with pytest.raises(IntegrityError, match="are one name on this file system"):
        checkout.finish(tmp_path)


@needs_root
def test_state_made_by_root_can_be_used_by_the_owner_of_the_tree(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    (tmp_path / "blank").write_bytes(b"")

    finished = restore(tmp_path, Tree([file("blank", uid=12345, gid=23456)]), aside={b"blank"})
    elsewhere = checkout.prepare_state_dir(tmp_path, tmp_path.parent / "state" / "deep")

    state = tmp_path / ".confstream"
    inside = [path for path in state.rglob("*") if path.is_dir()]
    for path in (state, elsewhere, *inside):
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o700)
    assert finished.aside is not None
    assert len(inside) == 2


@needs_root
def test_a_marker_left_by_root_is_finished_by_the_owner_of_the_tree_who_counts_what_it_may_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tmp_path, 12345, 12345)
    ours = file("d/b", uid=12345, gid=12345)
    stage(tmp_path, Tree([file("a", uid=1, gid=1), link("l", b"x"), folder("d", 0o500), ours]))
    # Not through the directories above, which are root's alone.
    monkeypatch.chdir(tmp_path)
    answer_read, answer_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            os.write(answer_write, repr(checkout.finish(Path())).encode())
        except BaseException as error:  # noqa: BLE001 - a child must never return into the test runner.
            os.write(answer_write, repr(error).encode())
        os._exit(0)
    os.close(answer_write)
    with os.fdopen(answer_read) as answer:
        finished = answer.read()
    os.waitpid(child, 0)

    assert "not_owned=(b'a', b'd', b'l')" in finished
    assert "not_moded=()" in finished
    found = current(tmp_path)
    assert {path: (entry.uid, entry.mode) for path, entry in found.items()} == {
        b"a": (12345, 0o644),
        b"d": (12345, 0o500),
        b"d/b": (12345, 0o644),
        b"l": (12345, 0o777),
    }


@needs_root
def test_a_setuid_bit_survives_the_change_of_owner(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"new")
    (tmp_path / "tool").chmod(0o4755)

    restore(tmp_path, Tree([file("tool", mode=0o4755, uid=1, gid=1), file("new", mode=0o6755, uid=1, gid=1)]))

    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o4755
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o6755


@needs_root
def test_a_volume_mounted_inside_the_tree_is_filled_by_copying(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(volume)], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (volume / "a").write_bytes(b"")
        (volume / "b").write_bytes(b"old")
        target = Tree([folder("volume"), file("volume/a", mode=0o600), file("volume/b"), link("volume/l", b"x")])

        finished = restore(tmp_path, target, aside={b"volume/a"})

        assert current(tmp_path).matches(target)
        assert sorted(path.name for path in volume.iterdir()) == ["a", "b", "l"]
        assert (volume / "a").read_bytes() == (volume / "b").read_bytes() == b"new"
        assert stat.S_IMODE((volume / "a").stat().st_mode) == 0o600
        assert finished.aside is not None
        assert (tmp_path / os.fsdecode(finished.aside) / "volume" / "a").read_bytes() == b""
    finally:
        subprocess.run(["umount", str(volume)], check=True)
