"""The one log line of a revision that the replica holds: what changed, and what speaks against it.

It is said when everything else is done: nothing waits for it, and what it cannot
find out it leaves out.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confstream.events import about
from confstream.revision import Revision, Status, Verdict
from confstream.tree import Entry, Kind, Op

logger = logging.getLogger("confstream.uplink")

_REASONS_MAX = 3
_STILL = "still "
"""How a reason begins that an earlier revision gave."""


@dataclass(frozen=True, slots=True)
class Before:
    """The end of the log as it was before a revision: its tree, and what was found out about it."""

    tree: Mapping[bytes, Entry]
    verdict: Verdict


def announce(
    revision: Revision,
    before: Before,
    contents: Callable[[bytes], bytes | None],
    duration_seconds: float,
    *,
    in_brief: bool = False,
) -> None:
    """Log *revision*, which came after *before*; *contents* gives what is at hand by hash.

    *in_brief* it names files only. A doubt is a warning once; while it lasts, what has nothing to do with it is none.
    """
    verdict = revision.verdict
    still = verdict.reasons and all(reason.startswith(_STILL) for reason in verdict.reasons)
    is_news = verdict.status is not Status.OK and not still
    level = logging.WARNING if is_news else logging.INFO
    if not logger.isEnabledFor(level):
        return
    source = revision.authorship.source
    files = [change for change in revision.changes if change.entry is None or change.entry.kind is not Kind.DIRECTORY]
    said = about(
        "revision_published",
        position=revision.number,
        source=source,
        path=files[0].path if len(files) == 1 else None,
        files=len(files),
        deleted=sum(change.op is Op.DELETE for change in files),
        verdict=verdict.status.value,
        reasons=verdict.reasons or None,
        duration_s=duration_seconds,
    )
    words = _summary(revision) if in_brief else _words(revision, before, contents)
    doubt = _doubt(verdict, before.verdict)
    logger.log(level, "revision %d%s: %s (%s)", revision.number, doubt, words, source, extra=said)


def _doubt(verdict: Verdict, before: Verdict) -> str:
    if verdict.status is Status.OK:
        return "" if before.status is Status.OK else " is ok again"
    reasons = [*verdict.reasons[:_REASONS_MAX]]
    if len(verdict.reasons) > _REASONS_MAX:
        reasons.append(f"and {len(verdict.reasons) - _REASONS_MAX} more")
    return f" is {verdict.status.value} ({'; '.join(reasons) or 'no reason given'})"


def _words(revision: Revision, before: Before, contents: Callable[[bytes], bytes | None]) -> str:
    try:
        # An idle writer never needs any of these.
        from confstream.profiles.profile import secrets_in  # noqa: PLC0415
        from confstream.words import revision_words  # noqa: PLC0415

        return revision_words(revision.changes, before.tree, contents, secrets_in)
    except Exception:  # noqa: BLE001 - P6: what is said about a file stops nothing; a module may be missing
        return _summary(revision)


def _summary(revision: Revision) -> str:
    from confstream.naming import summary  # noqa: PLC0415 - likewise

    return summary(revision.changes)
