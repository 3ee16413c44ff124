"""The laws of trees and of what changes them."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.tree import EMPTY, Change, Entry, Kind, Meta, Op, Tree, apply, apply_to, check_path, content_hash, diff
from tests.strategies import held_trees, law, trees


def _without_times(tree: Tree) -> Tree:
    return Tree(replace(entry, mtime_ns=0) for entry in tree.values())


@law
@given(trees(), trees())
def test_applying_the_difference_turns_the_old_tree_into_the_new_one(old: Tree, new: Tree) -> None:
    result = apply(old, diff(old, new))

    assert _without_times(result) == _without_times(new)
    assert result.digest == new.digest


@law
@given(trees(), trees())
def test_a_tree_after_changes_is_the_one_that_its_entries_make(old: Tree, new: Tree) -> None:
    for changes in (diff(old, new), [change for change in diff(old, new) if change.path in old and change.path in new]):
        try:
            entries = dict(old)
            apply_to(entries, changes)
            wanted = Tree(entries.values())
        except ValueError:
            with pytest.raises(ValueError, match=r"\S"):
                apply(old, changes)
            continue
        assert list(apply(old, changes).items()) == list(wanted.items())
        assert apply(old, changes).digest == wanted.digest


@law
@given(trees(), trees())
def test_a_file_whose_content_changed_has_its_new_time_after_apply(old: Tree, new: Tree) -> None:
    result = apply(old, diff(old, new))

    for entry in new.files:
        if entry.path not in old or old[entry.path].hash != entry.hash or old[entry.path].kind is not Kind.FILE:
            assert result[entry.path].mtime_ns == entry.mtime_ns


@law
@given(trees())
def test_a_tree_does_not_differ_from_itself(tree: Tree) -> None:
    assert diff(tree, tree) == []


@law
@given(trees(), trees())
def test_a_difference_ascends_by_path_and_names_each_path_once(old: Tree, new: Tree) -> None:
    found = [change.path for change in diff(old, new)]

    assert found == sorted(set(found))


@law
@given(trees(), st.integers(0, 2**40))
def test_a_touched_file_is_not_a_changed_one(tree: Tree, time_ns: int) -> None:
    touched = Tree(replace(entry, mtime_ns=time_ns) if entry.kind is Kind.FILE else entry for entry in tree.values())

    assert diff(tree, touched) == []
    assert tree.matches(touched)


@law
@given(trees(), st.integers(0, 1000))
def test_another_owner_is_a_change_but_not_another_tree(tree: Tree, uid: int) -> None:
    owned = Tree(replace(entry, uid=uid) for entry in tree.values())

    found = diff(tree, owned)

    assert {change.path for change in found} == {path for path in tree if tree[path].uid != uid}
    assert all(change.op is Op.META for change in found)
    assert tree.digest == owned.digest


@law
@given(trees(), trees())
def test_trees_have_one_digest_exactly_if_all_entries_match(one: Tree, other: Tree) -> None:
    same = list(one) == list(other) and all(one[path].matches(other[path]) for path in one)

    assert (one.digest == other.digest) == same
    assert one.matches(other) == same


@law
@given(held_trees(), st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_entries(held: tuple[Tree, object], random: object) -> None:
    entries = list(held[0].values())
    random.shuffle(entries)  # type: ignore[attr-defined]

    assert Tree(entries).digest == held[0].digest
    assert list(Tree(entries)) == sorted(held[0])


def test_the_digest_is_what_the_format_says() -> None:
    tree = Tree([Entry.directory(b"d", 0o700), Entry.file(b"d/f", b"x", 0o644), Entry.symlink(b"l", b"d/f")])

    expected = hashlib.sha256(
        b"confstream tree 1\n"
         b"\1\0\0\0d" + b"d0700" + bytes(32)
        + b"\3\0\0\0d/f" + b"f0644" + hashlib.sha256(b"x").digest()
        + b"\1\0\0\0l" + b"s0777" + hashlib.sha256(b"d/f").digest()
    ).digest()  # fmt: skip

    assert tree.digest == expected


def test_paths_and_contents_cannot_be_shifted_between_entries() -> None:
    one = Tree([Entry.file(b"a", b""), Entry.file(b"b", b"")])
    other = Tree([Entry.file(b"af", b""), Entry.file(b"b", b"")])

    assert one.digest != other.digest
    assert EMPTY.digest != one.digest


@pytest.mark.parametrize(
    "path", [b"", b"/etc/passwd", b"a//b", b"a/", b"..", b"../a", b"a/../b", b".", b"./a", b"a\0b", b"x" * 256]
)
def test_a_path_that_could_lead_out_of_the_tree_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match=r"path|NUL|bytes"):
        check_path(path)
    with pytest.raises(ValueError, match=r"path|NUL|bytes"):
        Entry.file(path, b"")
    with pytest.raises(ValueError, match=r"path|NUL|bytes"):
        Change(Op.DELETE, path)


@pytest.mark.parametrize(
    "path", [b"..a", b"a..", b"...", b"a\nb", b"\xff", b"x" * 255, b"a/" * 200 + b"b", b"a\\..\\b"]
)
def test_an_odd_path_is_still_a_path(path: bytes) -> None:
    assert check_path(path) == path


def test_a_tree_refuses_a_path_twice() -> None:
    with pytest.raises(ValueError, match="occurs twice"):
        Tree([Entry.file(b"a", b"1"), Entry.file(b"a", b"2")])


@pytest.mark.parametrize("parent", [[], [Entry.file(b"a", b"")], [Entry.symlink(b"a", b"b")]])
def test_a_tree_refuses_an_entry_below_what_is_not_a_directory(parent: list[Entry]) -> None:
    with pytest.raises(ValueError, match="not a directory of the tree"):
        Tree([*parent, Entry.file(b"a/b", b"")])


def test_a_name_that_sorts_between_a_directory_and_its_entries_does_no_harm() -> None:
    tree = Tree([Entry.file(b"a/b", b""), Entry.file(b"a-b", b""), Entry.directory(b"a")])

    assert list(tree) == [b"a", b"a-b", b"a/b"]


def test_a_file_can_become_a_directory_and_a_directory_a_file() -> None:
    one = Tree([Entry.file(b"a", b"x"), Entry.directory(b"b"), Entry.file(b"b/c", b"y")])
    other = Tree([Entry.directory(b"a"), Entry.file(b"a/c", b"y"), Entry.file(b"b", b"x")])

    assert apply(one, diff(one, other)) == other
    assert apply(other, diff(other, one)) == one


@pytest.mark.parametrize("change", [Change(Op.DELETE, b"a"), Change(Op.META, b"a", meta=Meta(0o600, 0, 0))])
def test_a_change_of_what_is_not_there_does_not_apply(change: Change) -> None:
    with pytest.raises(ValueError, match="not there"):
        apply(EMPTY, [change])
    with pytest.raises(ValueError, match="not there"):
        apply_to({}, [change])


def test_deleting_a_directory_alone_does_not_apply() -> None:
    tree = Tree([Entry.directory(b"a"), Entry.file(b"a/b", b"")])

    with pytest.raises(ValueError, match="not a directory of the tree"):
        apply(tree, [Change(Op.DELETE, b"a")])


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": 0o10644},
        {"mode": -1},
        {"hash": b"short"},
        {"size": -1},
        {"uid": -1},
        {"gid": -1},
        {"target": b"x"},
        {"kind": Kind.SYMLINK},
        {"kind": Kind.SYMLINK, "target": b"a\0b"},
    ],
)
def test_an_entry_that_no_tree_can_hold_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'a'"):
        replace(Entry.file(b"a", b""), **fields)  # type: ignore[arg-type]


def test_a_change_carries_exactly_what_its_op_needs() -> None:
    entry, meta = Entry.file(b"a", b""), Meta(0o600, 0, 0)

    for op, given_entry, given_meta in [
        (Op.PUT, None, None),
        (Op.PUT, entry, meta),
        (Op.DELETE, entry, None),
        (Op.DELETE, None, meta),
        (Op.META, None, None),
        (Op.META, entry, meta),
    ]:
        with pytest.raises(ValueError, match=f"a {op} of"):
            Change(op, b"a", given_entry, given_meta)
    with pytest.raises(ValueError, match="with the entry of"):
        Change(Op.PUT, b"b", entry)
    with pytest.raises(ValueError, match="not possible"):
        Meta(0o10000, 0, 0)


def test_a_content_is_named_by_its_sha256() -> None:
    assert content_hash(b"") == hashlib.sha256(b"").digest()
    assert Entry.file(b"a", b"x").hash == hashlib.sha256(b"x").digest()
