"""Logs for tests: writers with their contents at hand, and replicas made by them."""

import random
from collections.abc import Mapping
from functools import lru_cache

from confstream.clock import Clock
from confstream.codec.notes import Descriptor, encode_descriptor
from confstream.errors import ObjectExistsError
from confstream.layout import DESCRIPTOR, Fork
from confstream.log.intent import Intent, Published, Writer
from confstream.log.publisher import GRACE_SECONDS, Publisher
from confstream.log.reader import LogReader
from confstream.revision import OK, Authorship, Verdict
from confstream.store import Store
from confstream.testing import ManualClock
from confstream.tree import Entry, Tree

DAY = 86_400.0


def tree_of(files: Mapping[str, bytes]) -> Tree:
    """Return the tree that holds *files*, their directories included."""
    entries = {name: _entry(name, content) for name, content in files.items()}
    parents = {name.rpartition("/")[0] for name in files} - {""}
    return Tree([*entries.values(), *(Entry.directory(parent.encode()) for parent in parents)])


@lru_cache(maxsize=256)
def _entry(name: str, content: bytes) -> Entry:
    """Return the entry of a file, which is mostly the one that it had before."""
    return Entry.file(name.encode(), content)


class Scribe:
    """One writer: whatever it was ever told to write, it can give the content of."""

    def __init__(
        self, store: Store, clock: Clock | None = None, writer: str = "w1", *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.store = store
        self.clock = clock or ManualClock()
        self.random = random.Random(writer)  # noqa: S311 - a seed, not a secret.
        self.contents: dict[bytes, bytes] = {}
        self.files: dict[str, bytes] = {}
        describe(store)
        self.reader = LogReader(store)
        self.publisher = Publisher.start(
            self.reader, Writer(writer, f"host-of-{writer}"), self.clock, grace_seconds=grace_seconds
        )

    def intent(self, files: Mapping[str, bytes], *, verdict: Verdict = OK, keep: bool = False) -> Intent:
        """Return the intent to make the tree hold just *files*."""
        self.files = dict(files)
        self.contents |= {_entry(name, content).hash: content for name, content in files.items()}
        authorship = Authorship("api", message="a test")
        return Intent(self.random.randbytes(16), self.clock.now_ns(), tree_of(files), authorship, verdict, keep)

    def send(self, intent: Intent) -> Published:
        """Publish *intent*."""
        return self.publisher.publish(intent, self.contents.__getitem__, self.contents.get)

    def write(self, files: Mapping[str, bytes] | None = None, *, verdict: Verdict = OK, **more: bytes) -> Published:
        """Publish a tree of just *files*, or of the last one with *more* (``_yml`` is ``.yml``)."""
        named = {name.replace("_yml", ".yml"): content for name, content in more.items()}
        return self.send(self.intent(files if files is not None else self.files | named, verdict=verdict))

    def snapshot(self) -> bool:
        """Store the tree at the head."""
        return self.publisher.snapshot(self.contents.__getitem__)

    def fork(self, *intents: Intent) -> Fork:
        """Publish *intents* as a fork that leaves the log at the head."""
        fork = Fork(self.publisher.writer.id, self.publisher.epoch)
        self.publisher.publish_fork(fork, self.publisher.head, intents, self.contents.__getitem__, self.contents.get)
        return fork


def describe(store: Store) -> None:
    """Give *store* a descriptor, as if it had been proven."""
    try:
        store.put(DESCRIPTOR, encode_descriptor(Descriptor("0" * 32, 1, "0.1.0", exclusive_create=True)))
    except ObjectExistsError:
        return


def grow(store: Store, count: int, clock: Clock | None = None, *, snapshot_every: int = 0) -> Scribe:
    """Publish *count* revisions, each an edit of one of a few files, and return the writer."""
    scribe = Scribe(store, clock)
    lines = [b"mqtt:\n", b"  host: broker\n", b"cameras: {}\n", b"detectors:\n", b"  cpu1:\n    type: cpu\n"]
    for number in range(1, count + 1):
        name = f"file{number % 3}.yml"
        before = scribe.files.get(name, b"".join(lines * 4))
        edited = before + f"# edit {number}\n".encode() if number % 7 else before[: len(before) // 2] + b"\n"
        scribe.write(scribe.files | {name: edited})
        if snapshot_every and number % snapshot_every == 0:
            scribe.snapshot()
    return scribe


def read_all(store: Store, number: int) -> dict[str, bytes]:
    """Return every file at revision *number*, through a reader that knows nothing yet."""
    found = LogReader(store).checkout(number)
    try:
        return {entry.path.decode(): found.content(entry.hash) for entry in found.tree.files}
    finally:
        found.close()
