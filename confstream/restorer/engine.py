"""One restore as a whole: what is unfinished first, then what was asked for, and what may end it early."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Any

from confstream import checkout, durable
from confstream.clock import Clock
from confstream.errors import (
    ConfstreamError,
    IntegrityError,
    NoReplicaError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from confstream.history import History
from confstream.presence import Presence
from confstream.restorer import record, resume, target
from confstream.restorer.account import told
from confstream.restorer.attempt import Attempt
from confstream.restorer.job import Job
from confstream.restorer.options import RestoreOptions, RestoreReport
from confstream.values import dataclass


@dataclass(kw_only=True)
class Engine:
    """One restore and all that it needs; used once."""

    replica_url: str
    root: Path
    options: RestoreOptions
    clock: Clock
    storage_options: Mapping[str, Any] | None
    open_store: target.OpenStore | None
    record_before: record.RecordBefore | None
    report: Callable[[str], None]
    checkpoint: Callable[[str], None]
    warnings: list[str] = field(default_factory=list)
    finished_request: list[Any] | None = None

    def run(self, presence: Callable[[], Presence], *, unfinished: bool) -> RestoreReport:
        """Do it. *presence* looks at the tree; *unfinished* says that a marker is there."""
        if unfinished:
            done = self._resume()
            if done is not None and (self.options.dry_run or not self._is_left_to_do(presence)):
                return done
        found = presence()
        job = Job(self.replica_url, self.root, self.options, self.clock, self.record_before, self.warn, self.checkpoint)
        try:
            with self._opened() as history:
                made = Attempt(job, history, presence, self.report).run()
            if made.outcome == "nothing to do" and not self.options.dry_run:
                # An empty tree is a tree: who restores it finds a directory.
                durable.make_directories(self.root, 0o700)
        except (UnavailableError, IntegrityError, NotFoundError, NoReplicaError, RefusedError) as error:
            if not self.options.if_missing or found.missing:
                raise self._explained(error, found) from error
            # P2: a tree that is present never fails a start; it only was not updated.
            self.warn(f"not updated: {error}")
            made = RestoreReport("present", f"the configuration is present: {found.why}")
        return replace(made, warnings=tuple(self.warnings))

    def warn(self, text: str) -> None:
        """Tell *text* now, and in the report."""
        self.warnings.append(text)
        self.report(text)

    def _explained(self, error: ConfstreamError, found: Presence) -> ConfstreamError:
        if not isinstance(error, UnavailableError):
            return error
        if found.missing:
            return type(error)(
                f"{error}; the configuration in {self.root} is missing ({found.why}), and nothing may start without it"
            )
        return type(error)(f"{error}; nothing was changed in {self.root}")

    def _opened(self) -> contextlib.AbstractContextManager[History]:
        return target.opened(
            self.replica_url,
            timeout_seconds=self.options.timeout_seconds,
            clock=self.clock,
            storage_options=self.storage_options,
            open_store=self.open_store,
            report=self.report,
        )

    def _resume(self) -> RestoreReport | None:
        """Finish what is unfinished; ``None`` if it cannot be, and everything is to be replaced anyway."""
        if self.options.force and not self.options.dry_run and resume.discard_damaged(self.root):
            self.warn("the marker of an unfinished restore is damaged; it is removed, because --force was given")
            return None
        marker = checkout.unfinished(self.root)
        if marker is None:
            return None
        resume.check_note(self.root, marker)
        about = RestoreReport(
            "planned",
            "an unfinished restore would be finished",
            replica=str(marker.note.get("replica", "")),
            revision=marker.note.get("revision"),
            hash=marker.note.get("hash", b""),
            time_ns=int(marker.note.get("time_ns", 0)),
            actions=marker.actions,
        )
        if self.options.dry_run:
            return about
        with checkout.exclusive(self.root):
            finished = resume.resume(
                self.root, partial(resume.fetched_again, self._opened), self.report, self.checkpoint
            )
        self.finished_request = marker.note.get("request")
        which = f" of revision {about.revision}" if about.revision else ""
        made = replace(about, outcome="finished", why=f"an unfinished restore{which} was finished")
        self.report(made.why)
        return replace(told(made, finished, self.root, self.warn), warnings=tuple(self.warnings))

    def _is_left_to_do(self, presence: Callable[[], Presence]) -> bool:
        """Return whether something else was asked for than what has just been finished."""
        if self.options.if_missing:
            return presence().missing
        explicit = [self.options.timestamp, self.options.revision, self.options.scope] != [None, None, None]
        return explicit and self.finished_request != self.options.request
