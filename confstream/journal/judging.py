"""What a revision is worth: guards and validators together, and the doubts that outlive one revision.

A file that became blank or invalid makes every later revision doubtful until
it is mended, and so does a gutted tree for a day: else the next change of any
other file would make the damage part of the newest good revision (P10).
"""

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from confstream import guards
from confstream.clock import Clock
from confstream.journal import notes, stranger
from confstream.journal.ledger import Ledger
from confstream.meter import Meter
from confstream.revision import OK, Status, Verdict
from confstream.tree import Change, Entry, Kind, Op, apply_to
from confstream.validate import Validators, combined, judge

GUTTED_NS = 86_400 * 10**9
"""How long a tree that lost most of its files is doubted; after that it is what its user wants."""

_NOTE = "doubts"


@dataclass(frozen=True)
class Doubts:
    """What is wrong since an earlier revision.

    *blank* and *broken* are files by path, with hash and reasons; *gutted* is
    how many files there were, and when they went (UTC ns).
    """

    blank: Mapping[bytes, bytes] = field(default_factory=dict)
    broken: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    gutted: tuple[int, int] | None = None

    def dump(self) -> str | None:
        """Return it as text for the ledger; None if there is nothing to doubt."""
        if self == Doubts():
            return None
        return json.dumps(
            {
                "blank": {os.fsdecode(path): digest.hex() for path, digest in self.blank.items()},
                "broken": {os.fsdecode(path): list(reasons) for path, reasons in self.broken.items()},
                "gutted": self.gutted,
            }
        )

    @classmethod
    def load(cls, text: str | None) -> "Doubts":
        """Return what ``dump`` wrote; nothing for nothing. Raise ``IntegrityError`` if it wrote something else."""
        if text is None:
            return cls()
        with notes.understood(_NOTE):
            fields = json.loads(text)
            gutted = fields["gutted"]
            return cls(
                {os.fsencode(path): bytes.fromhex(digest) for path, digest in fields["blank"].items()},
                {os.fsencode(path): tuple(map(notes.text, reasons)) for path, reasons in fields["broken"].items()},
                (notes.number(gutted[0]), notes.number(gutted[1])) if gutted else None,
            )


class Judge:
    """Judges what is about to be recorded. With *believe_all* nothing is suspicious, but invalid stays invalid."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        validators: Validators | None,
        *,
        believe_all: bool,
        meter: Meter | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._validators = validators
        self._believe_all = believe_all
        self._doubts = Doubts.load(ledger.notes.get(_NOTE))
        self._meter = meter or Meter()

    @property
    def doubts(self) -> dict[str, tuple[str, ...]]:
        """Return by path which files are blank or invalid now, with the reasons."""
        doubts = self._doubts
        blank = {_shown(path): ("is blank",) for path in doubts.blank}
        return {**blank, **{_shown(path): tuple(reasons) for path, reasons in doubts.broken.items()}}

    def verdict(
        self,
        before: Mapping[bytes, Entry],
        changes: Sequence[Change],
        content_of: Callable[[Entry], bytes | None],
        unsettled: Sequence[bytes] = (),
    ) -> Verdict:
        """Return what *changes* of the tree *before* are worth, and remember what stays doubtful, durably.

        *content_of* gives a file's content, or None where it is not at hand.
        """
        invalid, broken = OK, self._doubts.broken
        if self._validators is not None:
            judgement = judge(changes, content_of, self._validators, before=before, broken=broken)
            invalid, broken = judgement.verdict, judgement.broken
            for name in judgement.failed_by:
                self._meter.count("validation_failures_total", validator=name)
        suspicious, doubts = OK, Doubts()
        if not self._believe_all:
            suspicious, doubts = self._suspect(before, changes, content_of, unsettled)
        doubts = replace(doubts, broken=dict(broken))
        if doubts != self._doubts:
            # Before the revision itself: a doubt too many mends itself, one too few is never found.
            self._ledger.note(_NOTE, doubts.dump())
            self._doubts = doubts
        still = OK if self._believe_all else stranger.still(self._ledger, self._clock.now_ns())
        return combined(invalid, suspicious, still)

    def forget(self, paths: Collection[bytes]) -> None:
        """Doubt *paths* no more, durably: they are not of the tree any longer."""
        blank = {path: digest for path, digest in self._doubts.blank.items() if path not in paths}
        broken = {path: reasons for path, reasons in self._doubts.broken.items() if path not in paths}
        doubts = replace(self._doubts, blank=blank, broken=broken)
        if doubts != self._doubts:
            self._ledger.note(_NOTE, doubts.dump())
            self._doubts = doubts

    def _suspect(
        self,
        before: Mapping[bytes, Entry],
        changes: Sequence[Change],
        content_of: Callable[[Entry], bytes | None],
        unsettled: Sequence[bytes],
    ) -> tuple[Verdict, Doubts]:
        old, new = _sides(before, changes)
        blank = {
            change.path: change.entry.hash
            for change in changes
            if change.entry is not None and change.entry.kind is Kind.FILE and _is_blank(content_of(change.entry))
        }
        suspicions = guards.suspicions(old, new, blank=blank, unsettled=unsettled)
        for kind, _ in suspicions:
            self._meter.count("suspicious_changes_total", kind=kind)
        fresh = guards.verdict_of(suspicions)
        became = {path: digest for path, digest in blank.items() if path in before and before[path].size}
        touched = {change.path for change in changes if change.op is not Op.META}
        still = {
            path: digest
            for path, digest in self._doubts.blank.items()
            if (path in blank or path not in touched) and path in (new if path in touched else before)
        }
        gutted, reasons = self._gutted(old, new, before, changes)
        reasons = [f"still blank: {_shown(path)}" for path in sorted(still) if path not in became] + reasons
        doubts = Doubts({**still, **became}, {}, gutted)
        return combined(fresh, Verdict(Status.SUSPICIOUS, tuple(reasons)) if reasons else OK), doubts

    def _gutted(
        self,
        old: Mapping[bytes, Entry],
        new: Mapping[bytes, Entry],
        before: Mapping[bytes, Entry],
        changes: Sequence[Change],
    ) -> tuple[tuple[int, int] | None, list[str]]:
        now_ns, gutted = self._clock.now_ns(), self._doubts.gutted
        if guards.gone(old, new):
            return (guards.count(old), now_ns), []
        if gutted is None or now_ns - gutted[1] > GUTTED_NS:
            return None, []
        came = sum(one.entry is not None and one.path not in before for one in changes)
        went = sum(one.op is Op.DELETE for one in changes)
        if (guards.count(before) + came - went) * 2 >= gutted[0]:
            return None, []
        return gutted, [f"still gutted: {gutted[0]} files were here"]


def _sides(
    before: Mapping[bytes, Entry], changes: Sequence[Change]
) -> tuple[Mapping[bytes, Entry], Mapping[bytes, Entry]]:
    """Return the tree before and after; only the changed paths of it where nothing is deleted."""
    deletes = any(change.op is Op.DELETE for change in changes)
    old = dict(before) if deletes else {one.path: before[one.path] for one in changes if one.path in before}
    new = dict(old)
    apply_to(new, changes)
    return old, new


def _is_blank(content: bytes | None) -> bool:
    return content is not None and guards.is_blank(content)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
