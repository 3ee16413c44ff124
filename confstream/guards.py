"""An empty or gutted directory is not the truth (P10).

Pure: what a change of the whole tree looks like, before anyone believes it.
"""

from collections.abc import Collection, Mapping

from confstream.revision import OK, Status, Verdict
from confstream.tree import Entry, Kind

GUTTED_FILES_MIN = 4
"""Below this many files, losing most of them is an ordinary edit."""

REASONS_MAX = 20
"""A verdict is for a person to read; what is more is counted."""

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


def judge(
    old: Mapping[bytes, Entry],
    new: Mapping[bytes, Entry],
    *,
    blank: Collection[bytes] = (),
    unsettled: Collection[bytes] = (),
) -> Verdict:
    """Return what is suspicious about the step from *old* to *new*.

    *blank* are the paths whose new content is blank, *unsettled* those that
    were captured while they were still being written.
    """
    reasons = []
    before, after = _files(old), _files(new)
    # What moved is not gone: its content is still there, under another name.
    kept = {new[path].hash for path in after}
    gone = sum(old[path].hash not in kept for path in before - after)
    if len(before) >= GUTTED_FILES_MIN and gone * 2 > len(before):
        reasons.append(f"{gone} of {len(before)} files are gone")
    reasons += [f"{_shown(path)} became blank" for path in sorted(blank) if path in before and old[path].size]
    reasons += [f"{_shown(path)} was captured while it was being written" for path in sorted(unsettled)]
    if len(reasons) > REASONS_MAX:
        reasons = [*reasons[:REASONS_MAX], f"and {len(reasons) - REASONS_MAX} more"]
    return Verdict(Status.SUSPICIOUS, tuple(reasons)) if reasons else OK


def _files(tree: Mapping[bytes, Entry]) -> set[bytes]:
    return {path for path, entry in tree.items() if entry.kind is not Kind.DIRECTORY}


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
