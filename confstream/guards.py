"""An empty or gutted directory is not the truth (P10).

Pure: what a change of the whole tree looks like, before anyone believes it.
"""

from collections.abc import Collection, Mapping, Sequence

from confstream.revision import OK, Status, Verdict
from confstream.tree import Entry, Kind

GUTTED_FILES_MIN = 4
"""Below this many files, losing most of them is an ordinary edit."""

SHRUNKEN_BYTES_MIN = 1024
"""Below this size, losing half of a file is an ordinary edit; a full disk cuts at multiples of 4096."""

REASONS_MAX = 20
"""A verdict is for a person to read; what is more is counted."""

KINDS = ("shrink", "empty", "mass_delete", "torn")
"""What can be suspicious about a change."""

_BLANK = b" \t\r\n\v\f\0"


def is_blank(content: bytes) -> bool:
    """Return whether *content* is empty, or white space and NUL bytes only."""
    return not content.strip(_BLANK)


def held_back(old: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> str:
    """Return why *new* must not be recorded over *old*, or nothing if it may.

    A directory that lost every file is a volume that did not come up, until
    somebody says otherwise.
    """
    before, after = _files(old), _files(new)
    if before and not after:
        return f"the directory is empty, {len(before)} tracked files are gone"
    return ""


def gone(old: Mapping[bytes, Entry], new: Mapping[bytes, Entry], least: int = GUTTED_FILES_MIN) -> int:
    """Return how many files *new* lacks, if that is more than half of *old* and *old* has *least*; else 0."""
    before, after = _files(old), _files(new)
    # What moved is not gone: its content is still there, under another name.
    kept = {new[path].hash for path in after}
    lost = sum(old[path].hash not in kept for path in before - after)
    return lost if len(before) >= least and lost * 2 > len(before) else 0


def count(tree: Mapping[bytes, Entry]) -> int:
    """Return how many files and links *tree* has."""
    return len(_files(tree))


def judge(
    old: Mapping[bytes, Entry],
    new: Mapping[bytes, Entry],
    *,
    blank: Collection[bytes] = (),
    unsettled: Collection[bytes] = (),
) -> Verdict:
    """Return what is suspicious about the step from *old* to *new*, see ``suspicions``."""
    return verdict_of(suspicions(old, new, blank=blank, unsettled=unsettled))


def verdict_of(found: Sequence[tuple[str, str]]) -> Verdict:
    """Return what ``suspicions`` *found* as a verdict."""
    reasons = [reason for _, reason in found]
    if len(reasons) > REASONS_MAX:
        reasons = [*reasons[:REASONS_MAX], f"and {len(reasons) - REASONS_MAX} more"]
    return Verdict(Status.SUSPICIOUS, tuple(reasons)) if reasons else OK


def suspicions(
    old: Mapping[bytes, Entry],
    new: Mapping[bytes, Entry],
    *,
    blank: Collection[bytes] = (),
    unsettled: Collection[bytes] = (),
    strange: bool = False,
) -> list[tuple[str, str]]:
    """Return what is suspicious about the step from *old* to *new*: of which of ``KINDS``, and the reason in words.

    *blank* are the paths whose new content is blank, *unsettled* those that
    were captured while they were still being written. With *strange*, nobody
    saw one become the other, and no file is too small and no tree has too few to count.
    """
    found: list[tuple[str, str]] = []
    least = 0 if strange else SHRUNKEN_BYTES_MIN
    before, after = _files(old), _files(new)
    if lost := gone(old, new, 1 if strange else GUTTED_FILES_MIN):
        found.append(("mass_delete", f"{lost} of {len(before)} files are gone"))
    found += [("empty", f"{_shown(path)} became blank") for path in sorted(blank) if path in before and old[path].size]
    found += [
        ("shrink", f"{_shown(path)} shrank from {old[path].size} to {new[path].size} bytes")
        for path in sorted(path for path in before & after if _is_shrunken(old[path], new[path], least))
        if path not in blank
    ]
    found += [("torn", f"{_shown(path)} was captured while it was being written") for path in sorted(unsettled)]
    return found


def _is_shrunken(old: Entry, new: Entry, least: int) -> bool:
    # The truth about a symlink is its target: its size says nothing.
    small = old.size >= least and new.size * 2 < old.size
    return small and old.kind is Kind.FILE and new.kind is Kind.FILE


def _files(tree: Mapping[bytes, Entry]) -> set[bytes]:
    return {path for path, entry in tree.items() if entry.kind is not Kind.DIRECTORY}


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
