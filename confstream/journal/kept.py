"""What the log has and nobody may read here: not gone, so never recorded as deleted (P6).

A journal that knows a file keeps what it knows while the file cannot be read.
One that is new, or whose log went on without it, learns of it from the log.
"""

from collections.abc import Collection, Mapping

from confstream.tree import Entry, Kind, Tree


def kept(
    log: Mapping[bytes, Entry], current: Mapping[bytes, Entry], unreadable: Collection[bytes]
) -> dict[bytes, Entry]:
    """Return what of the tree of the *log* is not in *current* for it is at or below *unreadable* paths."""
    if not unreadable:
        return {}
    there, found = dict(current), {}
    for path in sorted(log):
        parts = path.split(b"/")
        parent = there.get(b"/".join(parts[:-1]))
        is_hidden = any(b"/".join(parts[:count]) in unreadable for count in range(len(parts) + 1))
        has_place = len(parts) == 1 or (parent is not None and parent.kind is Kind.DIRECTORY)
        if is_hidden and path not in there and has_place:
            there[path] = found[path] = log[path]
    return found


def with_kept(tree: Tree, entries: Mapping[bytes, Entry]) -> Tree:
    """Return *tree* with those of *entries* that it lacks and has a place for."""
    if not entries:
        return tree
    made = dict(tree)
    for path, entry in entries.items():
        parent, slash, _ = path.rpartition(b"/")
        if path not in made and (not slash or (parent in made and made[parent].kind is Kind.DIRECTORY)):
            made[path] = entry
    return Tree(made.values())
