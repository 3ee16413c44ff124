"""What a program must be able to do to take part; the rows ask for no more than they need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.commands import Command
from benchmarks.proxy import Seen
from benchmarks.workload import Step
from tests.histories import State
from tests.servers import environment


@dataclass(frozen=True)
class Place:
    """Where a contender keeps things: a prefix on the server, reached at *endpoint*, and a directory here."""

    bucket: str
    prefix: str
    endpoint: str
    directory: Path

    @property
    def url(self) -> str:
        """Return the address of the prefix."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def environment(self) -> dict[str, str]:
        """Return what a client of the server needs."""
        return environment(self.endpoint)

    def via(self, endpoint: str) -> "Place":
        """Return the same place, reached another way."""
        return replace(self, endpoint=endpoint)


class Contender(Protocol):
    """A program."""

    @property
    def name(self) -> str:
        """Return what it is called in results."""

    @property
    def is_local(self) -> bool:
        """Return whether it keeps things in a directory only, and has no use for a server."""

    def lacks(self) -> str:
        """Return what it would need to take part; empty if it can."""

    def version(self) -> str:
        """Return which one it is."""


class Keeper(Contender, Protocol):
    """Keeps a tree, and gives it back."""

    def keep(self, tree: Path, place: Place) -> None:
        """Have *place* hold *tree*."""

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return what brings the newest state into the empty directory *target*."""

    def found(self, target: Path) -> State:
        """Return what ``fetch`` brought to *target*."""


class Archive(Keeper, Protocol):
    """Keeps every state that a tree ever had."""

    @property
    def archive(self) -> str:
        """Return the name of what it makes of a history: contenders that share it are clients of the same."""

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Keep all of *steps*, each restorable, in the new *directory*; return what each is called there."""

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return what brings the state called *moment* into the empty directory *target*."""


class Sidecar(Contender, Protocol):
    """Watches a tree, and keeps what changes."""

    def prepare(self, tree: Path, place: Place) -> None:
        """Do once what has to be done before it starts."""

    def watch(self, tree: Path, place: Place) -> Command:
        """Return what watches."""

    @property
    def begins_silently(self) -> bool:
        """Return whether it has nothing to send when it starts."""

    def write(self, tree: Path, path: str, content: bytes, place: Place) -> float:
        """Change *path* as the application does; return when that was done, on the monotonic clock."""

    def proves(self, seen: Seen, path: str) -> bool:
        """Return whether the answer to this request says that a change of *path* is durable."""

    def newest(self, path: str, place: Place) -> bytes:
        """Return what the server would give back for *path* now."""


def present(contenders: Iterable[Contender], left_out: dict[str, str]) -> list[str]:
    """Return the names of those that can take part, and tell *left_out* about the others."""
    names = []
    for contender in contenders:
        if lacking := contender.lacks():
            left_out[contender.name] = lacking
        else:
            names.append(contender.name)
    return names
