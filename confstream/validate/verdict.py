"""From changes to a verdict: what the contents of a revision are worth.

Pure, given contents and validators. A file that *became* invalid stays in the
verdict of every later revision until it is mended: otherwise the next change of
any other file would make the newest good revision one with the broken file (P10).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from confstream.guards import REASONS_MAX
from confstream.revision import OK, Status, Verdict
from confstream.tree import Change, Entry, Kind
from confstream.validate.finding import findings_to_reasons
from confstream.validate.rules import Validators

_RANK = {Status.INVALID: 2, Status.SUSPICIOUS: 1, Status.OK: 0}
_NOTHING: Mapping[bytes, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A *verdict*, by path which files are *broken* from now on, and which were *unchecked*, with the reasons.

    *failed_by* names, for every file with findings, the validators that had them.
    """

    verdict: Verdict = OK
    broken: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    unchecked: Mapping[bytes, str] = field(default_factory=dict)
    failed_by: tuple[str, ...] = ()


def judge(
    changes: Iterable[Change],
    content_of: Callable[[Entry], bytes | None],
    validators: Validators,
    *,
    before: Mapping[bytes, Entry] | None = None,
    broken: Mapping[bytes, tuple[str, ...]] = _NOTHING,
) -> Judgement:
    """Return what *validators* say about the files that *changes* put, and about those still *broken*.

    *content_of* gives a file's content, or None where it is not at hand:
    then it is unchecked. *before* is the tree that was changed: a file is
    broken only if it was valid there. One that never was, a template say,
    makes its own revisions invalid and no other's.
    """
    still, unchecked = dict(broken), dict[bytes, str]()
    reasons: list[str] = []
    failed_by: list[str] = []
    for change in changes:
        entry = change.entry
        if entry is None:
            # Deleting mends; a change of mode or owner leaves the content as it is.
            if change.meta is None:
                still.pop(change.path, None)
            continue
        was_broken = still.pop(change.path, None) is not None
        if entry.kind is not Kind.FILE:
            continue
        content = content_of(entry)
        if content is None:
            unchecked[change.path] = "its content is not at hand"
            continue
        outcome = validators.check(change.path, content)
        if outcome.unchecked:
            unchecked[change.path] = "; ".join(f"{name}: {why}" for name, why in sorted(outcome.unchecked.items()))
        failed_by += outcome.failed_by
        if outcome.findings:
            found = findings_to_reasons(change.path, outcome.findings)
            reasons += found
            if was_broken or _was_valid(change.path, before, content_of, validators):
                still[change.path] = found
    news = set(reasons)
    reasons += [f"still invalid: {one}" for path in sorted(still) for one in still[path] if one not in news]
    verdict = Verdict(Status.INVALID, bounded(reasons)) if reasons else OK
    return Judgement(verdict, still, unchecked, tuple(failed_by))


def combined(*verdicts: Verdict) -> Verdict:
    """Return the worst status of *verdicts* with the reasons of all, the worst first."""
    if all(verdict is OK for verdict in verdicts):
        return OK
    ordered = sorted(verdicts, key=lambda verdict: -_RANK[verdict.status])
    reasons = dict.fromkeys(reason for verdict in ordered for reason in verdict.reasons)
    return Verdict(ordered[0].status, bounded(reasons)) if ordered else OK


def bounded(reasons: Iterable[str]) -> tuple[str, ...]:
    """Return the first ``REASONS_MAX`` of *reasons*, and how many more there are."""
    listed = tuple(reasons)
    more = len(listed) - REASONS_MAX
    return (*listed[:REASONS_MAX], f"and {more} more") if more > 0 else listed


def _was_valid(
    path: bytes,
    before: Mapping[bytes, Entry] | None,
    content_of: Callable[[Entry], bytes | None],
    validators: Validators,
) -> bool:
    entry = (before or {}).get(path)
    content = content_of(entry) if entry is not None and entry.kind is Kind.FILE else None
    if content is None:
        return False
    outcome = validators.check(path, content)
    return bool(outcome.checked_by) and not outcome.findings
