"""A diff shows what changed to a person, in bounded time, without secrets."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confstream.naming import path_fields, quote_path, summary
from confstream.textdiff import SHOWN_BYTES_MAX, Side, unified
from confstream.tree import Change, Entry, Kind, Meta, Op


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(("diff ", "--- ", "+++ "))]


def test_a_change_is_shown_as_git_shows_it() -> None:
    old = b"".join(b"line %d\n" % i for i in range(1, 13))
    new = old.replace(b"line 6\n", b"line six\n")

    assert unified(b"config.yml", old, new) == (
        "diff --git a/config.yml b/config.yml\n--- a/config.yml\n+++ b/config.yml\n@@ -3,7 +3,7 @@\n"
        " line 3\n line 4\n line 5\n-line 6\n+line six\n line 7\n line 8\n line 9\n"
    )


def test_equal_sides_have_no_diff() -> None:
    assert unified(b"a", b"x", b"x") == ""
    assert unified(b"a", None, None) == ""


def test_distant_changes_are_separate_hunks_and_near_ones_are_not() -> None:
    old = [f"{i}\n" for i in range(30)]
    far, near = old.copy(), old.copy()
    far[2], far[20] = "x\n", "y\n"
    near[2], near[8] = "x\n", "y\n"

    assert unified(b"a", "".join(old).encode(), "".join(far).encode()).count("@@ -") == 2
    assert unified(b"a", "".join(old).encode(), "".join(near).encode()).count("@@ -") == 1
    assert unified(b"a", "".join(old).encode(), "".join(near).encode(), context=0).count("@@ -") == 2


def test_a_new_and_a_deleted_file_come_from_and_go_to_nothing() -> None:
    assert unified(b"a", None, Side(b"x\n", 0o600)) == (
        "diff --git a/a b/a\nnew file mode 100600\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n"
    )
    assert unified(b"a", b"x\n", None) == (
        "diff --git a/a b/a\ndeleted file mode 100644\n--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert unified(b"a", None, b"") == "diff --git a/a b/a\nnew file mode 100644\n"


def test_a_mode_alone_is_shown() -> None:
    assert unified(b"a", Side(b"x", 0o644), Side(b"x", 0o600)) == (
        "diff --git a/a b/a\nold mode 100644\nnew mode 100600\n"
    )


def test_a_link_shows_its_target_and_a_link_in_place_of_a_file_both() -> None:
    link = Side(b"target", kind=Kind.SYMLINK)

    assert "-target" in unified(b"a", link, Side(b"other", kind=Kind.SYMLINK))
    replaced = unified(b"a", b"x\n", link)
    assert "deleted file mode 100644" in replaced
    assert "new file mode 120000" in replaced
    assert unified(b"a", None, Side(b"", 0o755, Kind.DIRECTORY)) == "diff --git a/a b/a\nnew file mode 040755\n"


def test_bytes_that_are_no_text_are_only_said_to_differ() -> None:
    assert "Binary files differ (2 -> 3 bytes)" in unified(b"a", b"\xff\xfe", b"abc")
    assert "Binary files differ (3 -> 1 bytes)" in unified(b"a", b"abc", b"\0")


def test_a_content_beyond_the_bound_is_only_said_to_differ() -> None:
    assert "too large to show" in unified(b"a", b"x", b"y" * (SHOWN_BYTES_MAX + 1))


def test_a_missing_newline_at_the_end_is_marked_on_its_side() -> None:
    assert body(unified(b"a", b"x", b"x\n")) == ["@@ -1 +1 @@", "-x", "\\ No newline at end of file", "+x"]


def test_crlf_is_seen_only_if_it_is_the_difference() -> None:
    assert body(unified(b"a", b"x\r\ny\r\n", b"x\r\nz\r\n")) == ["@@ -1,2 +1,2 @@", " x", "-y", "+z"]
    assert body(unified(b"a", b"x\r\n", b"x\n")) == ["@@ -1 +1 @@", "-x^M", "+x"]


def test_what_would_steer_a_terminal_is_made_visible() -> None:
    shown = unified(b"a", None, "\x1b[2J\x07 \u202e \x9b\n".encode())

    assert "+^[[2J^G \\u202e \\x9b" in shown


def test_p12_secrets_are_masked_and_their_change_still_shows() -> None:
    shown = unified(b"c.yml", b"password: one\nuser: a\n", b"password: two\nuser: b\n")

    assert body(shown) == ["@@ -1,2 +1,2 @@", "-password: ***", "-user: a", "+password: *** (changed)", "+user: b"]
    assert "+password: two" in unified(b"c.yml", b"password: one\n", b"password: two\n", mask=False)


def test_p12_a_line_that_is_secret_on_one_side_is_not_shown_as_context() -> None:
    old, new = b"secret: |\n  hunter2\n", b"note: |\n  hunter2\n"

    assert "hunter2" not in unified(b"c.yml", old, new)
    assert "hunter2" not in unified(b"c.yml", new, old)


def test_p12_a_secret_file_shows_that_it_changed_and_nothing_else() -> None:
    shown = unified(b"secrets.yaml", b"mqtt: hunter1\n", b"mqtt: hunter2\n")

    assert body(shown) == ["@@ -1 +1 @@", "-mqtt: ***", "+mqtt: *** (changed)"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"config.yml", "config.yml"), (b"a b", "a b"), ("é".encode(), "é"), (b"a\nb", '"a\\nb"'), (b"\xff", '"\\377"'),
        (b'"', '"\\""'), (b"a\\b", '"a\\\\b"'), (b"\x1b", '"\\033"'), (b"", '""'),
    ],
)  # fmt: skip
def test_odd_paths_are_quoted_as_git_does(path: bytes, expected: str) -> None:
    assert quote_path(path) == expected


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "password: x\n", "  x\n", "d"]), max_size=25).map("".join)


def patched(old: str, diff: str) -> str:
    """Return *old* after *diff*: an own, naive reading of the format."""
    lines, found, at = old.split("\n"), list[str](), 0
    has_end = old.endswith("\n") or not old
    lines = lines[:-1] if has_end else lines
    new_end = has_end
    last = ""
    for line in diff.splitlines()[3:]:
        if line.startswith("@@"):
            start, _, size = line.split()[1][1:].partition(",")
            first = int(start) - (0 if size == "0" else 1)
            found += lines[at:first]
            at = first
        elif line.startswith("\\"):
            new_end = last == "-" or (new_end and last not in "+ ")
        else:
            last = line[0]
            if last != "+":
                assert lines[at] == line[1:]
                at += 1
            if last != "-":
                found.append(line[1:])
                new_end = True
    found += lines[at:]
    if at < len(lines) and not has_end:
        new_end = False
    return "\n".join(found) + ("\n" if found and new_end else "")


@given(LINES, LINES, st.integers(0, 4))
def test_a_diff_turns_the_old_into_the_new(old: str, new: str, context: int) -> None:
    shown = unified(b"x", old.encode(), new.encode(), mask=False, context=context)

    assert (patched(old, shown) if shown else old) == new


@given(LINES, LINES)
def test_p12_masking_keeps_the_shape_of_the_diff(old: str, new: str) -> None:
    masked = unified(b"x.yml", old.encode(), new.encode())
    clear = unified(b"x.yml", old.encode(), new.encode(), mask=False)

    assert [line[0] for line in masked.splitlines()] == [line[0] for line in clear.splitlines()]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_two_contents_can_be_compared(old: bytes, new: bytes) -> None:
    assert bool(unified(b"x", old, new)) == (old != new)


@pytest.mark.skipif(shutil.which("git") is None, reason="applies with git itself")
@settings(max_examples=15, deadline=None)
@given(LINES.filter(bool), LINES.filter(bool))
def test_git_applies_a_diff_that_is_not_masked(tmp_path_factory: pytest.TempPathFactory, old: str, new: str) -> None:
    folder = tmp_path_factory.mktemp("apply")
    target: Path = folder / "a b.yml"
    target.write_text(old)
    shown = unified(b"a b.yml", old.encode(), new.encode(), mask=False)
    if not shown:
        return

    subprocess.run(["git", "apply", "-"], cwd=folder, input=shown.encode(), check=True, capture_output=True)

    assert target.read_text() == new


@pytest.mark.parametrize("alphabet", [2, 50, 20_000])
def test_a_large_text_is_compared_in_bounded_time(alphabet: int) -> None:
    source = random.Random(7)  # noqa: S311 - reproducible, not secret
    old, new = ("".join(f"{source.randrange(alphabet)}\n" for _ in range(20_000)).encode() for _ in range(2))

    start = time.process_time()
    shown = unified(b"x", old, new)

    assert time.process_time() - start < 5
    assert patched(old.decode(), shown) == new.decode()


def test_a_few_edits_of_a_large_text_are_a_few_hunks() -> None:
    old = [f"{i // 2}\n" for i in range(20_000)]
    new = old.copy()
    for i in range(500, 20_000, 2_000):
        new[i] = "edited\n"

    assert unified(b"x", "".join(old).encode(), "".join(new).encode()).count("@@ -") == 10


def put(path: bytes) -> Change:
    return Change(Op.PUT, path, Entry.file(path, b"x"))


def delete(path: bytes) -> Change:
    return Change(Op.DELETE, path)


def meta(path: bytes) -> Change:
    return Change(Op.META, path, meta=Meta(0o600, 0, 0))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "nothing"),
        ([put(b"config.yml")], "config.yml"),
        ([put(b"config.yml"), put(b"a"), put(b"b"), put(b"c")], "config.yml and 3 more"),
        ([meta(b"a"), put(b"config.yml")], "config.yml and 1 more"),
        ([meta(b"a")], "mode or owner of a"),
        ([delete(b"a"), delete(b"b")], "removed a and 1 more"),
        ([put(b"a"), put(b"b"), delete(b"c")], "+2 \N{MINUS SIGN}1 files"),
        ([Change(Op.PUT, b"d", Entry.directory(b"d")), put(b"d/x")], "d/x"),
        ([Change(Op.PUT, b"d", Entry.directory(b"d"))], "d"),
        ([put(b"a\nb")], '"a\\nb"'),
    ],
)
def test_changes_are_summed_up_in_a_few_words(changes: list[Change], expected: str) -> None:
    assert summary(changes) == expected


def test_in_a_document_no_two_paths_are_the_same() -> None:
    assert path_fields("Küche.yml".encode()) == {"path": "Küche.yml"}
    assert path_fields(b"\\xff") == {"path": "\\xff"}
    assert path_fields(b"\xff") == {"path": "\\xff", "path_hex": "ff"}
    assert path_fields(b"a\xff", "target") == {"target": "a\\xff", "target_hex": "61ff"}
