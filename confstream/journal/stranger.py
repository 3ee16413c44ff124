"""A tree that a new journal found where the log has another one: perhaps defaults that an application wrote.

An application that finds no configuration writes its own. Nobody saw it
change, so the rules are stricter than for an edit, and the doubt lasts a day:
else its next change would be the newest good revision (P10).
"""

import json
from collections.abc import Mapping

from confstream import guards
from confstream.journal import notes
from confstream.journal.ledger import Ledger
from confstream.revision import OK, Status, Verdict
from confstream.tree import Entry

DOUBTED_NS = 86_400 * 10**9
"""How long a tree of unknown origin is doubted; after that it is what its user wants."""

_NOTE = "stranger"


def judge(log: Mapping[bytes, Entry], found: Mapping[bytes, Entry], *, known: bool) -> Verdict:
    """Return what is suspicious about *found* over the newest tree of the *log*; *known* if the journal is not new."""
    return guards.verdict_of(guards.suspicions(log, found, strange=not known))


def doubt(ledger: Ledger, verdict: Verdict, now_ns: int) -> None:
    """Remember durably that the tree was doubted; nothing if *verdict* has no doubt."""
    if verdict.status is not Status.OK:
        ledger.note(_NOTE, json.dumps([now_ns, list(verdict.reasons)]))


def still(ledger: Ledger, now_ns: int) -> Verdict:
    """Return what is still doubted, by *now_ns*."""
    text = ledger.notes.get(_NOTE)
    if text is None:
        return OK
    with notes.understood(_NOTE):
        since_ns, reasons = json.loads(text)
        since_ns, reasons = notes.number(since_ns), [notes.text(reason) for reason in reasons]
    if now_ns - since_ns > DOUBTED_NS:
        return OK
    return Verdict(Status.SUSPICIOUS, tuple(f"still in doubt since this tree was found: {one}" for one in reasons))


def trust(ledger: Ledger) -> None:
    """Doubt the tree no more: somebody restored it."""
    if _NOTE in ledger.notes:
        ledger.note(_NOTE, None)
