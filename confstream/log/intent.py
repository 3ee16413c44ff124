"""Who publishes, what it wants published, what came of it, and what it knows of the log. Values."""

from dataclasses import dataclass, field

from confstream import layout
from confstream.revision import OK, Authorship, Position, Revision, Verdict
from confstream.tree import EMPTY, Tree


@dataclass(frozen=True, slots=True)
class Writer:
    """Who publishes: an identity that outlives restarts, and where it runs.

    *id* is part of keys, 1 to 64 of ``0-9a-z``.
    """

    id: str
    host: str

    def __post_init__(self) -> None:
        """Refuse a name under which nobody would find a fork again (P5)."""
        layout.heartbeat_key(self.id)


@dataclass(frozen=True, slots=True)
class Intent:
    """What to publish as one revision: a tree, and why.

    *write_id* is unique and survives every retry and restart. *keep* publishes
    a revision even where the tree does not differ from the log's.
    """

    write_id: bytes
    time_ns: int
    tree: Tree
    authorship: Authorship
    verdict: Verdict = OK
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """A revision that the replica holds, and those of others that were adopted on the way."""

    position: Position
    revision: Revision | None
    adopted: tuple[int, ...] = ()


@dataclass
class Head:
    """The end of the log as a writer knows it."""

    position: Position = field(default_factory=Position)
    tree: Tree = EMPTY
    verdict: Verdict = OK
    blobs: frozenset[bytes] = frozenset()
