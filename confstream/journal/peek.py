"""A look at a journal that another process may be using: no lock, no change, nothing promised about the next moment."""

from dataclasses import dataclass
from pathlib import Path

from confstream.errors import IntegrityError, NotFoundError
from confstream.journal.book import Book, Record
from confstream.journal.directory import holder
from confstream.journal.draft import Draft, FencedBy, decode_state
from confstream.journal.frames import Frame, frame_size
from confstream.journal.generation import STATE_NAME, log_path
from confstream.journal.spool import content_of
from confstream.journal.wal import Wal
from confstream.revision import Position
from confstream.tree import Tree

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Glance:
    """What a journal knew a moment ago.

    *pid* opened it last and did not close it, as its own container counts;
    *saved_ns* is the time of the last checkpoint. Drafts may be among
    *pending* that are not committed yet. *pending_bytes* is what they take.
    """

    pid: int | None
    writer: str
    stream: str | None
    saved_ns: int
    base: Position
    base_tree: Tree
    current: Tree
    pending: tuple[Draft, ...]
    intents: tuple[Draft, ...]
    pending_bytes: int
    fenced: FencedBy | None
    notes: dict[str, str]


def peek(state_dir: Path) -> Glance:
    """Return what the journal in *state_dir* knows.

    Raise ``NotFoundError`` if there is none, ``IntegrityError`` if it is
    damaged, ``OSError`` if it cannot be read.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _look(state_dir)
        except (FileNotFoundError, IntegrityError) as error:
            # A checkpoint between reading the state and the log that it names; the second look sees the new ones.
            if attempt == _ATTEMPTS and isinstance(error, IntegrityError):
                raise
    raise IntegrityError(f"{state_dir}: the log that {STATE_NAME!r} names is not there")


def _look(state_dir: Path) -> Glance:
    path = state_dir / STATE_NAME
    try:
        encoded = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{state_dir}: there is no journal here; the first 'replicate' begins one") from error
    state = decode_state(encoded, str(path))
    book, sizes = Book(state), dict[bytes, int]()
    log = log_path(state_dir, state.generation)

    def visit(frame: Frame) -> None:
        if frame.kind == Record.CONTENT:
            sizes[content_of(frame.payload)[0]] = frame_size(len(frame.payload))
            return
        book.replay(frame.kind, frame.payload, f"{log} at byte {frame.offset}")
        if frame.kind == Record.DRAFT:
            sizes[book.pending[-1].write_id] = frame_size(len(frame.payload))

    Wal.look(log, visit)
    needed = {draft.write_id for draft in book.pending}
    needed.update(digest for draft in (*book.pending, *book.intents.values()) for digest in draft.hashes)
    return Glance(
        pid=holder(state_dir),
        writer=book.writer,
        stream=book.stream,
        saved_ns=state.saved_ns,
        base=book.base,
        base_tree=book.base_tree,
        current=Tree(book.current.values()),
        pending=tuple(book.pending),
        intents=tuple(book.intents.values()),
        pending_bytes=sum(size for name, size in sizes.items() if name in needed),
        fenced=book.fenced,
        notes=dict(book.notes),
    )
