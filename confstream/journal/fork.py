"""What a writer had not published when it was fenced: kept on the replica as a fork (P5).

Begun when it happens. What an outage or the end of the process cuts short is
completed by the next start, under the same name and without repeating anything.
"""

import logging
from collections.abc import Mapping
from threading import Event

from confstream.clock import Clock
from confstream.errors import IntegrityError, NotFoundError
from confstream.events import about
from confstream.journal import notes
from confstream.journal.draft import Draft, FencedBy
from confstream.journal.ledger import Ledger
from confstream.journal.phase import UplinkSettings
from confstream.journal.sources import Sources
from confstream.layout import Fork
from confstream.log.intent import Head, Intent, Writer
from confstream.log.publisher import Publisher
from confstream.log.reader import LogReader
from confstream.tree import Entry, apply

logger = logging.getLogger("confstream.uplink")

_NOTE = "fork"


def intent_of(draft: Draft, settled: Mapping[bytes, Entry]) -> Intent:
    """Return what *draft* wants published after the tree *settled*."""
    return Intent(draft.write_id, draft.time_ns, apply(settled, draft.changes), draft.authorship, draft.verdict)


def keep(ledger: Ledger, publisher: Publisher, sources: Sources) -> Fork | None:
    """Remember who fenced *publisher*, and keep every draft as a fork; None if nothing would be in it."""
    other, intents = publisher.fenced_by, _intents(ledger)
    is_needed = bool(intents) and (other is None or other.revision.tree_hash != intents[-1].tree.digest)
    if is_needed:
        ledger.note(_NOTE, f"{publisher.epoch} {publisher.head.position.number}")
    if other is not None:
        ledger.fence(FencedBy(other.revision.writer, other.revision.epoch))
    if not is_needed:
        return None
    return _publish(ledger, publisher, sources, Fork(ledger.writer, publisher.epoch), publisher.head)


def complete(
    ledger: Ledger, reader: LogReader, sources: Sources, *, clock: Clock, settings: UplinkSettings, stop: Event
) -> None:
    """Keep what is missing of a fork that was begun, and what was captured since; nothing if there is none."""
    noted = ledger.notes.get(_NOTE)
    if noted is None:
        return
    with notes.understood(_NOTE):
        epoch, number = map(int, noted.split())
    fork, writer = Fork(ledger.writer, epoch), Writer(ledger.writer, settings.host)
    publisher = Publisher(reader, writer, clock, stop, grace_seconds=settings.grace_seconds)
    count = len(ledger.pending)
    try:
        head = publisher.head_at(number)
    except (IntegrityError, NotFoundError) as error:
        # Nothing mends that: the log no longer has what the fork leaves.
        said = "the fork %s-%d cannot be completed, %d revision(s) stay in the journal: %s"
        extra = about("fork_failed", fork=fork.name, pending=count, error=error)
        logger.error(said, fork.writer, fork.epoch, count, error, extra=extra)  # noqa: TRY400 - the message says it all.
        forget(ledger)
        return
    _publish(ledger, publisher, sources, fork, head)
    said = "%d revision(s) that were not published are kept as the fork %s-%d"
    logger.warning(said, count, fork.writer, fork.epoch, extra=about("forked", fork=fork.name, count=count))


def forget(ledger: Ledger) -> None:
    """Let what is left of a fork that was begun be published by the log's own rules: this writer goes on."""
    ledger.note(_NOTE, None)


def _publish(ledger: Ledger, publisher: Publisher, sources: Sources, fork: Fork, head: Head) -> Fork:
    is_kept = False
    while not is_kept:
        intents = _intents(ledger)
        ids = [intent.write_id for intent in intents]
        try:
            publisher.publish_fork(fork, head, intents, sources.find, sources.at_hand)
            if ids:
                ledger.forked(ids[-1])
            is_kept = True
        except (IntegrityError, ValueError):
            # Merged meanwhile, for more was recorded than may wait (P14): what they became follows them, then.
            if ids == [draft.write_id for draft in ledger.pending][: len(ids)]:
                raise
    forget(ledger)
    return fork


def _intents(ledger: Ledger) -> list[Intent]:
    settled: Mapping[bytes, Entry] = ledger.settled
    intents = []
    for draft in ledger.pending:
        intents.append(intent_of(draft, settled))
        settled = intents[-1].tree
    return intents
