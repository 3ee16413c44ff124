"""What a restore would change, as diffs for ``--dry-run``: one for each file, secrets masked (P12)."""

from collections.abc import Callable, Iterator
from pathlib import Path

from confstream import scan
from confstream.naming import quote_path
from confstream.restorer.ground import Arrangement, Ground
from confstream.textdiff import SHOWN_BYTES_MAX, Side, unified
from confstream.tree import Entry, Kind


def diffs(root: Path, ground: Ground, plan: Arrangement, content: Callable[[bytes], bytes]) -> Iterator[str]:
    """Yield how each file and link would change, as a unified diff; *content* is the target's, by hash."""
    for path in dict.fromkeys(action.path for action in plan.actions):
        old, new = ground.tree.get(path), plan.result.get(path)
        if Kind.DIRECTORY in {entry.kind for entry in (old, new) if entry is not None}:
            continue
        if max(entry.size for entry in (old, new) if entry is not None) > SHOWN_BYTES_MAX:
            yield f"diff --git {quote_path(b'a/' + path)} {quote_path(b'b/' + path)}\nFiles differ, too large to show\n"
            continue
        before = None if old is None else Side(_present(root, ground, old), old.mode, old.kind)
        after = None
        if new is not None:
            after = Side(new.target if new.kind is Kind.SYMLINK else content(new.hash), new.mode, new.kind)
        text = unified(path, before, after)
        if text:
            yield text


def _present(root: Path, ground: Ground, entry: Entry) -> bytes:
    if entry.kind is Kind.SYMLINK:
        return entry.target
    try:
        found = scan.stamp(root, entry.path)
        content = scan.read_entry(root, entry.path, found or ground.stamps[entry.path])[1]
    except (OSError, scan.UnstableError):
        # It changes at this moment: what it was is gone, what it will be nobody knows.
        return b""
    return content or b""
