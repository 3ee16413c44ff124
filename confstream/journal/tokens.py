"""The drafts that are recorded but not known to be durable yet, and how they are taken back when the disk fails."""

from collections import deque
from dataclasses import dataclass

from confstream.journal.book import Book, Undo
from confstream.journal.draft import Draft
from confstream.journal.spool import Spool
from confstream.journal.wal import Wal


@dataclass(slots=True, eq=False)
class Token:
    """What ``Ledger.commit`` waits for: a draft, and where it was recorded."""

    draft: Draft
    wal: Wal
    offset: int
    undo: Undo
    lost: bool = False


class Tokens:
    """The tokens of one log, oldest first; they are always the newest drafts of the book."""

    def __init__(self) -> None:
        self._waiting: deque[Token] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, token: Token) -> Token:
        """Take *token*, newer than all others, and return it."""
        self._waiting.append(token)
        return token

    def clear(self) -> None:
        """Forget all: a checkpoint made them durable."""
        self._waiting.clear()

    def forget_durable(self, durable: int) -> None:
        """Forget those whose records begin before *durable*, up to where the log is on the disk."""
        while self._waiting and self._waiting[0].offset < durable:
            self._waiting.popleft()

    def retract(self, book: Book, spool: Spool) -> None:
        """Take the drafts that are left out of *book*, newest first."""
        while self._waiting:
            token = self._waiting.pop()
            token.lost = True
            spool.unpend([token.draft])
            if token.draft.write_id in book.intents:
                spool.release(token.draft)
            book.retract(token.draft, token.undo)
