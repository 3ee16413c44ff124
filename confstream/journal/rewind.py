"""Back to an earlier state, all or nothing (P3), and never over what could not be recorded (P1)."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from confstream import checkout, scan
from confstream.clock import Clock
from confstream.errors import NotFoundError, PartialError, RefusedError
from confstream.journal.ledger import Ledger
from confstream.journal.views import Captured, Local, part_of
from confstream.meter import Meter
from confstream.scan import RootGoneError, Selection
from confstream.stamp import Stamp
from confstream.tree import Kind, Tree


def rewind(
    root: Path,
    ledger: Ledger,
    found: Local,
    before: Captured,
    *,
    wanted: bytes | None,
    delete: bool,
    selection: Selection | None,
    clock: Clock,
    expected: Mapping[bytes, Stamp],
) -> None:
    """Bring *root*, or only *wanted*, to the state *found*; *before* is the capture of what is there, *expected* of it.

    Raise ``NotFoundError`` if *found* has no *wanted*, ``PartialError`` and
    ``RefusedError`` where something would be lost.
    """
    current = _on_disk(root, ledger, before, selection)
    target = found.tree if wanted is None else part_of(found.tree, wanted)
    if wanted is not None and not target:
        raise NotFoundError(f"{os.fsdecode(wanted)!r} was not there at {found.label}")
    scope = current if wanted is None else part_of(current, wanted)
    actions = checkout.plan_checkout(scope, target, delete=delete)
    lost = sorted({action.path for action in actions} & {*before.unreadable, *before.unstable})
    if lost:
        raise PartialError(f"{os.fsdecode(lost[0])!r} could not be recorded before; nothing was changed")
    if actions:
        there = {path: stamp for path, stamp in expected.items() if path in current}
        checkout.stage(root, actions, found.content, clock=clock, expected=there)
        checkout.finish(root)


@contextlib.contextmanager
def counted_restore(meter: Meter, clock: Clock) -> Iterator[None]:
    """Count the restore in the block by how it ends, and how long it takes if it succeeds."""
    began = clock.elapsed_seconds()
    try:
        yield
    except BaseException:
        meter.count("restores_total", outcome="failed")
        raise
    meter.count("restores_total", outcome="restored")
    meter.observe("restore_duration_seconds", clock.elapsed_seconds() - began)


def _on_disk(root: Path, ledger: Ledger, captured: Captured, selection: Selection | None) -> Tree:
    """Return what is in the directory, *captured* just now."""
    if not captured.held:
        return Tree(ledger.current.values())
    # What was emptied can be filled again, but what cannot be recorded must not be replaced (P1).
    with contextlib.suppress(RootGoneError, OSError):
        found = scan.load(root, selection, databases=None if scan.tracks_databases(selection) else {})
        if all(entry.kind is Kind.DIRECTORY for entry in found.tree.values()) and not found.unreadable:
            return found.tree
    raise RefusedError(f"what a restore would replace in {root} cannot be recorded: {captured.held}")
