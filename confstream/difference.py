"""How two trees differ, file by file, for a person."""

from collections.abc import Callable, Iterator

from confstream.log.checkout import Checkout
from confstream.textdiff import Side, unified
from confstream.tree import Entry, Kind


def tree_diff(
    before: Checkout, after: Checkout, wanted: Callable[[bytes], bool] = lambda _path: True, *, mask: bool = True
) -> Iterator[str]:
    """Yield one unified diff for each path on which two checkouts differ."""
    for path in sorted(before.tree.keys() | after.tree.keys()):
        old, new = before.tree.get(path), after.tree.get(path)
        same = old is not None and new is not None and old.matches(new)
        if same or not wanted(path) or {entry.kind for entry in (old, new) if entry} == {Kind.DIRECTORY}:
            continue
        text = unified(path, _side(old, before), _side(new, after), mask=mask)
        if text:
            yield text


def _side(entry: Entry | None, where: Checkout) -> Side | None:
    if entry is None or entry.kind is Kind.DIRECTORY:
        return None
    content = entry.target if entry.kind is Kind.SYMLINK else where.content(entry.hash)
    return Side(content, entry.mode, entry.kind)
