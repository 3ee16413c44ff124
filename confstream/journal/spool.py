"""Where the contents of a journal's log are, and which of them are needed. In memory: places, never contents."""

from collections import Counter
from collections.abc import Iterable

from confstream.journal.draft import Draft
from confstream.journal.frames import frame_size
from confstream.tree import HASH_SIZE


class Spool:
    """An index of the contents in one log, and the size of what must stay in it."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self._held: dict[bytes, tuple[int, int]] = {}
        self._needs: Counter[bytes] = Counter()
        self._draft_sizes: dict[bytes, int] = {}

    def add(self, digest: bytes, offset: int, payload_size: int) -> None:
        """Note that the content *digest* is in the frame at *offset*."""
        if digest not in self._held:
            self._held[digest] = offset, frame_size(payload_size)
            if self._needs[digest]:
                self.live_bytes += frame_size(payload_size)

    def find(self, digest: bytes) -> int | None:
        """Return the offset of the content *digest*, needed or not, or None if it is not in the log."""
        held = self._held.get(digest)
        return None if held is None else held[0]

    def pends(self, write_id: bytes) -> bool:
        """Return whether a draft with *write_id* is pending."""
        return write_id in self._draft_sizes

    def pend(self, draft: Draft, payload_size: int) -> None:
        """Note that *draft*, whose record has *payload_size* bytes, is pending."""
        self._draft_sizes[draft.write_id] = frame_size(payload_size)
        self.live_bytes += frame_size(payload_size)
        self.retain(draft)

    def unpend(self, drafts: Iterable[Draft]) -> None:
        """Note that *drafts* are pending no more."""
        for draft in drafts:
            self.live_bytes -= self._draft_sizes.pop(draft.write_id)
            self.release(draft)

    def retain(self, draft: Draft) -> None:
        """Need the contents of *draft* once more."""
        for digest in draft.hashes:
            self._needs[digest] += 1
            if self._needs[digest] == 1 and digest in self._held:
                self.live_bytes += self._held[digest][1]

    def release(self, draft: Draft) -> None:
        """Need the contents of *draft* once less."""
        for digest in draft.hashes:
            self._needs[digest] -= 1
            if not self._needs[digest]:
                del self._needs[digest]
                if digest in self._held:
                    self.live_bytes -= self._held[digest][1]


def content_payload(digest: bytes, content: bytes) -> bytes:
    """Return the payload of a ``CONTENT`` record."""
    return digest + content


def content_of(payload: bytes) -> tuple[bytes, bytes]:
    """Return the hash and the content of a ``CONTENT`` record's payload."""
    return payload[:HASH_SIZE], payload[HASH_SIZE:]
