"""What is tracked: git's patterns, the built-in profile, and never our own state."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from confstream.errors import UsageError
from confstream.selection import PROFILES, Selection, is_sqlite

PARTS = st.sampled_from(
    ["a", "b", "a.log", "a.log.1", "x.tmp", "core.12", "core.x", "core.", "lost+found", ".x-litestream", ".DS_Store",
     "__pycache__", "~", "a~", ".#a", "c.yml.lock", "yarn.lock", ".lock", "log", ".log.",
     "a\nb", "a.log\n", "é", "\udcff.tmp"]
)  # fmt: skip
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
PATTERN_PARTS = st.sampled_from(
    ["a", "b", "*", "**", "*.log", "a*", "*a*", "?", "[ab]", "[!a]", "core.*", "*.*", "a*b", "x", "*o*e*", "é"]
)
PATTERNS = st.builds(
    lambda first, parts, last: first + "/".join(parts) + last,
    st.sampled_from(["", "/", "**/"]),
    st.lists(PATTERN_PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "/", "/**"]),
)


def encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def library_excludes(patterns: list[str], path: str) -> bool:
    # The library takes a newline for the end of a text; the names of this test have it only where no pattern looks.
    return bool(GitIgnoreSpec.from_lines(patterns).match_file(path.replace("\n", "\1")))


@given(st.lists(PATTERNS, max_size=4), PATHS)
@example(["a/**"], "a")
@example(["a/**/b"], "a/b")
@example(["**/a/**/b"], "a/b/a/b")
def test_excludes_agree_with_the_library_for_files(patterns: list[str], path: str) -> None:
    selection = Selection(exclude=tuple(patterns), profile="none")

    assert selection.tracks(encoded(path), is_dir=False) is not library_excludes(patterns, path)


@given(PATHS)
def test_the_generic_profile_agrees_with_the_library(path: str) -> None:
    assert Selection().tracks(encoded(path), is_dir=False) is not library_excludes([*PROFILES["generic"]], path)


@given(
    st.lists(st.builds(lambda sign, pattern: sign + pattern, st.sampled_from(["", "!"]), PATTERNS), max_size=5), PATHS
)
def test_nothing_is_tracked_below_a_directory_that_is_not(patterns: list[str], path: str) -> None:
    selection = Selection(exclude=tuple(patterns))
    parent = encoded(path).rpartition(b"/")[0]

    if parent and not selection.tracks(parent, is_dir=True):
        assert not selection.tracks(encoded(path), is_dir=False)


@given(st.lists(PATTERNS, min_size=1, max_size=3), PATHS)
def test_every_parent_of_an_included_file_is_tracked(patterns: list[str], path: str) -> None:
    selection = Selection(include=tuple(patterns), profile="none")
    parts = encoded(path).split(b"/")

    if selection.tracks(encoded(path), is_dir=False):
        assert all(selection.tracks(b"/".join(parts[:i]), is_dir=True) for i in range(1, len(parts)))


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git itself")
def test_excludes_with_exceptions_agree_with_git(tmp_path: Path) -> None:
    patterns = ["*", "!*/", "!*.yaml", "/a/*", "!/a/keep", "secret.yaml", "b/**", "!b/x", "c/", "!c/y.yaml", "!\\!d"]
    files = [
        "x.yaml",
        "x.txt",
        "a/keep",
        "a/z.yaml",
        "a/keep2/q.yaml",
        "b/x",
        "b/q/r.yaml",
        "c/y.yaml",
        "d/secret.yaml",
        "!d",
    ]
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env={**os.environ, "HOME": str(tmp_path)})
    (tmp_path / ".gitignore").write_text("\n".join(patterns))
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True
    ).stdout.split(b"\0")

    selection = Selection(exclude=tuple(patterns), profile="none")

    assert {f for f in files if selection.tracks(f.encode(), is_dir=False)} == {
        f for f in files if f.encode() in listed
    }


@pytest.mark.parametrize(
    "path",
    [
        ".storage/core.config_entries", "core.yaml", "core", "core.2024.yaml", "yarn.lock", "package-lock.json",
        "flake.lock", "database.db", "frigate.db", "logger.yaml", "a.login", "x.pid.yaml", "catalog", ".storage/auth",
    ],
)  # fmt: skip
def test_the_generic_profile_keeps_what_people_want_back(path: str) -> None:
    assert Selection().tracks(path.encode(), is_dir=False)


@pytest.mark.parametrize(
    "path", ["core.4711", "config.yml.lock", ".ha_run.lock", "x.log", "x.log.1", "a/b.swp", "a~", ".#a", "z/c.tmp"]
)
def test_the_generic_profile_drops_what_programs_leave_behind(path: str) -> None:
    assert not Selection().tracks(path.encode(), is_dir=False)


def test_directories_of_the_generic_profile_are_files_when_they_are_files() -> None:
    assert Selection().tracks(b"a/lost+found", is_dir=False)
    assert not Selection().tracks(b"a/lost+found", is_dir=True)
    assert not Selection().tracks(b"a/lost+found/x", is_dir=False)


def test_our_own_state_is_never_tracked_whatever_the_patterns_say() -> None:
    selection = Selection(include=(".confstream/**", "*"), exclude=("!.confstream/",), profile="none")

    assert not selection.tracks(b".confstream", is_dir=True)
    assert not selection.tracks(b".confstream", is_dir=False)
    assert not selection.tracks(b".confstream/wal", is_dir=False)
    assert not selection.tracks(b".confstream/content/ab", is_dir=False)
    assert selection.tracks(b"sub/.confstream/wal", is_dir=False)


def test_with_includes_only_these_and_the_way_to_them_are_tracked() -> None:
    selection = Selection(include=("/packages/*/x.yaml", "/themes/", "!themes/old.yaml"))

    assert selection.tracks(b"packages/a/x.yaml", is_dir=False)
    assert selection.tracks(b"packages/a", is_dir=True)
    assert not selection.tracks(b"packages/a/b", is_dir=True)
    assert not selection.tracks(b"packages/a/y.yaml", is_dir=False)
    assert selection.tracks(b"themes/deep/er.yaml", is_dir=False)
    assert not selection.tracks(b"themes/old.yaml", is_dir=False)
    assert not selection.tracks(b"other", is_dir=True)


def test_an_exclude_wins_over_an_include() -> None:
    selection = Selection(include=("*.yaml",), exclude=("secrets.yaml",))

    assert not selection.tracks(b"secrets.yaml", is_dir=False)
    assert selection.tracks(b"other.yaml", is_dir=False)


def test_an_exception_takes_back_what_the_profile_excludes() -> None:
    selection = Selection(exclude=("!keep.log",))

    assert selection.tracks(b"keep.log", is_dir=False)
    assert not selection.tracks(b"other.log", is_dir=False)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "  ",
        "#x",
        "!",
        "/",
        "//",
        "a//b",
        "./a",
        "a/../b",
        "a[",
        "[",
        "\\",
        "a\\",
        "[z-a]",
        "[[:alpha:]]",
        "a\nb",
        "a\0b",
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_and_named(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        Selection(exclude=(pattern,))
    assert repr(pattern) in str(caught.value)

    with pytest.raises(UsageError):
        Selection(include=(pattern,))


def test_includes_that_only_take_back_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing would be tracked"):
        Selection(include=("!a",))


def test_an_unknown_profile_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="nearest is generic"):
        Selection(profile="genric")


def test_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    selection, paths = Selection(exclude=("a*/",)), [b"ab/c/d", b"b/ab", b"ab", b"b/ab/x"]

    first = [selection.tracks(path, is_dir=False) for path in paths]

    assert first == [selection.tracks(path, is_dir=False) for path in reversed(paths)][::-1]
    assert first == [False, True, True, False]


def test_a_database_is_told_by_its_first_bytes() -> None:
    assert is_sqlite(b"SQLite format 3\0rest")
    assert not is_sqlite(b'{"id":1,"type":"Coordinator"}')
    assert not is_sqlite(b"")
