"""How a tree stands to a log at the start: by content, never by time or clock.

In sync, ahead, behind, diverged, or held back; DESIGN's words for what a
writer has to do about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from confstream import guards as rules
from confstream.errors import NotFoundError
from confstream.journal.draft import Draft
from confstream.journal.kept import with_kept
from confstream.journal.ledger import Ledger
from confstream.log.intent import Head
from confstream.log.reader import LogReader
from confstream.revision import Position
from confstream.tree import EMPTY, Entry, Tree, apply_to

SEARCHED_MAX = 2000
"""How many of the newest revisions are compared with a tree of unknown origin."""


RECORDED_MAX = 200
"""How many of the newest revisions are searched for what a writer was about to publish itself."""


class Origin(StrEnum):
    """What a tree is to the log."""

    IN_SYNC = "in sync"
    AHEAD = "ahead"
    BEHIND = "behind"
    DIVERGED = "diverged"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out, and what follows.

    *confirmed* are drafts that the log holds already, from a time before a
    crash. *held* drafts must not be published for now. *adopt* says that the
    log's head is the new base.
    """

    relation: Origin
    note: str = ""
    confirmed: tuple[tuple[bytes, Position], ...] = ()
    held: frozenset[bytes] = frozenset()
    supersedes: tuple[int, int] | None = None
    adopt: bool = True


def compare(
    ledger: Ledger, reader: LogReader, head: Head, *, guards: bool, kept: Mapping[bytes, Entry] = EMPTY
) -> Comparison:
    """Return how the captured tree, and what is *kept* of the log's, stands to the log whose end is *head*."""
    base, number = ledger.base.number, head.position.number
    lost = _lost(ledger, reader, head)
    confirmed = () if lost else _confirmed(ledger, reader, number)
    known = confirmed[-1][1].number if confirmed else base
    done = {write_id for write_id, _ in confirmed}
    pending = [draft for draft in ledger.pending if draft.write_id not in done]
    current = with_kept(Tree(ledger.current.values()), kept)
    ids = frozenset(draft.write_id for draft in pending)
    if lost:
        note = (
            f"the replica lost revisions that it had confirmed (up to {base}, now {number}); "
            "the tree is published over it"
        )
        return Comparison(Origin.DIVERGED, note, supersedes=(1, number) if number else None)
    if current.matches(head.tree):
        confirmed += _recorded_by_others(ledger, reader, head, known, pending)
        left = len(confirmed) < len(ledger.pending)
        return Comparison(Origin.IN_SYNC, confirmed=confirmed, adopt=not left and known != number)
    if guards and (held := rules.held_back(head.tree, current)):
        return Comparison(
            Origin.HELD,
            f"{held}; nothing is published until files are back, or --no-guards",
            confirmed,
            ids,
            adopt=False,
        )
    if known == number:
        return Comparison(Origin.AHEAD, confirmed=confirmed, adopt=False)
    older = _older(
        ledger, reader, current, known, pending, pending_only_first=len(pending) <= 1 and not _meant(pending)
    )
    span = (known + 1, number)
    if older:
        note = (
            f"the tree is unchanged since revision {older}, the log is at {number}: nothing is published until "
            "something changes; `restore --fast-forward` brings the tree up to date"
        )
        return Comparison(Origin.BEHIND, note, confirmed, ids, supersedes=span, adopt=False)
    note = (
        f"the tree differs from the log, which went on to revision {number} without it; "
        "it is published as the next revision"
    )
    return Comparison(Origin.DIVERGED, note, confirmed, supersedes=span, adopt=False)


def _meant(pending: list[Draft]) -> bool:
    """Return whether somebody restored an older revision: then that is the newest state, and is published."""
    return any(draft.authorship.source == "restore" for draft in pending)


def _lost(ledger: Ledger, reader: LogReader, head: Head) -> bool:
    base = ledger.base
    if base.number == head.position.number:
        return base.hash != head.position.hash
    if base.number > head.position.number:
        return True
    if base.number == 0:
        return False
    try:
        return reader.revision(base.number).hash != base.hash
    except NotFoundError:
        # Pruned since: the chain up to here was checked when it was written.
        return False


def _confirmed(ledger: Ledger, reader: LogReader, number: int) -> tuple[tuple[bytes, Position], ...]:
    """Return the drafts at the front that were published before a crash, with where they are."""
    waiting = [draft.write_id for draft in ledger.pending]
    if not waiting or number <= ledger.base.number:
        return ()
    found = {
        made.revision.write_id: made.position
        for made in reader.revisions(ledger.base.number + 1, number)
        if made.revision.write_id in waiting
    }
    confirmed = []
    for write_id in waiting:
        if write_id not in found:
            break
        confirmed.append((write_id, found[write_id]))
    return tuple(confirmed)


def _recorded_by_others(
    ledger: Ledger, reader: LogReader, head: Head, known: int, pending: Sequence[Draft]
) -> tuple[tuple[bytes, Position], ...]:
    """Return the *pending* drafts at the front whose trees others published since, with where they are.

    Two writers that see the same changes leave them once: published again over
    the newest state, older ones would follow it as if somebody had gone back.
    """
    if known == head.position.number or not pending:
        return ()
    if len(pending) == 1:
        return ((pending[0].write_id, head.position),)
    first = max(known + 1, head.position.number - RECORDED_MAX + 1)
    published = iter([(made.revision.tree_hash, made.position) for made in reader.revisions(first)])
    waiting = {draft.write_id for draft in pending}
    entries, found = dict(ledger.settled), []
    for draft in ledger.pending:
        apply_to(entries, draft.changes)
        if draft.write_id not in waiting:
            continue
        digest = Tree(entries.values()).digest
        where = next((position for tree_hash, position in published if tree_hash == digest), None)
        if where is None:
            break
        found.append((draft.write_id, where))
    return tuple(found)


def _older(
    ledger: Ledger, reader: LogReader, current: Tree, known: int, pending: Sequence[Draft], *, pending_only_first: bool
) -> int:
    """Return the revision that the tree equals and nobody changed it since; 0 if there is none."""
    if known:
        same = (
            current.matches(ledger.base_tree) if known == ledger.base.number else _is_revision(reader, current, known)
        )
        return known if same and not pending else 0
    if not pending_only_first:
        return 0
    for made in islice(reader.revisions(newest_first=True), SEARCHED_MAX):
        if made.revision.tree_hash == current.digest:
            return made.revision.number
    return 0


def _is_revision(reader: LogReader, tree: Tree, number: int) -> bool:
    try:
        return reader.revision(number).revision.tree_hash == tree.digest
    except NotFoundError:
        # Pruned since.
        return False
