"""Tree to disk: plans, and what they leave behind."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confstream import checkout, scan
from confstream.checkout import plan_checkout
from confstream.errors import ConfstreamError, IntegrityError, RefusedError
from confstream.testing import ManualClock
from confstream.tree import EMPTY, Entry, Kind, Tree
from tests.checkout_trees import CONTENTS, current, file, folder, link, restore, stage, verbs

EVERYTHING = Tree(
    [
        file("acme.json", b"secret", 0o600, mtime_ns=1_600_000_000_123_456_789),
        file("setuid", b"new", 0o4755),
        file("closed", b"secret", 0o400),
        folder("empty"),
        folder("sealed", 0o500),
        folder("sealed/deep", 0o500),
        file("sealed/deep/file", b"newer\n"),
        link("dangling", b"nowhere\nat all"),
        link("sealed/up", b"../acme.json"),
        file(os.fsdecode(b"caf\xe9\n\xff"), b"new"),
        file("n" * 255, b""),
    ]
)


def test_p3_a_restored_tree_is_the_tree_byte_for_byte(tmp_path: Path) -> None:
    finished = restore(tmp_path, EVERYTHING)

    assert list(current(tmp_path).values()) == list(EVERYTHING.values())
    assert finished.written == 8
    assert finished.note == {"revision": 7}
    assert (tmp_path / "acme.json").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert checkout.unfinished(tmp_path) is None
    assert [path.name for path in (tmp_path / ".confstream").iterdir()] == []


def test_p3_killed_after_a_content_was_closed_to_its_owner_the_next_run_finishes_the_job(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("a", b"secret", 0)]))
    (tmp_path / ".confstream" / "staging" / "00000000").chmod(0)

    checkout.finish(tmp_path)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0
    (tmp_path / "a").chmod(0o600)
    assert (tmp_path / "a").read_bytes() == b"secret"


def test_a_tree_that_is_right_needs_nothing(tmp_path: Path) -> None:
    restore(tmp_path, EVERYTHING)

    assert plan_checkout(current(tmp_path), EVERYTHING, delete=True) == []


def test_a_plan_reads_as_a_person_would_say_it() -> None:
    before = Tree([file("a", b"old"), file("b", b""), folder("d"), file("gone", b"old"), folder("x"), link("l", b"1")])
    after = Tree(
        [file("a", b"newer\n", 0o600), file("b"), file("d"), link("l", b"2"), file("line\nfeed"), folder("x", 0o700)]
    )

    plan = plan_checkout(before, after, aside={b"b"}, delete=True)

    assert [str(action) for action in plan] == [
        "replace   a  (6 bytes, was 3 bytes, mode 0600)",
        "set-aside b  (0 bytes)",
        "write     b  (3 bytes, mode 0644)",
        "set-aside d  (a directory where a file has to be)",
        "write     d  (3 bytes, mode 0644)",
        "link      l  (to 2, was 1)",
        "write     line\\nfeed  (3 bytes, mode 0644)",
        "delete    gone",
        "chmod     x  (0700, was 0755)",
    ]


def test_p1_what_is_kept_wins_over_everything_that_needs_its_place() -> None:
    before = Tree([file("a", b"old"), file("was-file"), folder("was-folder"), file("was-folder/kept", b"old")])
    after = Tree([file("a"), folder("was-file"), file("was-file/x"), file("was-folder"), file("b")])

    plan = plan_checkout(before, after, keep=set(before), delete=True)

    assert verbs(plan) == [("write", "b")]
    assert verbs(plan_checkout(before, after, keep={b"was-folder/kept", b"was-file", b"a"}, delete=True)) == [
        ("write", "b")
    ]


def test_deletions_come_last_and_deepest_first_and_only_if_asked_for() -> None:
    before = Tree([folder("d"), folder("d/e"), file("d/e/f"), file("d-"), folder("k"), file("k/kept")])

    assert plan_checkout(before, EMPTY) == []
    assert verbs(plan_checkout(before, Tree([file("a")]), delete=True, keep={b"k/kept"})) == [
        ("write", "a"),
        ("delete", "d/e/f"),
        ("rmdir", "d/e"),
        ("delete", "d-"),
        ("rmdir", "d"),
    ]


def test_owners_are_planned_as_the_policy_says() -> None:
    before, after = Tree([file("a", uid=1, gid=1)]), Tree([file("a", uid=2, gid=3)])

    assert [action.owner for action in plan_checkout(before, after)] == [(2, 3)]
    assert plan_checkout(before, after, owner="none") == []
    assert [action.owner for action in plan_checkout(before, after, owner=(8, 9))] == [(8, 9)]


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    entries: dict[bytes, Entry] = {}
    for path in sorted(draw(st.sets(NAMES, max_size=6))):
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if any(entries.get(os.fsencode(up), folder(up)).kind is not Kind.DIRECTORY for up in above):
            continue
        for up in above:
            entries.setdefault(os.fsencode(up), folder(up, draw(st.sampled_from([0o755, 0o500]))))
        kind = draw(st.sampled_from(["file", "folder", "link"]))
        if kind == "file":
            made = file(path, draw(st.sampled_from([b"old", b"new"])), draw(st.sampled_from([0o644, 0o600])))
        else:
            made = folder(path) if kind == "folder" else link(path, draw(st.sampled_from([b"x", b"y"])))
        entries[made.path] = made
    return Tree(entries.values())


@settings(max_examples=60)
@given(trees(), trees())
def test_p3_any_tree_can_be_turned_into_any_other(
    tmp_path_factory: pytest.TempPathFactory, before: Tree, after: Tree
) -> None:
    root = tmp_path_factory.mktemp("tree")
    restore(root, before)
    assert current(root).matches(before)

    plan = plan_checkout(current(root), after, delete=True)
    checkout.stage(root, plan, CONTENTS.__getitem__, clock=ManualClock(), expected=scan.load(root).stamps)
    checkout.finish(root)

    assert current(root).matches(after)


def test_p1_a_blank_file_is_set_aside_where_no_application_looks(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "config.yml").write_bytes(b"\n\n")

    finished = restore(tmp_path, Tree([folder("d"), file("d/config.yml")]), aside={b"d/config.yml"})

    assert (tmp_path / "d" / "config.yml").read_bytes() == b"new"
    assert finished.aside is not None
    assert (tmp_path / os.fsdecode(finished.aside) / "d" / "config.yml").read_bytes() == b"\n\n"


def test_p1_files_that_are_no_part_of_the_tree_survive_what_happens_to_their_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "excluded.db").write_bytes(b"precious")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "excluded.db").write_bytes(b"precious")
    plan = plan_checkout(Tree([folder("d"), folder("e")]), Tree([file("d")]), delete=True)

    checkout.stage(tmp_path, plan, CONTENTS.__getitem__, clock=ManualClock())
    finished = checkout.finish(tmp_path)

    assert finished is not None
    assert finished.aside is not None
    assert (tmp_path / os.fsdecode(finished.aside) / "d" / "excluded.db").read_bytes() == b"precious"
    assert finished.left == (b"e",)
    assert (tmp_path / "e" / "excluded.db").read_bytes() == b"precious"


def test_p1_something_in_the_way_that_the_plan_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"not scanned")
    plan = plan_checkout(EMPTY, Tree([file("config.yml")]))

    with pytest.raises(RefusedError, match=r"config\.yml is in the way"):
        checkout.stage(tmp_path, plan, CONTENTS.__getitem__, clock=ManualClock())

    assert (tmp_path / "config.yml").read_bytes() == b"not scanned"
    assert checkout.unfinished(tmp_path) is None


def test_p1_a_file_edited_after_it_was_scanned_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"old")
    loaded = scan.load(tmp_path)
    (tmp_path / "config.yml").write_bytes(b"edited")
    plan = plan_checkout(loaded.tree, Tree([file("config.yml")]))

    with pytest.raises(RefusedError, match=r"config\.yml changed while the restore was prepared"):
        checkout.stage(tmp_path, plan, CONTENTS.__getitem__, clock=ManualClock(), expected=loaded.stamps)


def test_p1_what_appears_between_plan_and_switch_is_set_aside_not_overwritten(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("a"), folder("d"), link("l", b"x")]))
    (tmp_path / "a").write_bytes(b"made meanwhile")
    (tmp_path / "d").write_bytes(b"made meanwhile")
    (tmp_path / "l").mkdir()

    finished = checkout.finish(tmp_path)

    assert finished is not None
    assert finished.aside is not None
    aside = tmp_path / os.fsdecode(finished.aside)
    assert (aside / "a").read_bytes() == (aside / "d").read_bytes() == b"made meanwhile"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "d").is_dir()
    assert (tmp_path / "l").is_symlink()


def test_p9_a_content_that_is_not_what_its_hash_says_leaves_everything_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    plan = plan_checkout(current(tmp_path), Tree([file("a"), file("b")]))

    with pytest.raises(IntegrityError, match="a: the content has the hash"):
        checkout.stage(tmp_path, plan, lambda _: b"evil", clock=ManualClock())

    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in (tmp_path / ".confstream").iterdir()] == []


def test_a_full_disk_leaves_everything_as_it_is(tmp_path: Path) -> None:
    def full(_: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    plan = plan_checkout(EMPTY, Tree([file("a")]))

    with pytest.raises(ConfstreamError, match=r"the restore needs 3 bytes there\. Nothing was changed"):
        checkout.stage(tmp_path, plan, full, clock=ManualClock())

    assert [path.name for path in (tmp_path / ".confstream").iterdir()] == []


def test_a_second_restore_waits_for_the_first_to_be_finished(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("a")]))

    with pytest.raises(RefusedError, match="unfinished restore has to be finished first"):
        stage(tmp_path, Tree([file("b")]))


def test_staging_without_a_marker_is_garbage(tmp_path: Path) -> None:
    staging = tmp_path / ".confstream" / "staging"
    (staging / "deep").mkdir(parents=True)
    (staging / "deep" / "file").write_bytes(b"x")
    (staging / "link").symlink_to(tmp_path)

    checkout.discard_staging(tmp_path)

    assert not staging.exists()
    assert tmp_path.exists()
    checkout.discard_staging(tmp_path / "absent")
