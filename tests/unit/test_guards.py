"""What is believed of a change of the whole tree, and what is only recorded with a doubt (P10)."""

import pytest

from confstream.guards import REASONS_MAX, held_back, is_blank, judge
from confstream.revision import OK, Status
from confstream.tree import Entry
from tests.logs import tree_of


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\0" * 4096, b"\0 \n"])
def test_nothing_but_white_space_and_nul_bytes_is_blank(content: bytes) -> None:
    assert is_blank(content)


@pytest.mark.parametrize("content", [b"a", b"\0\0a", b"#\n", b"{}"])
def test_anything_else_is_not_blank(content: bytes) -> None:
    assert not is_blank(content)


def test_p10_a_tree_that_lost_every_file_is_held_back_with_the_number_of_files() -> None:
    old = tree_of({"a": b"1", "conf/b": b"2"})

    assert held_back(old, tree_of({})) == "the directory is empty, 2 tracked files are gone"
    assert "2 tracked files" in held_back(old, {b"conf": Entry.directory(b"conf")})


def test_a_symlink_is_enough_for_a_tree_not_to_be_empty() -> None:
    old = tree_of({"a": b"1"})

    assert held_back(old, {b"link": Entry.symlink(b"link", b"a")}) == ""


def test_a_tree_that_never_had_a_file_may_be_empty() -> None:
    assert held_back(tree_of({}), tree_of({})) == ""
    assert held_back({b"conf": Entry.directory(b"conf")}, tree_of({})) == ""


def test_p10_losing_more_than_half_of_the_files_is_suspicious() -> None:
    old = tree_of({name: name.encode() for name in "abcde"})

    assert judge(old, tree_of({"a": b"a", "b": b"b"})).reasons == ("3 of 5 files are gone",)
    assert judge(old, tree_of({"a": b"a", "b": b"b", "c": b"c"})) == OK


def test_half_of_the_files_is_not_more_than_half() -> None:
    old = tree_of({name: name.encode() for name in "abcd"})

    assert judge(old, tree_of({"a": b"a", "b": b"b"})) == OK


def test_losing_two_of_three_files_is_an_ordinary_edit() -> None:
    assert judge(tree_of({"a": b"1", "b": b"2", "c": b"3"}), tree_of({"a": b"1"})) == OK


def test_files_that_moved_are_not_gone() -> None:
    old = tree_of({name: name.encode() for name in "abcde"})

    assert judge(old, tree_of({f"new/{name}": name.encode() for name in "abcde"})) == OK


def test_p10_a_file_that_became_blank_is_suspicious_and_one_that_always_was_is_not() -> None:
    old = tree_of({"full": b"text", "always": b""})
    new = tree_of({"full": b" ", "always": b" ", "new": b""})

    verdict = judge(old, new, blank=[b"full", b"always", b"new"])

    assert verdict.status is Status.SUSPICIOUS
    assert verdict.reasons == ("full became blank",)


def test_what_was_captured_while_it_was_written_is_suspicious() -> None:
    assert judge({}, tree_of({"a": b""}), unsettled=[b"a"]).reasons == ("a was captured while it was being written",)


def test_many_reasons_are_counted_instead_of_listed() -> None:
    names = [f"{number:03}" for number in range(100)]
    old, new = tree_of(dict.fromkeys(names, b"x")), tree_of(dict.fromkeys(names, b""))

    reasons = judge(old, new, blank=[name.encode() for name in names]).reasons

    assert len(reasons) == REASONS_MAX + 1
    assert reasons[-1] == "and 80 more"


def test_a_name_that_is_not_utf_8_can_be_a_reason() -> None:
    old, new = {b"\xff": Entry.file(b"\xff", b"x")}, {b"\xff": Entry.file(b"\xff", b"")}

    assert judge(old, new, blank=[b"\xff"]).reasons == ("\\xff became blank",)
