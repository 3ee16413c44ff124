"""What a restore says: why it does what it does, and what it could not do."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from confstream.checkout import Finished
from confstream.restorer.decide import Standing, Step
from confstream.restorer.options import RestoreReport

_NAMED_MAX = 5


def explain(standing: Standing, step: Step, where: str, name: str, *, matched: int, presence: str) -> str:
    """Return in one line why *step* is taken for *where*, of *standing*, when revision *name* is the target.

    *matched* is the revision that the tree is, *presence* why it is missing.
    """
    newer = f"newer than revision {name}; --force goes back to that"
    if not name.isdigit():
        newer = f"and revision {name} is no part of the log; --force restores it all the same"
    by_step = {
        Step.FILL: f"the configuration is missing: {presence}",
        Step.UPDATE: f"{where} is an unmodified revision {matched}, and is brought to revision {name}",
        Step.OVERWRITE: f"{where} is replaced by revision {name}, as --force says",
    }
    by_standing = {
        Standing.GUTTED: f"{presence}, and other files are present; --if-missing fills it in, --force replaces them",
        Standing.OLDER: f"{where} is revision {matched}; --fast-forward brings it to revision {name}, --force too",
        Standing.NEWER: f"{where} is revision {matched}, {newer}",
    }
    unknown = f"{where} holds what is in no revision; --force records it, then restores revision {name}"
    return by_step.get(step) or by_standing.get(standing, unknown)


def told(report: RestoreReport, finished: Finished, root: Path, warn: Callable[[str], None]) -> RestoreReport:
    """Return *report* with what was done, after telling what could not be done."""
    for paths, what in (
        (finished.not_owned, "could not be given to the recorded owner (run as root, or give --no-owner)"),
        (finished.not_moded, "could not be given the recorded mode"),
        (finished.left, "should be gone, but holds what is not tracked"),
    ):
        if paths:
            warn(f"{_named(paths)} {what}")
    return replace(
        report,
        written=finished.written,
        removed=finished.removed,
        not_owned=len(finished.not_owned),
        aside=None if finished.aside is None else root / os.fsdecode(finished.aside),
    )


def _named(paths: tuple[bytes, ...]) -> str:
    named = ", ".join(os.fsdecode(path) for path in paths[:_NAMED_MAX])
    return f"{named} and {len(paths) - _NAMED_MAX} more" if len(paths) > _NAMED_MAX else named
