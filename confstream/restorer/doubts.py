"""What speaks against a restore that is done as asked: a guard that is still missing, files that belong together.

Nothing is restored that was not asked for, and what is present stays (P1): so
a group of files may come apart, and whoever asked has to know.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from confstream.checkout import Action, Verb
from confstream.restorer.ground import Scope
from confstream.selection import Selection
from confstream.tree import Kind, Tree

_NAMED_MAX = 3


def of_guards(guards: Iterable[str | tuple[str, ...]], result: Tree, scope: Scope) -> Iterator[str]:
    """Yield what to say of *guards*, each with its other names, that are not in *result*."""
    for guard in guards:
        names = (guard,) if isinstance(guard, str) else guard
        paths = [os.path.normpath(os.fsencode(name)) for name in names]
        if not any(path in result for path in paths) and scope.covers(paths[0]):
            yield f"{names[0]} is a guard, and the revision has no such file: it is still missing"


def of_groups(
    groups: Iterable[Sequence[str]], actions: Sequence[Action], result: Tree, target: Tree, name: str
) -> Iterator[str]:
    """Yield what to say of *groups*, the patterns of files that belong together, that *actions* restore in part.

    *result* is what they lead to, *target* the tree of the revision *name*.
    """
    written = [action.path for action in actions if action.verb in {Verb.WRITE, Verb.REPLACE}]
    for patterns in groups:
        members = Selection(tuple(patterns), (), "none")
        restored = [path for path in written if members.tracks(path, is_dir=False)]
        apart = [
            path
            for path in sorted({*result, *target})
            if members.tracks(path, is_dir=False) and not _agree(path, result, target)
        ]
        if restored and apart:
            verb = "is" if len(apart) == 1 else "are"
            yield (
                f"{os.fsdecode(restored[0])} is restored without what belongs to it: {_named(apart)} {verb} not as in "
                f"revision {name}; restore everything, or see that they fit"
            )


def _agree(path: bytes, result: Tree, target: Tree) -> bool:
    one, other = result.get(path), target.get(path)
    if Kind.DIRECTORY in {one and one.kind, other and other.kind}:
        return True
    return (one and one.hash) == (other and other.hash)


def _named(paths: Sequence[bytes]) -> str:
    named = ", ".join(os.fsdecode(path) for path in paths[:_NAMED_MAX])
    return f"{named} and {len(paths) - _NAMED_MAX} more" if len(paths) > _NAMED_MAX else named
