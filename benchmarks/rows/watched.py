"""Sidecars that run beside a row, each with a tree, a place and a way of its own."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import running
from benchmarks.contenders.contender import Place, Sidecar, present
from benchmarks.links import Link
from benchmarks.samples import Row
from benchmarks.world import World
from confstream.clock import SystemClock

_CLOCK = SystemClock()
_QUIET_SECONDS = 3.0
_PATIENCE_SECONDS = 120.0
LOST_SECONDS = 20.0
"""What is not durable by then will not be before the next change."""

_LOOK_SECONDS = 0.02
_FAILED = 300
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Watched:
    """A sidecar that runs."""

    sidecar: Sidecar
    tree: Path
    place: Place
    link: Link
    pid: int

    def write(self, path: str, content: bytes) -> float:
        """Change *path* as the application does; return when that was done."""
        return self.sidecar.write(self.tree, path, content, self.place)

    def wait_for_proof(self, path: str, written_at: float) -> tuple[float | None, int]:
        """Return when the change of *path* was durable, None if it got lost, and how many requests there were."""
        requests = 0
        end = _CLOCK.elapsed_seconds() + LOST_SECONDS
        while _CLOCK.elapsed_seconds() < end:
            for seen in self.link.take():
                requests += 1
                if seen.began >= written_at and seen.status < _FAILED and self.sidecar.proves(seen, path):
                    return seen.answered, requests + len(self.link.take())
            pause(_LOOK_SECONDS)
        return None, requests


@contextmanager
def watching(world: World, row: Row, sidecars: Sequence[Sidecar], *, files: int) -> Iterator[dict[str, Watched]]:
    """Run those of *sidecars* that are present, each on a tree of *files* files; the block begins when all rest."""
    names = present(sidecars, row.left_out)
    ready = {}
    for sidecar in sidecars:
        if sidecar.name in names:
            tree, link = world.tree(files), world.proxy.link()
            place = world.place(sidecar.name)
            sidecar.prepare(tree, place)
            ready[sidecar.name] = (sidecar, tree, place, link)
    commands = {
        name: sidecar.watch(tree, place.via(link.endpoint)) for name, (sidecar, tree, place, link) in ready.items()
    }
    with running(commands, world.directory("logs")) as pids:
        watched = {name: Watched(*one, pids[name]) for name, one in ready.items()}
        settle(list(watched.values()), begins=True)
        yield watched


def settle(watched: Sequence[Watched], *, begins: bool = False) -> None:
    """Return once nobody has asked anything for some seconds; with *begins*, after all have that have to."""
    end = _CLOCK.elapsed_seconds() + _PATIENCE_SECONDS
    silent = [one for one in watched if begins and not one.sidecar.begins_silently]
    quiet_since = _CLOCK.elapsed_seconds()
    while _CLOCK.elapsed_seconds() < min(end, quiet_since + _QUIET_SECONDS):
        heard = [one for one in watched if one.link.take()]
        silent = [one for one in silent if one not in heard]
        if heard or silent:
            quiet_since = _CLOCK.elapsed_seconds()
        pause(_LOOK_SECONDS)


def plain_paths(tree: Path) -> list[str]:
    """Return the files of *tree* whose names every shell understands."""
    paths = (path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in paths if _PLAIN.fullmatch(path))


def pause(seconds: float) -> None:
    """Let time pass."""
    _CLOCK.wait(threading.Event(), seconds)
