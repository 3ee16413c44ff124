"""What the log is made of, as values: revisions, snapshots, heartbeats, tags.

A revision is one atomic change of the tree, chained to its predecessor by
hash. Pure; ``codec`` turns these values into bytes and back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from itertools import pairwise

from confstream.tree import HASH_SIZE, Change, Tree
from confstream.values import dataclass

GENESIS = bytes(HASH_SIZE)
"""The hash that revision 1 names as its predecessor's."""

WRITE_ID_SIZE = 16


class Status(StrEnum):
    """What was found out about a revision when it was made."""

    OK = "ok"
    INVALID = "invalid"
    SUSPICIOUS = "suspicious"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status with the reasons for it. It chooses restore targets and never blocks (P6)."""

    status: Status = Status.OK
    reasons: tuple[str, ...] = ()


OK = Verdict()


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who made a revision, through what, and why."""

    source: str = "api"
    author: str = ""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log: a revision's number and hash, and what a writer must know of the log up to it.

    *epoch_high* is the highest epoch of any revision so far, *time_ns* the
    time of the last one; position 0 is the empty log.
    """

    number: int = 0
    hash: bytes = GENESIS
    epoch_high: int = 0
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Revision:
    """One numbered, atomic change of the tree (1, 2, 3 …).

    *time_ns* is UTC and never earlier than the predecessor's. *write_id* is
    unique to one attempt to change the tree and survives every retry.
    *supersedes* is the closed range of revisions of other writers that this
    one was made without knowing. *changes* ascend by path, each path once.
    """

    number: int
    epoch: int
    epoch_high: int
    writer: str
    host: str
    write_id: bytes
    previous: bytes
    time_ns: int
    authorship: Authorship
    changes: Sequence[Change]
    verdict: Verdict
    tree_hash: bytes
    supersedes: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers and hashes that no log can hold."""
        if self.number < 1 or self.epoch < 1 or self.epoch_high < self.epoch or self.time_ns < 0:
            raise ValueError(f"revision {self.number} with epoch {self.epoch} of {self.epoch_high} at {self.time_ns}")
        if (len(self.write_id), len(self.previous), len(self.tree_hash)) != (WRITE_ID_SIZE, HASH_SIZE, HASH_SIZE):
            raise ValueError(f"revision {self.number} has an identifier or a hash of the wrong length")
        if type(self.changes) is tuple:
            # Others are checked when they are decoded.
            checked_order(self.changes)


def checked_order(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return *changes*, or raise ``ValueError`` unless they ascend by path, each path once."""
    if any(one.path >= other.path for one, other in pairwise(changes)):
        raise ValueError("a revision has changes whose paths do not ascend")
    return changes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole tree at one revision."""

    position: Position
    verdict: Verdict
    tree: Tree


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for a revision; retention keeps what it names."""

    name: str
    number: int
    revision_hash: bytes
    time_ns: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of one writer, and how far it had got.

    *lag_seconds* is the age of its oldest change that the log did not hold
    yet; *released* says that it stopped on purpose.
    """

    writer: str
    host: str
    epoch: int
    number: int
    tree_hash: bytes
    time_ns: int
    interval_seconds: float
    lag_seconds: float
    version: str
    released: bool
