"""Revisions of a log in words, for who looks back: their contents are read for it.

What cannot be read is left out, and the words say less: a damaged content is
for ``verify`` to report.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from confstream.errors import IntegrityError, NotFoundError
from confstream.log.checkout import Checkout
from confstream.log.reader import LogReader
from confstream.naming import summary
from confstream.profiles.profile import secrets_in
from confstream.revision import Revision
from confstream.tree import Change, Kind, Tree, apply
from confstream.words import revision_words

SPAN_MAX = 64
"""How many revisions are read at a time (P14)."""

_CONTENT_SIZE_MAX = 1 << 20


def gist(changes: Sequence[Change], before: Checkout, after: Checkout) -> str:
    """Return how *before* became *after* by *changes*, in words, secrets masked."""

    def contents(digest: bytes) -> bytes | None:
        found = _content(before, digest)
        return _content(after, digest) if found is None else found

    return revision_words(changes, before.tree, contents, secrets_in)


def gists(reader: LogReader, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield for each of *numbers*, in order, what that revision is in words."""
    for span in _spans(numbers):
        first, last = min(span), max(span)
        found = _gists(reader, first, last)
        yield from ((number, found[number]) for number in span)


def _gists(reader: LogReader, first: int, last: int) -> dict[int, str]:
    revisions = [made.revision for made in reader.revisions(first, last)]
    try:
        trees = _trees(reader.checkout(first - 1, index_only=True).tree, revisions)
        digests, paths = _needed(trees, revisions)
        passage = reader.passage(first, last, digests, paths.__contains__)
    except (IntegrityError, NotFoundError, ValueError):
        # Before the oldest one that is kept there is nothing to compare with, nor where the log is no tree's.
        return {revision.number: summary(revision.changes) for revision in revisions}
    try:
        return {
            revision.number: revision_words(revision.changes, before, partial(_content, passage), secrets_in)
            for before, revision in zip(trees, revisions, strict=True)
        }
    finally:
        passage.close()


def _trees(tree: Tree, revisions: Sequence[Revision]) -> list[Tree]:
    """Return the tree before each of *revisions*, the first of which came after *tree*."""
    trees = []
    for revision in revisions:
        trees.append(tree)
        tree = apply(tree, revision.changes)
    return trees


def _needed(trees: Sequence[Tree], revisions: Sequence[Revision]) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the hashes of the contents that were replaced and that replaced them, and the paths that had them."""
    digests, paths = set(), set()
    for before, revision in zip(trees, revisions, strict=True):
        for change in revision.changes:
            was, entry = before.get(change.path), change.entry
            if was is None or entry is None or not was.kind is entry.kind is Kind.FILE:
                continue
            if max(was.size, entry.size) <= _CONTENT_SIZE_MAX:
                digests |= {was.hash, entry.hash}
                paths.add(change.path)
    return frozenset(digests), frozenset(paths)


def _spans(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield *numbers* in pieces that lie near to one another."""
    span: list[int] = []
    for number in numbers:
        if span and max(*span, number) - min(*span, number) >= SPAN_MAX:
            yield span
            span = []
        span.append(number)
    if span:
        yield span


def _content(where: Checkout, digest: bytes) -> bytes | None:
    try:
        return where.content(digest)
    except IntegrityError:
        return None
