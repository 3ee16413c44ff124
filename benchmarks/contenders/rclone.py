"""rclone, as it is put in init containers and sidecars, and as well as it can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Command, program, run
from benchmarks.contenders.contender import Place
from benchmarks.links import key
from benchmarks.proxy import Seen
from benchmarks.workload import save
from tests.histories import State, read_directory
from tests.servers import ACCESS_KEY, SECRET_KEY

_TUNED = ("--transfers", "32", "--checkers", "32", "--fast-list", "--checksum")


@dataclass(frozen=True)
class Rclone:
    """``rclone copy`` and ``rclone sync`` with *options*; *loop* is the shell around it when it watches."""

    name: str = "rclone"
    options: tuple[str, ...] = ()
    loop: str = ""
    is_local: bool = False
    begins_silently: bool = True

    def lacks(self) -> str:
        """Return what is not installed."""
        wanted = ["rclone", *(["inotifywait"] if "inotifywait" in self.loop else [])]
        missing = [name for name in wanted if not program(name)]
        return f"not installed: {', '.join(missing)}" if missing else ""

    def version(self) -> str:
        """Return rclone's version."""
        return run(Command((program("rclone"), "version"))).stdout.splitlines()[0]

    def keep(self, tree: Path, place: Place) -> None:
        """Copy *tree* there, as quickly as it can."""
        run(self._command(place, "copy", str(tree), _remote(place), *_TUNED))

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the copy of everything."""
        return [self._command(place, "copy", _remote(place), str(target), *self.options)]

    def found(self, target: Path) -> State:
        """Return what was copied."""
        return read_directory(target)

    def prepare(self, tree: Path, place: Place) -> None:
        """Copy everything, so that the loop begins with nothing to do."""
        self.keep(tree, place)

    def watch(self, tree: Path, place: Place) -> Command:
        """Return the loop; it is *loop* with the words TREE and SYNC replaced."""
        sync = " ".join((program("rclone"), "sync", *self.options, f"'{tree}'", _remote(place)))
        script = self.loop.replace("SYNC", sync).replace("TREE", f"'{tree}'")
        return Command(("/bin/sh", "-c", script), _environment(place))

    def write(self, tree: Path, path: str, content: bytes, place: Place) -> float:  # noqa: ARG002, a Sidecar's.
        """Write the file."""
        return save(tree / path, content)

    def proves(self, seen: Seen, path: str) -> bool:
        """Return whether the file itself was put."""
        return seen.method == "PUT" and key(seen).endswith(f"/{path}")

    def newest(self, path: str, place: Place) -> bytes:
        """Return the object."""
        return run(self._command(place, "cat", f"{_remote(place)}/{path}")).stdout.encode()

    def _command(self, place: Place, *arguments: str) -> Command:
        return Command((program("rclone"), *arguments), _environment(place))


PLAIN = Rclone()
TUNED = Rclone("rclone tuned", _TUNED)
EVERY_MINUTE = Rclone("rclone loop", loop="while true; do SYNC; sleep 60; done")
# Each event starts a sync, and what comes during one is seen only by the next.
ON_EVENT = Rclone(
    "inotify + rclone",
    (*_TUNED, "--no-update-modtime"),
    loop="while inotifywait -qq -r -e close_write,moved_to,create,delete TREE; do SYNC; done",
)


def _remote(place: Place) -> str:
    return f"bench:{place.bucket}/{place.prefix}"


def _environment(place: Place) -> dict[str, str]:
    settings = {
        "TYPE": "s3", "PROVIDER": "SeaweedFS", "ACCESS_KEY_ID": ACCESS_KEY, "SECRET_ACCESS_KEY": SECRET_KEY,
        "ENDPOINT": place.endpoint, "REGION": "us-east-1", "NO_CHECK_BUCKET": "true",
    }  # fmt: skip
    # An empty name keeps rclone from looking for a file of its user.
    return {"RCLONE_CONFIG": "", **{f"RCLONE_CONFIG_BENCH_{name}": value for name, value in settings.items()}}
