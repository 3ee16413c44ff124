"""Two contents as a unified diff that a person reads, secrets masked (P12).

Pure. Looks like git's, with what matters to eyes: control characters and line
ends are shown only as far as they differ or would harm a terminal. Bounded:
see ``SHOWN_BYTES_MAX`` and ``_GAP_CELLS_MAX``.
"""

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from confstream.masking import mask_text
from confstream.naming import quote_path
from confstream.profiles.masking import mask_known
from confstream.tree import Kind
from confstream.values import dataclass

SHOWN_BYTES_MAX = 8 * 1024 * 1024
"""A content larger than this is only said to differ."""

# ``difflib`` takes time in the product of both lengths. Lines that occur equally
# often on both sides divide a large text first, again and again; what then is still more
# than this many pairs of lines is shown as replaced as a whole.
_GAP_CELLS_MAX = 100_000
_DIVISIONS_MAX = 8
_NO_NEWLINE = "\\ No newline at end of file"
_CONTROLS = {code: f"^{chr(code ^ 64)}" for code in (*range(32), 127) if chr(code) not in "\t\n"}
_CONTROLS |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
# What turns the direction of text could make a line read as another.
_CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)}

_PLAIN = bytes([*b"\t\n", *range(0x20, 0x7F)])


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a diff: a file's *content*, or a symbolic link's target; *mode* is permission bits."""

    content: bytes
    mode: int = 0o644
    kind: Kind = Kind.FILE

    @property
    def git_mode(self) -> str:
        """Return type and permissions as git writes them."""
        kind = {Kind.FILE: "100", Kind.SYMLINK: "120", Kind.DIRECTORY: "040"}[self.kind]
        return f"{kind}{0 if self.kind is Kind.SYMLINK else self.mode:03o}"


def unified(
    path: bytes, old: bytes | Side | None, new: bytes | Side | None, *, mask: bool = True, context: int = 3
) -> str:
    """Return how *path* went from *old* to *new*, None being absent; empty if nothing differs.

    With *mask*, secrets are ``***`` on both sides; a line of which only the secret changed is
    still shown as removed and added, marked ``(changed)``. A file that became a link, or
    the reverse, is shown as removed and added.
    """
    before = Side(old) if isinstance(old, bytes) else old
    after = Side(new) if isinstance(new, bytes) else new
    if before == after:
        return ""
    if before is not None and after is not None and before.kind is not after.kind:
        return unified(path, before, None, mask=mask, context=context) + unified(
            path, None, after, mask=mask, context=context
        )
    lines = [f"diff --git {quote_path(b'a/' + path)} {quote_path(b'b/' + path)}", *_mode_lines(before, after)]
    old_content = b"" if before is None else before.content
    new_content = b"" if after is None else after.content
    if old_content != new_content:
        lines += _content_lines(path, before, after, mask=mask, context=context)
    return "\n".join(lines) + "\n"


def _mode_lines(old: Side | None, new: Side | None) -> list[str]:
    if old is None:
        return [] if new is None else [f"new file mode {new.git_mode}"]
    if new is None:
        return [f"deleted file mode {old.git_mode}"]
    if old.git_mode == new.git_mode:
        return []
    return [f"old mode {old.git_mode}", f"new mode {new.git_mode}"]


def _content_lines(path: bytes, old: Side | None, new: Side | None, *, mask: bool, context: int) -> list[str]:
    old_content = b"" if old is None else old.content
    new_content = b"" if new is None else new.content
    sizes = f"({len(old_content)} -> {len(new_content)} bytes)"
    if max(len(old_content), len(new_content)) > SHOWN_BYTES_MAX:
        return [f"Files differ {sizes}, too large to show"]
    old_text, new_text = _text(old_content), _text(new_content)
    if old_text is None or new_text is None:
        return [f"Binary files differ {sizes}"]
    found = [
        "--- /dev/null" if old is None else f"--- {_header_path(b'a/' + path)}",
        "+++ /dev/null" if new is None else f"+++ {_header_path(b'b/' + path)}",
    ]
    if not old_text or not new_text:
        return found + _one_sided(old_text or new_text, path, "-" if old_text else "+", mask=mask)
    old_lines, new_lines = _Lines(old_text, path, mask=mask), _Lines(new_text, path, mask=mask)
    for changes in _hunks(_changes(old_lines.raw, new_lines.raw), max(context, 0)):
        found += _hunk_lines(changes, old_lines, new_lines, max(context, 0))
    return found


def _text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _header_path(path: bytes) -> str:
    quoted = quote_path(path)
    # As git does: without the tab, patch takes what follows a space for a time.
    return f"{quoted}\t" if " " in quoted and not quoted.startswith('"') else quoted


def _one_sided(text: str, path: bytes, sign: str, *, mask: bool) -> list[str]:
    """Return the hunk of a *text* that is wholly new, or gone: at once, for there is nothing to compare."""
    shown = _shown(text, path, mask=mask).removesuffix("\n")
    if "\r" in shown:
        shown = shown.replace("\r\n", "\n").removesuffix("\r")
    if not _is_plain(shown):
        shown = shown.translate(_CONTROLS)
    count = shown.count("\n") + 1
    found = ["@@ -{} +{} @@".format(*(_position(0, count if each == sign else 0) for each in "-+"))]
    found.append(sign + shown.replace("\n", f"\n{sign}"))
    return found if text.endswith("\n") else [*found, _NO_NEWLINE]


def _shown(text: str, path: bytes, *, mask: bool) -> str:
    return mask_known(mask_text(text, path), path) if mask else text


def _is_plain(text: str) -> bool:
    """Return whether all of *text* is shown as it is, which is so of most and quick to see."""
    if text.isascii():
        return not text.encode().translate(None, _PLAIN)
    return text.replace("\n", "").replace("\t", "").isprintable()


class _Lines:
    """The lines of a text: as they are, and as they are shown."""

    def __init__(self, text: str, path: bytes, *, mask: bool) -> None:
        self.raw = _split(text)
        shown = _shown(text, path, mask=mask)
        self.shown = self.raw if shown is text else _split(shown)

    def line(self, sign: str, index: int, *, line_ends: bool = False, note: str = "") -> list[str]:
        raw, shown = self.raw[index], self.shown[index].removesuffix("\n")
        visible = shown.removesuffix("\r")
        end = "^M" if line_ends and visible != shown else ""
        visible = visible if visible.isprintable() else visible.translate(_CONTROLS)
        lines = [f"{sign}{visible}{end}{note}"]
        return lines if raw.endswith("\n") else [*lines, _NO_NEWLINE]

    def hides(self, index: int) -> bool:
        """Return whether the line is not shown as it is."""
        return self.raw[index] != self.shown[index]

    def line_ends(self, first: int, last: int) -> set[bool]:
        """Return which line ends occur: True for CRLF."""
        return {line.endswith("\r\n") for line in self.raw[first:last]}


def _split(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@dataclass(frozen=True, slots=True)
class _Range:
    """Lines *old_first* up to *old_end* (exclusive) that became *new_first* up to *new_end*."""

    old_first: int
    old_end: int
    new_first: int
    new_end: int


def _hunks(changes: Iterable[_Range], context: int) -> Iterator[list[_Range]]:
    hunk: list[_Range] = []
    for change in changes:
        if hunk and change.old_first - hunk[-1].old_end > 2 * context:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk_lines(changes: list[_Range], old: _Lines, new: _Lines, context: int) -> list[str]:
    before = min(context, changes[0].old_first)
    after = min(context, len(old.raw) - changes[-1].old_end)
    old_first, old_end = changes[0].old_first - before, changes[-1].old_end + after
    new_first, new_end = changes[0].new_first - before, changes[-1].new_end + after
    lines = [f"@@ -{_position(old_first, old_end)} +{_position(new_first, new_end)} @@"]
    old_at, new_at = old_first, new_first
    for change in [*changes, _Range(old_end, old_end, new_end, new_end)]:
        for shift in range(change.old_first - old_at):
            # A line that is secret on one side is not shown in the clear because the other calls it something else.
            side, index = (old, old_at + shift) if old.hides(old_at + shift) else (new, new_at + shift)
            lines += side.line(" ", index)
        lines += _change_lines(change, old, new)
        old_at, new_at = change.old_end, change.new_end
    return lines


def _change_lines(change: _Range, old: _Lines, new: _Lines) -> list[str]:
    old_ends = old.line_ends(change.old_first, change.old_end)
    new_ends = new.line_ends(change.new_first, change.new_end)
    ends = bool(old_ends and new_ends and old_ends != new_ends)
    lines = []
    for index in range(change.old_first, change.old_end):
        lines += old.line("-", index, line_ends=ends)
    removed = {old.shown[index] for index in range(change.old_first, change.old_end) if old.hides(index)}
    for index in range(change.new_first, change.new_end):
        same = new.hides(index) and new.shown[index] in removed
        lines += new.line("+", index, line_ends=ends, note=" (changed)" if same else "")
    return lines


def _position(first: int, end: int) -> str:
    size = end - first
    start = first + 1 if size else first
    return str(start) if size == 1 else f"{start},{size}"


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[_Range]:
    """Yield what differs, in order."""
    old_at = new_at = 0
    for old_first, new_first, size in [*_matches(old, new), (len(old), len(new), 0)]:
        if old_at < old_first or new_at < new_first:
            yield _Range(old_at, old_first, new_at, new_first)
        old_at, new_at = old_first + size, new_first + size


def _matches(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return runs of equal lines: where in *old*, where in *new*, how many; ascending on both sides."""
    found: list[tuple[int, int, int]] = []
    pending = [(_Range(0, len(old), 0, len(new)), _DIVISIONS_MAX)]
    while pending:
        gap, divisions = pending.pop()
        gap = _trim(gap, old, new, found)
        cells = (gap.old_end - gap.old_first) * (gap.new_end - gap.new_first)
        if cells <= _GAP_CELLS_MAX:
            ours, theirs = old[gap.old_first : gap.old_end], new[gap.new_first : gap.new_end]
            blocks = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks() if cells else []
            found += [(gap.old_first + i, gap.new_first + j, size) for i, j, size in blocks if size]
        elif divisions:
            pending += [(part, divisions - 1) for part in _divide(gap, old, new)]
    return sorted(found)


def _trim(gap: _Range, old: Sequence[str], new: Sequence[str], found: list[tuple[int, int, int]]) -> _Range:
    """Move what both sides begin and end with from *gap* to *found*."""
    i, j, old_end, new_end = gap.old_first, gap.new_first, gap.old_end, gap.new_end
    while i < old_end and j < new_end and old[i] == new[j]:
        i, j = i + 1, j + 1
    while i < old_end and j < new_end and old[old_end - 1] == new[new_end - 1]:
        old_end, new_end = old_end - 1, new_end - 1
    found += [(gap.old_first, gap.new_first, i - gap.old_first)] if i > gap.old_first else []
    found += [(old_end, new_end, gap.old_end - old_end)] if gap.old_end > old_end else []
    return _Range(i, old_end, j, new_end)


def _divide(gap: _Range, old: Sequence[str], new: Sequence[str]) -> list[_Range]:
    """Cut *gap* before each line that occurs equally often on both sides; empty without such lines.

    The first occurrence is paired with the first, the second with the second.
    """
    ours, theirs = _counted(old[gap.old_first : gap.old_end]), _counted(new[gap.new_first : gap.new_end])
    our_count, their_count = Counter(line for line, _ in ours), Counter(line for line, _ in theirs)
    place = {key: j for j, key in enumerate(theirs) if their_count[key[0]] == our_count[key[0]]}
    pairs = [(i, place[key]) for i, key in enumerate(ours) if key in place]
    cuts = [(gap.old_first + i, gap.new_first + j) for i, j in _ascending(pairs)]
    if not cuts:
        return []
    corners = [(gap.old_first, gap.new_first), *cuts, (gap.old_end, gap.new_end)]
    return [_Range(i, old_end, j, new_end) for (i, j), (old_end, new_end) in pairwise(corners)]


def _counted(lines: Sequence[str]) -> list[tuple[str, int]]:
    """Return each line with how many like it were before."""
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        found.append((line, seen[line]))
        seen[line] += 1
    return found


def _ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the most pairs that ascend on both sides, of *pairs* that ascend on the first."""
    tops: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        at = bisect_left(tops, j)
        before.append(last[at - 1] if at else -1)
        tops[at : at + 1], last[at : at + 1] = [j], [index]
    found = []
    index = last[-1] if last else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]
