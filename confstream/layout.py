"""Where objects lie on a replica: keys as values. Keys of one kind sort as history does.

Pure. FORMAT.md, "Keys", lists them.
"""

import re
from collections.abc import Iterable
from dataclasses import field

from confstream.pattern import pattern
from confstream.values import dataclass

DESCRIPTOR = "confstream.json"
LOG, PACK, SNAPSHOT, BLOB, TAG, HEARTBEAT, FORK = "log/", "pack/", "snapshot/", "blob/", "tag/", "heartbeat/", "fork/"

_NUMBER = r"([0-9]{20})"
_LOG_KEY = re.compile(rf"log/{_NUMBER}")
_PACK_KEY = pattern(rf"pack/{_NUMBER}-{_NUMBER}")
_SNAPSHOT_KEY = pattern(rf"snapshot/{_NUMBER}")
_FORK_KEY = pattern(rf"fork/([0-9a-z]{{1,64}})-([1-9][0-9]{{0,18}})/log/{_NUMBER}")
_TAG_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WRITER = pattern(r"[0-9a-z]{1,64}")


def log_key(number: int) -> str:
    """Return the key of revision *number*."""
    return f"{LOG}{number:020d}"


def log_number(key: str) -> int:
    """Return the number of the revision whose key in the log is *key*; 0 for any other key."""
    return int(match[1]) if (match := _LOG_KEY.fullmatch(key)) else 0


def pack_key(first: int, last: int) -> str:
    """Return the key of the pack of revisions *first* to *last*, both included."""
    return f"{PACK}{first:020d}-{last:020d}"


def snapshot_key(number: int) -> str:
    """Return the key of the snapshot of revision *number*."""
    return f"{SNAPSHOT}{number:020d}"


def blob_key(digest: bytes) -> str:
    """Return the key of the content whose SHA-256 is *digest*."""
    return f"{BLOB}{digest.hex()}"


def tag_key(name: str) -> str:
    """Return the key of the tag *name*; raise ``ValueError`` if it cannot be one."""
    if not _TAG_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a tag: letters, digits, dot, dash and underscore can, at most 128")
    return f"{TAG}{name}"


def heartbeat_key(writer: str) -> str:
    """Return the key of the heartbeat of *writer*."""
    if not _WRITER.fullmatch(writer):
        raise ValueError(f"{writer!r} cannot name a writer")
    return f"{HEARTBEAT}{writer}"


@dataclass(frozen=True, slots=True, order=True)
class Fork:
    """The place of the revisions that a fenced writer could not publish."""

    writer: str
    epoch: int

    @property
    def name(self) -> str:
        """Return what people call it: the writer and its epoch."""
        return f"{self.writer}-{self.epoch}"

    @property
    def prefix(self) -> str:
        """Return the prefix under which the fork is a log of its own."""
        return f"{FORK}{self.name}/"


@dataclass(frozen=True)
class Listing:
    """What the keys of a replica say about it, without reading an object.

    Numbers and ranges ascend. *strange* are keys that no confstream wrote.
    """

    described: bool = False
    log: tuple[int, ...] = ()
    packs: tuple[tuple[int, int], ...] = ()
    snapshots: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    heartbeats: tuple[str, ...] = ()
    blobs: frozenset[bytes] = frozenset()
    forks: dict[Fork, tuple[int, ...]] = field(default_factory=dict)
    strange: tuple[str, ...] = ()

    @property
    def head(self) -> int:
        """Return the highest revision that any key names; 0 for an empty log.

        Snapshots count: one that is newer than the log says that the log lost its end (P8).
        """
        return max((0, *self.log[-1:], *self.snapshots[-1:], *(last for _, last in self.packs)))

    @property
    def empty(self) -> bool:
        """Return whether nothing under the prefix was written by confstream."""
        return not (self.described or self.log or self.packs or self.snapshots)


def parse(keys: Iterable[str]) -> Listing:
    """Return what *keys* say."""
    log, packs, snapshots, strange = [], [], [], []
    tags, heartbeats, blobs, described = [], [], [], False
    forks: dict[Fork, list[int]] = {}
    for key in sorted(keys):
        if (match := _LOG_KEY.fullmatch(key)) and int(match[1]):
            log.append(int(match[1]))
        elif (match := _PACK_KEY.fullmatch(key)) and 1 <= int(match[1]) <= int(match[2]):
            packs.append((int(match[1]), int(match[2])))
        elif (match := _SNAPSHOT_KEY.fullmatch(key)) and int(match[1]):
            snapshots.append(int(match[1]))
        elif (match := _FORK_KEY.fullmatch(key)) and int(match[3]):
            forks.setdefault(Fork(match[1], int(match[2])), []).append(int(match[3]))
        elif key == DESCRIPTOR:
            described = True
        elif key.startswith(TAG) and _TAG_NAME.fullmatch(key.removeprefix(TAG)):
            tags.append(key.removeprefix(TAG))
        elif key.startswith(HEARTBEAT) and _WRITER.fullmatch(key.removeprefix(HEARTBEAT)):
            heartbeats.append(key.removeprefix(HEARTBEAT))
        elif re.fullmatch(r"blob/[0-9a-f]{64}", key):
            blobs.append(bytes.fromhex(key.removeprefix(BLOB)))
        else:
            strange.append(key)
    return Listing(
        described=described,
        log=tuple(log),
        packs=tuple(sorted(packs)),
        snapshots=tuple(snapshots),
        tags=tuple(tags),
        heartbeats=tuple(heartbeats),
        blobs=frozenset(blobs),
        forks={fork: tuple(numbers) for fork, numbers in sorted(forks.items())},
        strange=tuple(strange),
    )
