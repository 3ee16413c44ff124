"""Everything that somebody who helps would ask, each with what was found and what to do.

Nothing is changed, neither here nor on the replica, but for the objects that
prove exclusive creation, which are removed again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confstream.check import Check, Level, worst
from confstream.clock import Clock, SystemClock
from confstream.doctor import ground, modules, surroundings
from confstream.doctor.distance import Distance
from confstream.doctor.ground import Ground
from confstream.doctor.looking import look, skipped, wrong
from confstream.doctor.notebook import Notebook
from confstream.doctor.rehearsal import round_trip, s3_client
from confstream.errors import ConfstreamError
from confstream.journal.peek import Glance
from confstream.store.local import LocalStore
from confstream.store.open import open_store
from confstream.tracking import TrackOptions

__all__ = ["Diagnosis", "diagnose", "self_test"]

_STATE_DIRECTORY = ".confstream"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, in the order in which it was looked for."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing failed; warnings are for a person to weigh."""
        return worst(self.checks) is None

    @property
    def error(self) -> ConfstreamError | None:
        """Return the error that the worst failure comes to, None without one."""
        failure = worst(self.checks)
        if failure is None:
            return None
        failed = sum(check.level is Level.FAIL for check in self.checks)
        more = f" (and {failed - 1} more)" if failed > 1 else ""
        return failure.error(f"not well: {failure}{more}")

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form that ``doctor --json`` prints."""
        return {"ok": self.ok, "checks": [check.as_json() for check in self.checks]}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: *tree* and *replica* may be left out, then nothing is said of them.

    *environment* are the variables of the process, which the library does not read by itself.
    """

    tree: Path | None = None
    replica: str = ""
    state_dir: Path | None = None
    tracked: TrackOptions | None = None
    storage_options: Mapping[str, Any] | None = None
    environment: Mapping[str, str] | None = None
    timeout_seconds: float = 30.0

    @property
    def journal(self) -> Path | None:
        """Return where the journal is or will be, if that can be told."""
        return self.state_dir or (self.tree / _STATE_DIRECTORY if self.tree is not None else None)


def diagnose(
    tree: str | Path | None = None,
    replica: str = "",
    *,
    state_dir: str | Path | None = None,
    tracked: TrackOptions | None = None,
    storage_options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
    clock: Clock | None = None,
    tell: Callable[[Check], None] | None = None,
) -> Diagnosis:
    """Return how everything about protecting *tree* with *replica* is, each of which may be left out.

    *environment* are the process's variables, judged and never shown. *tell*
    hears of every check as soon as it is done. Never raises for what it finds.
    """
    subject = Subject(
        Path(tree).absolute() if tree is not None else None,
        replica,
        Path(state_dir).absolute() if state_dir is not None else None,
        tracked,
        storage_options,
        environment,
        timeout_seconds,
    )
    return _collected(_all(subject, clock or SystemClock()), tell)


def self_test(*, clock: Clock | None = None, tell: Callable[[Check], None] | None = None) -> Diagnosis:
    """Return whether this installation works by itself: modules, validators, a round trip in a temporary directory.

    Needs no network, no home and no writable place but the temporary directory.
    """
    return _collected(_rehearsed(clock or SystemClock()), tell)


def _collected(checks: Iterator[Check], tell: Callable[[Check], None] | None) -> Diagnosis:
    found = []
    for check in checks:
        found.append(check)
        if tell is not None:
            tell(check)
    return Diagnosis(tuple(found))


def _rehearsed(clock: Clock) -> Iterator[Check]:
    yield from look("program", modules.program)
    yield from look("modules", lambda: modules.modules(ConfstreamError))
    yield from look("validators", lambda: modules.validators(error=ConfstreamError))
    for name, one in (("round trip", lambda: round_trip(clock)), ("S3 client", s3_client)):
        yield from (_as_failure(check) for check in look(name, one))


def _as_failure(check: Check) -> Check:
    """Return *check* as what it means for an installation: it works, or it does not."""
    return Check(check.name, check.level, check.found, check.advice, ConfstreamError)


def _all(subject: Subject, clock: Clock) -> Iterator[Check]:
    environment = subject.environment or {}
    yield from look("program", modules.program)
    yield from look("modules", modules.modules)
    yield from look("module yaml", lambda: list(modules.parsers()))
    if subject.tree is None:
        yield from look("validators", modules.validators)
    yield from look("user", lambda: surroundings.user(environment))
    yield from look("root file system", surroundings.root)
    yield from look("variables", lambda: surroundings.variables(environment))
    yield from look("proxies", lambda: surroundings.proxies(environment))
    notebook = None
    if subject.tree is not None:
        yield from _of_tree(subject, subject.tree)
    if (state_dir := subject.journal) is not None:
        notebook = Notebook(state_dir, clock)
        yield from look("state directory", notebook.directory)
        yield from look("journal", notebook.journal)
        yield from look("room for the journal", lambda: ground.room("journal", state_dir))
    if subject.replica:
        yield from _of_replica(subject, clock, None if notebook is None else notebook.glance)


def _of_tree(subject: Subject, tree: Path) -> Iterator[Check]:
    here = Ground(tree, subject.tracked, subject.state_dir)
    if tree.is_dir():
        yield from look("profile", here.profile)
        yield from look("validators", lambda: modules.validators(here.validators))
    for check in look("tree", here.tree):
        yield check
        if check.level is Level.FAIL:
            return
    yield from look("files", here.files)
    yield from look("places", lambda: here.places(subject.replica)) if subject.replica else ()
    yield from look("configuration", here.configuration)
    yield from look("writing", here.restoring)
    yield from look("watching", here.watching)
    yield from look("room for the tree", lambda: ground.room("tree", tree))


def _of_replica(subject: Subject, clock: Clock, journal: Glance | None) -> Iterator[Check]:
    try:
        store = open_store(
            subject.replica,
            storage_options=dict(subject.storage_options or {}),
            timeout_seconds=subject.timeout_seconds,
            clock=clock,
        )
    except ConfstreamError as error:
        yield wrong("replica", str(error), "correct the URL or the options", type(error))
        return
    with closing(store):
        there = Distance(store, clock, subject.storage_options or {})
        yield from look("credentials", there.credentials)
        yield from look("replica", there.replica)
        yield from look("clock", there.clock) if there.has_answered else ()
        if isinstance(store, LocalStore):
            yield from look("room for the replica", lambda: ground.room("replica", Path(store.url)))
        if not there.is_reached:
            for name in ("exclusive creation", "identity", "newest revision", "heartbeat", "forks", "agreement"):
                yield skipped(name, "the replica does not answer")
            return
        yield from look("exclusive creation", there.fitness)
        if there.is_there:
            yield from look("identity", lambda: there.identity(journal))
            yield from look("newest revision", there.newest)
            yield from look("heartbeat", there.heartbeat)
            yield from look("forks", there.forks)
            yield from look("agreement", lambda: there.agreement(journal))
