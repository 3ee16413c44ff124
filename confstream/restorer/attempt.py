"""From a replica that answers to a tree that is restored.

Everything is read, verified and staged before anything is recorded, and
recorded before anything is touched (P1, P3, P9). If the tree changes
meanwhile, everything is looked at again.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from confstream import checkout
from confstream.checkout.plan import shown
from confstream.errors import IntegrityError, NotFoundError, RefusedError
from confstream.history import History, Target
from confstream.log.checkout import Checkout
from confstream.log.outlines import outline
from confstream.log.reader import LogReader
from confstream.presence import Presence
from confstream.restorer import doubts, note, record, resume
from confstream.restorer import target as targets
from confstream.restorer.account import explain, told
from confstream.restorer.decide import Replica, Standing, Step, decide
from confstream.restorer.ground import (
    Arrangement,
    Ground,
    Scope,
    arrange,
    look,
    missing_within,
    only_tracked,
    ready_root,
)
from confstream.restorer.job import AgainError, Job
from confstream.restorer.options import RestoreReport
from confstream.scan import STATE_NAME, Selection
from confstream.selection import GENERIC
from confstream.tree import EMPTY, Tree
from confstream.values import dataclass

_T = TypeVar("_T")
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was found at one look, and what follows."""

    ground: Ground
    standing: Standing
    step: Step
    why: str
    steps: Arrangement
    unrecorded: tuple[bytes, ...] = ()
    restored: Mapping[str, Any] | None = None


class Attempt:
    """One restore, with the replica open."""

    def __init__(
        self, job: Job, history: History, presence: Callable[[], Presence], report: Callable[[str], None]
    ) -> None:
        self._job = job
        self._options = job.options
        self._root = job.root
        self._history = history
        self._presence = presence
        self._report = report
        self._selection: Selection = job.options.selection or GENERIC
        self._scope = Scope(job.options.scope)
        self._fetched: Checkout | None = None
        self._fetched_hashes: frozenset[bytes] = frozenset()
        self._is_of_log = True
        self._recorded = ""
        self._recorded_tree = b""
        self._known_as: dict[frozenset[bytes], int] = {}
        self._matched = 0

    def run(self) -> RestoreReport:
        """Do what the table of the design says."""
        with targets.telling_silence(self._history.url, self._job.clock, self._report):
            replica = targets.state_of(self._history)
        if replica is not Replica.REVISIONS:
            return self._without_revisions(replica)
        try:
            targets.foresee(self._history, self._options, index_only=not self._presence().missing)
            target = targets.resolve(self._history, self._options)
            about = self._announced(target)
            return self._settle(target, about)
        finally:
            self._history.reader.drop()
            if self._fetched is not None:
                self._fetched.close()

    def _settle(self, target: Target, about: RestoreReport) -> RestoreReport:
        for attempt in range(1, _ATTEMPTS + 1):
            plan = self._plan(target)
            if plan.step in {Step.PRESENT, Step.NOTHING} or (not plan.steps.actions and plan.step is not Step.REFUSE):
                return self._nothing(target, plan, about)
            about = replace(about, actions=plan.steps.actions, kept=len(plan.steps.kept))
            if self._options.dry_run:
                from confstream.restorer import preview  # noqa: PLC0415 - only for who wants to see it

                self._warn(target, plan)
                content = self._contents(target, plan).content
                shown = tuple(preview.diffs(self._root, plan.ground, plan.steps, content))
                return replace(about, outcome="planned", why=plan.why, diff=shown)
            if plan.step is Step.REFUSE:
                raise RefusedError(f"{self._root}: {plan.why}; nothing was changed")
            try:
                return self._carry_out(target, plan, about)
            except AgainError as error:
                if attempt == _ATTEMPTS:
                    raise RefusedError(
                        f"{self._root}: {error} while the restore was prepared, {attempt} times; nothing was changed. "
                        "Stop what does that, and restore again"
                    ) from error
                if not error.ours:
                    self._report(f"{error} while the restore was prepared; looking again")
        raise AssertionError("the last attempt returns or raises")

    def _without_revisions(self, replica: Replica) -> RestoreReport:
        found = self._presence()
        standing = Standing.MISSING if found.missing else Standing.UNKNOWN
        step = decide(
            standing,
            replica,
            if_missing=self._options.if_missing,
            if_replica_exists=self._options.if_replica_exists,
        )
        url = self._history.url
        if step is Step.PRESENT:
            self._job.warn(f"not updated: there is no replica at {url}")
            return RestoreReport("present", f"the configuration is present: {found.why}", replica=url)
        if step is Step.FIRST_START:
            why = f"first start: the storage answered, and there is no revision at {url}"
            self._report(why)
            return RestoreReport("first start", why, replica=url)
        raise targets.absent(self._history)

    def _announced(self, target: Target) -> RestoreReport:
        """Say what was chosen, and what speaks against it, before anything happens (P8)."""
        self._report(targets.describe(target, self._history.url))
        skipped = targets.skipped(target)
        for one in skipped:
            self._report(str(one))
        for warning in (
            *targets.doubts(target.entry),
            *targets.silence_of_writers(self._history, self._job.clock.now_ns()),
        ):
            self._job.warn(warning)
        made = target.entry
        return RestoreReport("restored", "", self._history.url, made.number, made.hash, made.time_ns, skipped=skipped)

    def _plan(self, target: Target) -> _Plan:
        tree = self._tree(target)
        ground = look(self._root, self._selection, tree)
        standing = self._standing(ground, tree, target)
        step = decide(
            standing,
            Replica.REVISIONS,
            if_missing=self._options.if_missing,
            force=self._options.force,
            fast_forward=self._options.fast_forward,
        )
        steps = Arrangement((), ground.tree, ())
        if step not in {Step.PRESENT, Step.NOTHING}:
            # What is in the way of a refused restore is shown by a dry run as --force would do it.
            steps = arrange(
                ground,
                tree,
                self._scope,
                fill=step is Step.FILL,
                delete=self._options.delete or step is Step.UPDATE,
                owner=self._options.owner,
            )
            self._check_path(tree, steps, target)
        where = "the tree" if self._scope.path is None else os.fsdecode(self._scope.path)
        why = explain(
            standing, step, where, targets.name_of(target), matched=self._matched, presence=self._presence().why
        )
        if not steps.actions or step is Step.REFUSE or self._options.dry_run:
            return _Plan(ground, standing, step, why, steps)
        return self._with_records(_Plan(ground, standing, step, why, steps), target)

    def _with_records(self, plan: _Plan, target: Target) -> _Plan:
        """Return *plan* with what has to be recorded before, and what to tell the next writer after."""
        unrecorded: tuple[bytes, ...] = ()
        if plan.step is Step.OVERWRITE and plan.standing not in {Standing.OLDER, Standing.NEWER}:
            unrecorded = record.unrecorded(plan.steps.replaced(plan.ground), plan.ground.tree, self._head_tree())
        result = plan.steps.result
        restored = None
        head = self._head_digest()
        if unrecorded or (head != result.digest and head != only_tracked(result, self._selection).digest):
            restored = note.restored(target.entry, self._job.clock.now_ns(), self._options.actor, self._scope.path)
        return replace(plan, unrecorded=unrecorded, restored=restored)

    def _standing(self, ground: Ground, tree: Tree, target: Target) -> Standing:
        in_the_way = self._options.force and any(map(self._scope.covers, ground.filled))
        if missing_within(self._root, (), self._selection, self._scope).missing and not in_the_way:
            return Standing.MISSING
        gutted = self._presence().missing
        if self._same(ground, tree) and not (gutted and self._options.if_missing):
            return Standing.EQUAL
        if gutted:
            return Standing.GUTTED
        if ground.unread:
            return Standing.UNKNOWN
        digests = frozenset({ground.tree.digest, ground.tracked.digest})
        if digests not in self._known_as:
            self._known_as[digests] = targets.recorded_as(self._history, digests)
        self._matched = self._known_as[digests]
        if self._matched == 0:
            return Standing.UNKNOWN
        # What is in the log is nothing that a fork's revision brings up to date.
        is_older = self._matched < target.number and target.entry.fork is None
        return Standing.OLDER if is_older else Standing.NEWER

    def _same(self, ground: Ground, tree: Tree) -> bool:
        if any(self._scope.covers(path) for path in ground.unread):
            return False
        one, other = (
            {path: (entry.kind, entry.mode, entry.hash) for path, entry in side.items() if self._scope.covers(path)}
            for side in (ground.tree, tree)
        )
        return one == other

    def _check_path(self, tree: Tree, steps: Arrangement, target: Target) -> None:
        if self._scope.path is None or any(map(self._scope.covers, tree)) or steps.removed:
            return
        raise NotFoundError(f"revision {target.number} has no {os.fsdecode(self._scope.path)}; see what it has with ls")

    def _nothing(self, target: Target, plan: _Plan, about: RestoreReport) -> RestoreReport:
        if plan.step is Step.PRESENT:
            return replace(about, outcome="present", why=f"the configuration is present: {self._presence().why}")
        kept = plan.steps.kept
        why = f"nothing to do: the tree already has all of revision {about.revision}"
        if kept:
            why = f"nothing to do: {len(kept)} files differ from revision {about.revision} and are kept"
        elif plan.standing is Standing.MISSING:
            why = f"nothing to do: revision {about.revision} holds no more than what is there"
        self._warn(target, plan)
        return replace(about, outcome="nothing to do", why=why, kept=len(kept))

    def _carry_out(self, target: Target, plan: _Plan, about: RestoreReport) -> RestoreReport:
        content = self._contents(target, plan).content
        for path in plan.steps.removed:
            self._report(f"deletes {shown(path)}")
        made = target.entry
        stored = {
            "replica": self._history.url,
            "revision": made.number,
            "fork": made.fork and made.fork.name,
            "hash": made.hash,
            "time_ns": made.time_ns,
            "request": self._options.request,
            "restored": None if plan.restored is None else dict(plan.restored),
        }

        def reached(step: str) -> None:
            self._job.checkpoint(step)
            if step == "write the marker":
                # Everything is staged and verified, and nothing is touched: the moment to record, and to look again.
                self._before_switch(plan)

        with ready_root(self._root):
            paths = [action.path for action in plan.steps.actions]
            try:
                staged = checkout.stage(
                    self._root,
                    plan.steps.actions,
                    content,
                    clock=self._job.clock,
                    note=stored,
                    expected=plan.ground.stamps,
                    checkpoint=reached,
                )
            except RefusedError as error:
                moved = plan.ground.moved(self._root, paths)
                if moved is None:
                    raise
                raise AgainError(f"{shown(moved)} changed") from error
            finished = resume.resume(
                self._root,
                lambda _marker, lost: ((entry, content(entry.hash)) for entry in lost),
                self._report,
                self._job.checkpoint,
                staged,
            )
        self._warn(target, plan)
        report = replace(about, why=plan.why, recorded=self._recorded)
        return told(report, finished, self._root, self._job.warn)

    def _before_switch(self, plan: _Plan) -> None:
        records = plan.unrecorded and plan.ground.tree.digest != self._recorded_tree
        if records:
            self._recorded = self._record(plan)
            self._recorded_tree = plan.ground.tree.digest
            self._report(self._recorded)
        if not (self._root / ".confstream" / "staging").is_dir():
            # A journal that is opened takes what is staged without a marker for garbage.
            raise AgainError("what was staged was removed", ours=bool(records))
        moved = plan.ground.moved(self._root, (action.path for action in plan.steps.actions))
        if moved is not None:
            raise AgainError(f"{shown(moved)} changed")

    def _record(self, plan: _Plan) -> str:
        state_dir = self._options.state_dir or self._root / ".confstream"
        if record.is_locked(state_dir):
            return record.wait_until_published(
                self._history,
                plan.unrecorded,
                plan.ground.tree,
                state_dir,
                clock=self._job.clock,
                timeout_seconds=self._options.timeout_seconds,
            )
        if self._job.record_before is None:
            raise RefusedError(
                f"{self._root}: {os.fsdecode(plan.unrecorded[0])} is in no revision, and there is no journal to record "
                "it in; nothing was changed"
            )
        return self._job.record_before(self._root, self._job.replica_url, f"before a restore: {plan.why}")

    def _tree(self, target: Target) -> Tree:
        """Return the target's tree; with contents where everything will be needed anyway."""
        if self._fetched is None:
            if self._presence().missing:
                self._fetch(target, self._scope.covers)
            else:
                self._fetch(target, None)
        assert self._fetched is not None  # noqa: S101 - just fetched
        return self._fetched.tree

    def _contents(self, target: Target, plan: _Plan) -> Checkout:
        """Return a checkout that has every content that *plan* needs."""
        needed = plan.steps.needed
        if not needed <= self._fetched_hashes:
            tree = self._tree(target)
            self._fetch(target, lambda path: tree[path].hash in needed)
        assert self._fetched is not None  # noqa: S101 - just fetched
        return self._fetched

    def _fetch(self, target: Target, wanted: Callable[[bytes], bool] | None) -> None:
        if self._fetched is not None:
            self._fetched.close()
        found = self._history.checkout(target, wanted, index_only=wanted is None)
        if found.position.hash != target.entry.hash:
            raise IntegrityError(
                f"{self._history.url}: revision {target.number} is not the one that the log has; run verify"
            )
        hostile = next((path for path in found.tree if path.partition(b"/")[0].lower() == STATE_NAME), None)
        if hostile is not None:
            found.close()
            raise IntegrityError(
                f"{self._history.url}: revision {target.number} holds {shown(hostile)}, where confstream keeps its own "
                "state; nothing was changed. Restore another revision"
            )
        self._fetched, self._is_of_log = found, target.entry.fork is None
        self._fetched_hashes = frozenset(
            one.hash for one in found.tree.files if wanted is not None and wanted(one.path)
        )

    def _head_digest(self) -> bytes:
        """Return the hash of the newest tree, by its record alone; of an empty one if even that is damaged."""
        return self._of_head(lambda reader, head: outline(reader, head).revision.tree_hash, EMPTY.digest)

    def _head_tree(self) -> Tree:
        """Return the newest tree; an empty one if it cannot be read, which is no reason not to restore another (P8)."""
        fetched, head = self._fetched, self._history.reader.head()
        if fetched is not None and self._is_of_log and fetched.position.number == head:
            return fetched.tree
        return self._of_head(lambda reader, head: reader.checkout(head, index_only=True).tree, EMPTY)

    def _of_head(self, ask: Callable[[LogReader, int], _T], otherwise: _T) -> _T:
        reader = self._history.reader
        try:
            return ask(reader, reader.head())
        except IntegrityError as error:
            self._job.warn(f"the newest revision is damaged: {error}; run verify")
        return otherwise

    def _warn(self, target: Target, plan: _Plan) -> None:
        """Tell what speaks against the result, although it was asked for."""
        steps, name = plan.steps, targets.name_of(target)
        for doubt in doubts.of_guards(self._options.guards, steps.result, self._scope):
            self._job.warn(doubt)
        for doubt in doubts.of_groups(self._options.groups, steps.actions, steps.result, self._tree(target), name):
            self._job.warn(doubt)
