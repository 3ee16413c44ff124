"""What a captured tree has and the selection does not track any more: not gone, so never recorded as deleted.

Whoever excludes a file, or changes the profile, takes it out of the newest
tree. That is a revision of its own, whose source is ``untrack``: the file stays
on the disk, and its history in the log.
"""

import os
from collections.abc import Mapping

from confstream.errors import UsageError
from confstream.revision import Authorship
from confstream.scan import Selection
from confstream.tree import Change, Entry, Kind, Op

SOURCE = "untrack"
_NAMED_MAX = 3


def untracked(tree: Mapping[bytes, Entry], selection: Selection | None) -> tuple[bytes, ...]:
    """Return the paths of *tree* that *selection* does not track, a directory before what is in it."""
    if selection is None:
        return ()
    left: dict[bytes, None] = {}
    for path in sorted(tree):
        if path.rpartition(b"/")[0] in left or not selection.tracks(path, tree[path].kind is Kind.DIRECTORY):
            left[path] = None
    return tuple(left)


def dropped(tree: Mapping[bytes, Entry], paths: tuple[bytes, ...]) -> tuple[tuple[Change, ...], Authorship]:
    """Return the changes that take *paths* out of *tree*, and what the revision says about it."""
    files = [os.fsdecode(path) for path in paths if tree[path].kind is not Kind.DIRECTORY]
    named = ", ".join(files[:_NAMED_MAX]) + (f" and {len(files) - _NAMED_MAX} more" if len(files) > _NAMED_MAX else "")
    message = f"no longer tracked, still on the disk: {named or f'{len(paths)} directories'}"
    return tuple(Change(Op.DELETE, path) for path in paths), Authorship(SOURCE, message=message)


def check_left(tree: Mapping[bytes, Entry], paths: tuple[bytes, ...]) -> None:
    """Raise ``UsageError`` if *tree* would have no file without *paths*: that is a pattern's mistake (P10)."""
    files = {path for path, entry in tree.items() if entry.kind is not Kind.DIRECTORY}
    if files and files <= set(paths):
        raise UsageError(
            f"none of the {len(files)} files that were protected until now is tracked any more; correct profile,"
            " include and exclude, or say with --no-guards that this is meant"
        )
