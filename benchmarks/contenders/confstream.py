"""confstream, by each of its S3 clients."""

import hashlib
import shutil
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import confstream
from benchmarks.commands import Command, run
from benchmarks.contenders.contender import Place
from benchmarks.links import key
from benchmarks.proxy import Seen
from benchmarks.workload import Step, save
from confstream.testing import ManualClock
from tests.histories import State, read_directory, write_like_an_application
from tests.servers import wait_until

_COMMAND = Path(sys.executable).with_name("confstream")
PROGRAM = (str(_COMMAND),) if _COMMAND.exists() else (sys.executable, "-m", "confstream_cli")
_RESTED_SECONDS, _TURN_SECONDS, _PATIENCE_SECONDS = 26 * 3600.0, 600.0, 120.0
_PLAIN = ("--profile", "none", "--no-guards", "--log-format", "json")


@dataclass(frozen=True)
class Confstream:
    """The command with the S3 client *client*: ``s3fs`` or ``lean``."""

    client: str
    heartbeat: str = "5m"
    suffix: str = ""
    is_local: bool = False
    begins_silently: bool = False

    @property
    def name(self) -> str:
        """Return what it is called in results."""
        return f"confstream{' lean' if self.client == 'lean' else ''}{self.suffix}"

    @property
    def archive(self) -> str:
        """Return the name of what it makes of a history: the same by every client."""
        return "confstream"

    def lacks(self) -> str:
        """Return what is missing for this client."""
        if self.client != "lean":
            return ""
        if not _chooses_client():
            return "this confstream has no option --s3-client"
        return "" if find_spec("obstore") else "obstore is not installed: pip install 'confstream[fast]'"

    def version(self) -> str:
        """Return the version, and the digest of the source: between releases, that tells one from another."""
        return f"{run(self.command('--version')).stdout.strip()}, source {_source()}"

    def command(self, *arguments: str, place: Place | None = None, reads_replica: bool = True) -> Command:
        """Return the command with *arguments*, with the client chosen where there is a choice."""
        chosen = ("--s3-client", self.client) if place is not None and reads_replica and _chooses_client() else ()
        return Command((*PROGRAM, *arguments, *chosen), {} if place is None else place.environment)

    def keep(self, tree: Path, place: Place) -> None:
        """Publish *tree*."""
        run(
            self.command(
                "replicate", "--once", *_PLAIN, "--state-dir", self._state(place), str(tree), place.url, place=place
            )
        )

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the restore of the newest revision."""
        return self.fetch_at(place, "latest", target)

    def found(self, target: Path) -> State:
        """Return what was restored."""
        return read_directory(target)

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Capture every commit as one revision, as the sidecar does when there is time between them."""
        state = directory.with_name("journal")
        with confstream.Journal.open(
            tree, str(directory), guards=False, heartbeat_seconds=0, state_dir=state
        ) as journal:
            moments = _captured(journal, steps, tree)
        shutil.rmtree(state)
        return moments

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return the restore of the revision *moment*."""
        plain = ("--profile", "none", "--revision", moment)
        return [self.command("restore", *plain, place.url, str(target), place=place)]

    def prepare(self, tree: Path, place: Place) -> None:
        """Do nothing: the sidecar needs no preparation."""

    def watch(self, tree: Path, place: Place) -> Command:
        """Return the sidecar with its defaults, but for the heartbeat."""
        options = (*_PLAIN, "--heartbeat", self.heartbeat, "--state-dir", self._state(place))
        return self.command("replicate", *options, str(tree), place.url, place=place)

    def write(self, tree: Path, path: str, content: bytes, place: Place) -> float:  # noqa: ARG002, a Sidecar's.
        """Write the file."""
        return save(tree / path, content)

    def proves(self, seen: Seen, path: str) -> bool:  # noqa: ARG002, a Sidecar's.
        """Return whether a revision was created."""
        return seen.method == "PUT" and "/log/" in key(seen)

    def newest(self, path: str, place: Place) -> bytes:
        """Return the file as the newest revision has it."""
        return run(self.command("cat", place.url, path, place=place)).stdout.encode()

    def _state(self, place: Place) -> str:
        return str(place.directory / "state")


@dataclass(frozen=True)
class Packed(Confstream):
    """The same with a replica after `confstream compact`, once the grace period is over."""

    suffix: str = ", packed"

    @property
    def archive(self) -> str:
        """Return the name of what it makes of a history."""
        return "confstream, packed"

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Capture every commit, and pack."""
        moments = super().replay(steps, tree, directory)
        pack(directory)
        return moments


@dataclass(frozen=True)
class Rested(Confstream):
    """The same with a replica as the sidecar alone has it, when nothing was changed for a day and two hours."""

    suffix: str = ", a day later"

    @property
    def archive(self) -> str:
        """Return the name of what it makes of a history."""
        return "confstream, a day later"

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Capture every commit at one moment, and let a clock run that is moved by hand."""
        state, clock, turns = directory.with_name("journal"), ManualClock(auto=False), 0

        def is_resting() -> bool:
            is_packing = any(thread.name == "confstream-pack" for thread in threading.enumerate())
            return clock.sleepers > 0 and len(clock.waits) > turns and not is_packing

        with confstream.Journal.open(tree, str(directory), guards=False, state_dir=state, clock=clock) as journal:
            moments = _captured(journal, steps, tree)
            while clock.elapsed_seconds() < _RESTED_SECONDS:
                wait_until(is_resting, _PATIENCE_SECONDS, "the sidecar to rest")
                # Longer than it sleeps from one heartbeat to the next.
                turns = len(clock.waits)
                clock.advance(_TURN_SECONDS)
            wait_until(is_resting, _PATIENCE_SECONDS, "the sidecar to rest")
        shutil.rmtree(state)
        return moments


def _captured(journal: confstream.Journal, steps: Iterable[Step], tree: Path) -> Mapping[int, str]:
    """Capture and publish every one of *steps*, and return what each is called."""
    moments = {}
    for number, step in enumerate(steps, start=1):
        write_like_an_application(tree, step.old, step.new)
        if journal.capture().write_id is None:
            raise AssertionError(f"commit {step.number} was not captured")
        moments[step.number] = str(number)
    journal.sync()
    return moments


def pack(directory: Path) -> None:
    """Pack the replica in *directory* as if its log were older than the grace period."""
    store = confstream.open_store(str(directory))
    try:
        # The first call makes packs; what they cover is deleted by the next.
        for _ in range(2):
            confstream.compact(store, confstream.SystemClock(), grace_seconds=0)
    finally:
        store.close()


@cache
def _source() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(confstream.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


@cache
def _chooses_client() -> bool:
    return "--s3-client" in run(Command((*PROGRAM, "restore", "--help"))).stdout
