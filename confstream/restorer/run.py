"""``restore`` and ``read_one``, and the short way out: present means done, with nothing imported (P2)."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confstream import moments
from confstream.clock import Clock, SystemClock
from confstream.errors import UsageError
from confstream.presence import Presence, is_missing
from confstream.restorer.options import RestoreOptions, RestoreReport

if TYPE_CHECKING:
    from confstream.restorer.record import RecordBefore
    from confstream.restorer.target import OpenStore

_MARKER = ".confstream/restoring"


def restore(
    replica_url: str,
    root: Path,
    options: RestoreOptions | None = None,
    *,
    clock: Clock | None = None,
    storage_options: Mapping[str, Any] | None = None,
    open_store: "OpenStore | None" = None,
    record_before: "RecordBefore | None" = None,
    report: Callable[[str], None] = lambda _line: None,
    checkpoint: Callable[[str], None] = lambda _step: None,
) -> RestoreReport:
    """Bring the directory *root* to the state that the replica at *replica_url* had, as far as *options* allow.

    *record_before* is called with root, URL and a message before anything is
    replaced that the log does not hold, and returns where it is now; without,
    that is refused. *report* is given lines for a person while it runs,
    *checkpoint* the name of each step on the disk. Raise ``RefusedError``
    where local data would be lost, ``NotFoundError``, ``NoReplicaError``,
    ``IntegrityError`` and ``UnavailableError`` with the tree unchanged, and
    ``PartialError`` if the system stops the switch half-way: the next call ends it.
    """
    options, clock = options or RestoreOptions(), clock or SystemClock()
    _check(options, clock)
    presence = None
    if not os.path.lexists(os.fspath(root) + "/" + _MARKER):
        presence = is_present(root, options)
        if options.if_missing and not presence.missing and not options.fast_forward:
            return RestoreReport("present", f"the configuration is present: {presence.why}; nothing was contacted")
    from confstream.restorer.engine import Engine  # noqa: PLC0415 - P2: a present tree needs none of this

    engine = Engine(
        replica_url=replica_url,
        root=root,
        options=options,
        clock=clock,
        storage_options=storage_options,
        open_store=open_store,
        record_before=record_before,
        report=report,
        checkpoint=checkpoint,
    )
    return engine.run(lambda: is_present(root, options), unfinished=presence is None)


def read_one(
    replica_url: str,
    path: str | bytes,
    options: RestoreOptions | None = None,
    *,
    clock: Clock | None = None,
    storage_options: Mapping[str, Any] | None = None,
    open_store: "OpenStore | None" = None,
    report: Callable[[str], None] = lambda _line: None,
) -> bytes:
    """Return the content of the file *path* as the revision that *options* name has it; a symlink's target.

    No directory is looked at. *report* is told the revision and what was
    skipped. Raise ``NotFoundError`` if there is no such file.
    """
    options, clock = options or RestoreOptions(), clock or SystemClock()
    _check(options, clock)
    wanted = RestoreOptions(path=path).scope
    if wanted is None:
        raise UsageError(f"{os.fsdecode(path)!r} names no file; give the path of one, relative to the tree")
    from confstream.restorer import target as targets  # noqa: PLC0415 - as above
    from confstream.restorer.decide import Replica  # noqa: PLC0415 - as above

    with targets.opened(
        replica_url,
        timeout_seconds=options.timeout_seconds,
        clock=clock,
        storage_options=storage_options,
        open_store=open_store,
        report=report,
    ) as history:
        with targets.telling_silence(history.url, clock, report):
            replica = targets.state_of(history)
        if replica is Replica.ABSENT:
            raise targets.absent(history)
        target = targets.resolve(history, options)
        report(targets.describe(target, history.url))
        for one in targets.skipped(target):
            report(str(one))
        return history.read(wanted, target)


def is_present(root: Path, options: RestoreOptions) -> Presence:
    """Return whether what is to be restored is missing: by P2, and within the path if there is one."""
    if options.scope is None:
        return is_missing(root, options.guards_in(root), options.selection)
    from confstream.restorer.ground import Scope, missing_within  # noqa: PLC0415 - only with a path

    return missing_within(root, options.guards_in(root), options.selection, Scope(options.scope))


def _check(options: RestoreOptions, clock: Clock) -> None:
    """Refuse what cannot be meant before anything is looked at."""
    if options.timestamp is not None:
        moments.parse_time(options.timestamp, clock.now_ns())
    if options.revision is not None:
        moments.parse_revision(options.revision)
