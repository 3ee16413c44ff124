"""Answers of a journal as values: what a capture did, and states that only the journal holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confstream.errors import NotFoundError
from confstream.history import LogEntry
from confstream.journal.ledger import Ledger
from confstream.journal.phase import Phase
from confstream.revision import OK, Position, Verdict
from confstream.tree import Change, Tree, apply


@dataclass(frozen=True, slots=True)
class Captured:
    """What one capture recorded.

    *write_id* names the draft; None if nothing had changed, or nothing may be
    believed, which *held* explains. *unstable* files were being written.
    """

    write_id: bytes | None
    changes: tuple[Change, ...] = ()
    verdict: Verdict = OK
    held: str = ""
    unreadable: Mapping[bytes, str] = field(default_factory=dict)
    unstable: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """How a journal is, from what really happened (P7).

    *pending* revisions are durable here and not on the replica;
    *lag_seconds* is the age of the oldest. *position* is the last revision
    that the replica confirmed, *confirmed_ns* when it last answered (UTC ns,
    0 if never). *error* is what stands in the way, *trouble* the same in one
    word, since *failing_ns*; *held* is why nothing is captured. *unreadable*
    files are not protected. *doubts* are the files that are blank or invalid
    now, by path, with the reasons; *verdict* is that of the last change, which
    was recorded at *changed_ns*. *merged* counts the waiting revisions that
    were merged for want of room.
    """

    tree: str
    replica: str
    writer: str
    phase: Phase
    position: Position
    pending: int
    pending_bytes: int
    lag_seconds: float
    confirmed_ns: int
    epoch: int = 0
    error: str = ""
    detail: str = ""
    held: str = ""
    files: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""
    failing_ns: int = 0
    connected: bool = False
    tracked_bytes: int = 0
    changed_ns: int = 0
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdict: Verdict = OK
    merged: int = 0


@dataclass(frozen=True, slots=True)
class Local:
    """A tree and where its contents come from."""

    tree: Tree
    content: Callable[[bytes], bytes]
    label: str = ""
    close: Callable[[], None] = lambda: None


def pending_entries(ledger: Ledger) -> tuple[int, list[LogEntry]]:
    """Return what is not published yet, with the numbers that it will have if nobody else publishes.

    Before them, the number of the last revision that is known to be published.
    """
    while True:
        number, drafts = ledger.base.number, ledger.pending
        # One that was confirmed between these two looks would be missing, or be there twice.
        if ledger.base.number == number:
            break
    return number, [
        LogEntry(number + count, draft.time_ns, draft.authorship, draft.changes, draft.verdict, published=False)
        for count, draft in enumerate(drafts, 1)
    ]


def state_after(ledger: Ledger, count: int) -> Tree:
    """Return the tree after the first *count* drafts that are not published."""
    drafts = ledger.pending[:count]
    if len(drafts) < count:
        raise NotFoundError(
            f"there is no revision {ledger.base.number + count}; the newest is {ledger.base.number + len(drafts)}"
        )
    return apply(ledger.settled, [change for draft in drafts for change in draft.changes])


def part_of(tree: Tree, path: bytes) -> Tree:
    """Return what *tree* holds at and below *path*, and the directories above it."""
    parts = path.split(b"/")
    above = {b"/".join(parts[:count]) for count in range(1, len(parts))}
    return Tree(
        entry
        for entry in tree.values()
        if entry.path == path or entry.path in above or entry.path.startswith(path + b"/")
    )
