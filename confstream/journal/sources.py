"""Where a content of the tree can be found: the ledger, the cache, the disk, and last the replica."""

import os
from collections.abc import Callable
from pathlib import Path

from confstream.checkout.plan import shown
from confstream.errors import IntegrityError
from confstream.history import History
from confstream.journal.contents import ContentCache
from confstream.journal.ledger import Ledger
from confstream.log.checkout import Checkout
from confstream.log.reader import LogReader
from confstream.log.recent import Recent
from confstream.tree import Entry, Kind, content_hash


class Sources:
    """Finds contents by hash. *history* opens the replica, and is only called when nothing here has it.

    *recent* has what this journal published itself.
    """

    def __init__(self, root: Path, ledger: Ledger, cache: ContentCache, history: Callable[[], History]) -> None:
        self._root = root
        self._ledger = ledger
        self._cache = cache
        self._history = history
        self.recent = Recent(cache.directory)

    def at_hand(self, digest: bytes) -> bytes | None:
        """Return the content if it is in the ledger or the cache, else None."""
        found = self._ledger.content(digest)
        return found if found is not None else self._cache.get(digest)

    def find(self, digest: bytes) -> bytes:
        """Return any content of the captured tree; ``IntegrityError`` if it is nowhere any more."""
        found = self.at_hand(digest)
        if found is not None:
            return found
        for entry in self._ledger.current.values():
            if entry.hash == digest and entry.kind is Kind.FILE:
                content = self._from_disk(entry)
                if content is not None:
                    return content
        return self._from_replica(digest)

    def _from_disk(self, entry: Entry) -> bytes | None:
        try:
            content = (self._root / os.fsdecode(entry.path)).read_bytes()
        except OSError:
            return None
        return content if content_hash(content) == entry.hash else None

    def _from_replica(self, digest: bytes) -> bytes:
        number = self._ledger.base.number
        held = {entry.path for entry in self._ledger.base_tree.values() if entry.hash == digest}
        reader = self._history().reader
        found = reader.checkout(number, held.__contains__) if number and held else self._from_forks(reader, digest)
        if found is None:
            raise self._lost(digest)
        try:
            return found.content(digest)
        except IntegrityError as error:
            raise self._lost(digest) from error
        finally:
            found.close()

    def _lost(self, digest: bytes) -> IntegrityError:
        known = (*self._ledger.current.values(), *self._ledger.settled.values(), *self._ledger.base_tree.values())
        paths = sorted({entry.path for entry in known if entry.hash == digest and entry.kind is Kind.FILE})
        name = shown(paths[0]) if paths else "a file"
        return IntegrityError(
            f"the content of {name} that was recorded (hash {digest.hex()[:12]}) is nowhere any more: not in the "
            "journal, not in its file, and not on the replica; write that content to the file again, or run verify"
        )

    def _from_forks(self, reader: LogReader, digest: bytes) -> Checkout | None:
        """Return a state with *digest* that this writer, while it was fenced, kept as a fork: no log has it."""
        own = [fork for fork in reader.listing.forks if fork.writer == self._ledger.writer]
        for fork in reversed(own):
            for made in reversed(reader.fork(fork)):
                changes = made.revision.changes
                paths = {change.path for change in changes if change.entry is not None and change.entry.hash == digest}
                if paths:
                    return reader.fork_checkout(fork, made.revision.number, paths.__contains__)
        return None
