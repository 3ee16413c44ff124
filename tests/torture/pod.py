"""A pod as the torture knows it: one directory, one replica, and a process that is killed and started again.

What its processes said is kept, and what the replica held is compared with
what it held before: a revision that was seen there never goes or changes.
"""

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from confstream import History, IntegrityError, NoReplicaError, NotFoundError, SystemClock, open_store, peek, verify
from confstream.journal.peek import Glance
from confstream.log.reader import LogReader
from confstream.tree import Kind, Tree
from tests.processes import Finished, Process, confstream
from tests.proxy import Rule, Seen, error_body
from tests.servers import S3Server, wait_until
from tests.torture.editing import Look, difference

PATIENCE_SECONDS = 120.0
QUICK = (
    "--profile", "none", "--settle", "0.1s", "--scan-interval", "1s", "--heartbeat", "3s", "--timeout", "2s",
    "--shutdown-timeout", "60s", "--log-format", "json",
)  # fmt: skip
_CLOCK = SystemClock()
_UNAVAILABLE = 16
_SHOWN = 4000


class Pod:
    """A directory *tree* that is replicated to *url* by one process at a time. Use it in a ``with``."""

    def __init__(self, tree: Path, server: S3Server, endpoint: str, *options: str) -> None:
        self.tree = tree
        self.server = server
        self.url = server.make_replica()
        self.kills = 0
        self.exits: Counter[int] = Counter()
        self.write_ids: set[bytes] = set()
        """Of all drafts that were found in the journal of a process that was killed."""
        self.is_reachable = True
        """Whether the storage can be asked behind the back of the process; comparing waits until it can."""
        self._acknowledged = 0
        self._environment = {**server.env, "AWS_ENDPOINT_URL": endpoint}
        self._options = options
        self._process: Process | None = None
        self._seen: dict[int, bytes] = {}
        self._history = History.open(self.url, storage_options=server.quick_options, timeout_seconds=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
            if kind is not None:
                print(self._process.so_far.stderr[-_SHOWN:], file=sys.stderr)  # noqa: T201 - what a failure is about.
        self._history.close()

    def start(self) -> None:
        """Start the process, without waiting for anything."""
        self._process = confstream(
            "replicate", self.tree, self.url, *QUICK, *self._options, environment=self._environment
        )

    def watching(self) -> None:
        """Wait until it watches."""
        assert self._process is not None
        self._process.wait_for_line('"watching"', seconds=PATIENCE_SECONDS)

    def keep_alive(self) -> None:
        """Start the process again if it ended because the storage did not answer; nothing else is a reason to end."""
        assert self._process is not None
        if not self._process.is_running:
            ended = self._process.finish()
            self._told(ended)
            assert ended.code == _UNAVAILABLE, f"it ended by itself: {ended}"
            self.exits[ended.code] += 1
            self.start()

    def kill(self) -> None:
        """Kill the process at this moment; see what its journal holds, and the replica."""
        assert self._process is not None
        self._process.kill()
        self.kills += 1
        self._told(self._process.finish())
        glance = self.glance()
        if glance is not None:
            self.write_ids.update(draft.write_id for draft in glance.pending)
        self.compare()

    def stop(self) -> Finished:
        """Ask it to end; return how it did."""
        assert self._process is not None
        ended = self._process.stop(PATIENCE_SECONDS)
        self._told(ended)
        self.compare()
        return ended

    def glance(self) -> Glance | None:
        """Return what the journal holds; None if it is just being changed, or not there yet."""
        try:
            return peek(self.tree / ".confstream")
        except (IntegrityError, NotFoundError, FileNotFoundError):
            return None

    def wait_captured(self, state: Look) -> None:
        """Return once the journal has just *state*, which the directory must keep meanwhile."""
        shown = [""]

        def has_it() -> bool:
            self.keep_alive()
            glance = self.glance()
            shown[0] = difference(state, look_of(glance.current)) if glance is not None else "no journal"
            return not shown[0]

        try:
            wait_until(has_it, PATIENCE_SECONDS, "the journal to have what the directory has")
        except BaseException:
            print(shown[0], file=sys.stderr)  # noqa: T201 - what a failure is about.
            raise

    def wait_replicated(self, state: Look) -> None:
        """Return once the newest revision has just *state*."""
        shown = [""]

        def has_it() -> bool:
            self.keep_alive()
            try:
                self._history.refresh()
                shown[0] = difference(state, look_of(self._history.tree())) if self._history.head else "no revision"
            except NoReplicaError:
                shown[0] = "no replica"
            return not shown[0]

        try:
            wait_until(has_it, PATIENCE_SECONDS, "the replica to have what the directory has")
        except BaseException:
            print(shown[0], file=sys.stderr)  # noqa: T201 - what a failure is about.
            raise

    def compare(self) -> int:
        """Assert that all that was acknowledged, or seen there before, is there as it was; return how much there is."""
        if not self.is_reachable:
            return len(self._seen)
        try:
            self._history.refresh()
            found = {entry.number: entry.hash for entry in self._history.log()} if self._history.head else {}
        except NoReplicaError:
            found = {}
        changed = [number for number, known in self._seen.items() if found.get(number) != known]
        assert not changed, f"revisions {changed} are gone or changed; the log has {len(found)}"
        assert self._acknowledged <= len(found), (
            f"{self._acknowledged} was acknowledged, the log ends with {len(found)}"
        )
        self._seen = found
        return len(found)

    def judge(self) -> int:
        """Assert that the replica is whole, and has every draft that any killed process left; return the head."""
        store = open_store(self.url, storage_options=self.server.quick_options)
        try:
            report = verify(store)
            assert report.ok, str(report)
            reader = LogReader(store)
            published = [made.revision.write_id for made in reader.revisions()]
            assert len(published) == len(set(published)), "a draft was published twice"
            assert not reader.listing.forks, "nobody else wrote, and there are forks"
        finally:
            store.close()
        lost = self.write_ids - set(published)
        assert not lost, f"{len(lost)} drafts that were in the journal never arrived"
        return len(published)

    def _told(self, ended: Finished) -> None:
        """Assert that nothing surprised the process, and note which revision it said that the replica has."""
        assert "Traceback" not in ended.stderr, ended
        lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{") and line.endswith("}")]
        said = [line["position"] for line in lines if line.get("event") == "revision_published"]
        self._acknowledged = max([self._acknowledged, *said])


def look_of(tree: Tree) -> Look:
    """Return *tree* as ``look`` shows a directory that holds it."""
    kinds = {Kind.FILE: "file", Kind.SYMLINK: "link", Kind.DIRECTORY: "directory"}
    return {
        path: (
            kinds[entry.kind],
            entry.mode,
            entry.uid,
            entry.gid,
            entry.hash if entry.kind is Kind.FILE else entry.target,
        )
        for path, entry in tree.items()
    }


class Weather:
    """Decides by *draw* what happens to a request: the k-th request has the same fate for the same seed."""

    _STATUS: Mapping[int, str] = {
        500: "InternalError", 503: "SlowDown", 403: "AccessDenied", 409: "ConditionalRequestConflict",
        412: "PreconditionFailed", 429: "TooManyRequests",
    }  # fmt: skip
    _ANY = ("status", "status", "reset", "cut", "delay", "duplicate", "truncate", "long", "short")
    _WRITES = (*_ANY, "reset", "cut", "cut", "late", "late", "half", "half", "duplicate")

    def __init__(self, draw: random.Random, chance: float = 0.25) -> None:
        self._draw = draw
        self.chance = chance
        self.is_out = False
        """Whether nothing gets through at all."""
        self.faults: Counter[str] = Counter()

    def __call__(self, seen: Seen) -> Rule | None:
        """Return what happens to this request."""
        fate, which = self._draw.random(), self._draw.randrange(1 << 30)
        seconds = self._draw.choice((0.02, 0.1, 0.5, 2.5))
        if self.is_out:
            self.faults["outage"] += 1
            return Rule("reset")
        # It is the slots on which everything depends.
        is_slot = seen.method == "PUT" and "/log/" in seen.path
        if fate > self.chance * (2 if is_slot else 1):
            return None
        is_write = seen.method in ("PUT", "POST", "DELETE")
        actions = self._WRITES if is_write else self._ANY
        action = actions[which % len(actions)]
        codes = [code for code in self._STATUS if code != 412 or "if-none-match" in seen.headers]
        status = codes[which // len(actions) % len(codes)]
        self.faults[f"{action}_{status}" if action == "status" else action] += 1
        return Rule(action, status=status, body=error_body(self._STATUS[status]), seconds=seconds)

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing happen inside."""
        chance, self.chance = self.chance, 0.0
        yield
        self.chance = chance


def pause(draw: random.Random, seconds: float) -> None:
    """Let up to *seconds* pass: an edit after an edit, a kill at some moment."""
    _CLOCK.wait(threading.Event(), draw.uniform(0, seconds))
