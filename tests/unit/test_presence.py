"""P2: present or missing, or refused; never guessed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.errors import RefusedError, UsageError
from confstream.presence import is_missing, may_be_excluded
from confstream.selection import Selection

as_root = os.geteuid() == 0


def write(path: Path, content: bytes = b"a: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_p2_a_file_with_something_in_it_is_present(tmp_path: Path) -> None:
    write(tmp_path / "config.yml")

    found = is_missing(tmp_path)

    assert (found.missing, found.why) == (False, "config.yml is present")


def test_p2_a_directory_that_does_not_exist_is_missing(tmp_path: Path) -> None:
    found = is_missing(tmp_path / "a" / "b")

    assert (found.missing, found.why) == (True, "the directory does not exist")


def test_p2_an_empty_directory_is_missing_and_our_own_state_does_not_fill_it(tmp_path: Path) -> None:
    write(tmp_path / ".confstream" / "wal", b"x")

    found = is_missing(tmp_path)

    assert (found.missing, found.why) == (True, "the directory is empty")


def test_p2_directories_alone_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert is_missing(tmp_path).why == "no tracked file is there"


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", bytes(200_000), b"\0 \0\n"])
def test_p2_a_blank_file_is_missing(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "config.yml", content)

    found = is_missing(tmp_path)

    assert found.missing
    assert found.why.startswith("config.yml is ")


def test_p2_several_blank_files_are_missing_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a", b"")
    write(tmp_path / "b" / "c", b"\n")

    assert is_missing(tmp_path).why == "all 2 tracked files are blank"


def test_p2_one_byte_behind_many_blank_ones_is_present(tmp_path: Path) -> None:
    write(tmp_path / "a", bytes(200_000) + b"x")

    assert not is_missing(tmp_path).missing


@pytest.mark.parametrize("name", ["a.log", "lost+found/x", "core.12", "x.yml.lock"])
def test_p2_a_file_that_is_not_tracked_does_not_count(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)

    assert is_missing(tmp_path).why == "no tracked file is there"
    assert not is_missing(tmp_path, selection=Selection(profile="none")).missing


def test_p2_a_file_outside_of_the_includes_does_not_count(tmp_path: Path) -> None:
    write(tmp_path / "other.txt")

    assert is_missing(tmp_path, selection=Selection(include=("*.yml",))).missing


def test_p2_an_unfinished_restore_is_missing_whatever_else_is_there(tmp_path: Path) -> None:
    write(tmp_path / "config.yml")
    write(tmp_path / ".confstream" / "restoring", b"")

    found = is_missing(tmp_path, ["config.yml"])

    assert (found.missing, found.why) == (True, "an unfinished restore is there")


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "config.yml is absent"), (b"", "config.yml is 0 bytes"), (b"\n\0", "config.yml is blank (2 bytes")],
)
def test_p2_a_guard_that_is_absent_or_blank_is_missing_although_other_files_are_there(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    write(tmp_path / "other.yml")
    if content is not None:
        write(tmp_path / "config.yml", content)

    found = is_missing(tmp_path, ["other.yml", "config.yml"])

    assert found.missing
    assert found.why.startswith(why)


def test_p2_a_guard_in_place_is_present(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "config.yml")

    assert is_missing(tmp_path, ["sub/config.yml"]).why == "sub/config.yml is present"


def test_a_guard_that_is_not_tracked_is_needed_but_does_not_suffice(tmp_path: Path) -> None:
    write(tmp_path / "guard.log")

    assert is_missing(tmp_path, ["guard.log"]).missing


def test_a_link_counts_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tmp_path / "elsewhere.yml")
    tree.mkdir()
    (tree / "config.yml").symlink_to("../elsewhere.yml")

    assert not is_missing(tree).missing
    assert not is_missing(tree, ["config.yml"]).missing


def test_a_dangling_link_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "config.yml").symlink_to("nowhere")

    assert is_missing(tmp_path).missing
    assert is_missing(tmp_path, ["config.yml"]).why == "config.yml is absent"


def test_a_link_to_a_directory_is_no_file(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../elsewhere")

    assert is_missing(tmp_path / "tree").missing


def test_a_path_below_a_file_is_refused_never_present(tmp_path: Path) -> None:
    write(tmp_path / "file")

    with pytest.raises(RefusedError, match="Not a directory"):
        is_missing(tmp_path / "file" / "config")
    with pytest.raises(RefusedError, match="is not a directory"):
        is_missing(tmp_path / "file")
    with pytest.raises(RefusedError, match="Not a directory"):
        is_missing(tmp_path, ["file/config.yml"])


def test_a_link_that_turns_in_circles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(RefusedError, match="loop"):
        is_missing(tmp_path / "loop")
    with pytest.raises(RefusedError, match="loop"):
        is_missing(tmp_path, ["loop"])
    with pytest.raises(RefusedError, match="loop"):
        is_missing(tmp_path)


def test_what_cannot_be_looked_at_does_not_matter_beside_a_file_that_can(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    write(tmp_path / "b")

    assert is_missing(tmp_path).why == "b is present"


def test_a_root_that_is_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").symlink_to("nowhere")

    with pytest.raises(RefusedError, match="leads nowhere"):
        is_missing(tmp_path / "tree")


@pytest.mark.skipif(as_root, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "config.yml")
    (tmp_path / "sub").chmod(0)
    try:
        with pytest.raises(RefusedError, match="securityContext"):
            is_missing(tmp_path)
    finally:
        (tmp_path / "sub").chmod(0o700)


def test_a_guard_that_is_a_directory_or_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "config.yml").mkdir()
    os.mkfifo(tmp_path / "fifo")

    for guard in ("config.yml", "fifo"):
        with pytest.raises(RefusedError, match="is a guard and not a file"):
            is_missing(tmp_path, [guard])


def test_a_fifo_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert is_missing(tmp_path).why == "no tracked file is there"


@pytest.mark.parametrize("guard", ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_guard_outside_of_the_directory_is_a_usage_error(tmp_path: Path, guard: str) -> None:
    with pytest.raises(UsageError, match="relative to the directory"):
        is_missing(tmp_path, [guard])


def test_a_name_with_a_newline_stays_on_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a\nb")

    assert is_missing(tmp_path).why == r"'a\nb' is present"


def test_p2_needs_nothing_heavier_than_os(tmp_path: Path) -> None:
    write(tmp_path / "config.yml")
    code = (
        "import sys, confstream.errors; before = set(sys.modules); from confstream.presence import is_missing;"
        f"assert not is_missing({str(tmp_path)!r}, ['config.yml']).missing;"
        "print(*sorted(set(sys.modules) - before))"
    )

    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert loaded.split() == ["confstream.presence"]


@given(st.text(st.sampled_from("ac.#~logtmpswkider-+f0_DS"), min_size=1, max_size=14))
def test_a_name_that_cannot_be_excluded_is_never_excluded(name: str) -> None:
    if name not in {".", ".."} and not may_be_excluded(name.encode()):
        assert Selection().tracks(name.encode(), is_dir=True)
        assert Selection().tracks(name.encode(), is_dir=False)


@pytest.mark.parametrize(
    "name",
    [
        "lost+found",
        ".x-litestream",
        "__pycache__",
        ".DS_Store",
        "a.tmp",
        "a.swp",
        "a~",
        ".#a",
        "a.b.lock",
        "a.log",
        "a.log.1",
        "a.pid",
        "core.1",
    ],
)
def test_every_name_that_the_profile_excludes_may_be_excluded(name: str) -> None:
    assert not Selection().tracks(name.encode(), is_dir=True)
    assert may_be_excluded(name.encode())
