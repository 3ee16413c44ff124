"""Do to a directory what programs do on bad days, at random but the same for the same seed.

Arguments: tree, outside (a directory on the same file system), seed, steps, and
``linked`` if hard links may be made. Prints every step; nothing is open in the end.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import random
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

_NAMES = ("a.yml", "b.json", "c", "d.db", "ü", "e e", "-f", "x" * 200, os.fsdecode(b"\xff\n"), "g.tmp", "h~")
_DIRECTORIES = ("", "one", "one/two", "one/two/three", "other", "other/deep/er")
_EXCHANGE = 2


class Mischief:
    """The steps, each of which may fail as it does for a program that is in another's way."""

    def __init__(self, tree: Path, outside: Path, seed: str, *, linked: bool) -> None:
        self._tree = tree
        self._outside = outside
        self._chance = random.Random(seed)  # noqa: S311 - a workload, no secret.
        self._pause = threading.Event()
        self._open: list[IO[bytes]] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.steps: list[Callable[[], None]] = [
            self.save, self.save, self.save_torn, self.replace, self.replace, self.append, self.set_mode,
            self.set_owner, self.rename, self.rename_directory, self.fill, self.fill, self.remove, self.remove_tree,
            self.link, self.swap_link, self.become_directory, self.become_file, self.exchange, self.move_out,
            self.move_in,
            self.rewrite_in_secret, self.hold_open, self.write_held, self.map, self.database, self.fifo, self.touch,
            self.close_held, self.wait,
        ]  # fmt: skip
        if linked:
            self.steps += [self.link_hard, self.link_hard]

    def run(self, steps: int) -> None:
        """Do *steps* of them."""
        for number in range(steps):
            step = self._chance.choice(self.steps)
            print(number, step.__name__, flush=True)  # noqa: T201 - who looks for a failure reads it.
            # The last for a map of an empty file.
            with contextlib.suppress(OSError, sqlite3.Error, shutil.Error, ValueError):
                step()
        for file in self._open:
            with contextlib.suppress(OSError):
                file.close()

    def _path(self) -> Path:
        directory = self._tree / self._chance.choice(_DIRECTORIES)
        directory.mkdir(parents=True, exist_ok=True)
        return directory / self._chance.choice(_NAMES)

    def _there(self, kind: Callable[[int], bool]) -> Path:
        found = sorted(
            path
            for path in self._tree.rglob("*")
            if path.relative_to(self._tree).parts[0] not in {".confstream", "keep.yml"} and kind(path.lstat().st_mode)
        )
        if not found:
            raise OSError(errno.ENOENT, "nothing is there")
        return self._chance.choice(found)

    def _content(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((0, 1, 20, 5000, 70_000))).hex().encode()

    def save(self) -> None:
        self._path().write_bytes(self._content())

    def save_torn(self) -> None:
        with self._path().open("wb", buffering=0) as file:
            for _ in range(4):
                file.write(self._content())
                self._pause.wait(self._chance.uniform(0, 0.03))

    def replace(self) -> None:
        path = self._path()
        new = path.with_name("new")
        new.write_bytes(self._content())
        new.replace(path)

    def append(self) -> None:
        with self._there(stat.S_ISREG).open("ab") as file:
            file.write(b"more\n")

    def set_mode(self) -> None:
        path = self._there(lambda mode: not stat.S_ISLNK(mode))
        path.chmod(self._chance.choice((0o600, 0o644, 0o755)) if path.is_file() else 0o755)

    def set_owner(self) -> None:
        if os.geteuid() == 0:
            os.chown(self._there(lambda _: True), self._chance.randrange(3), 0, follow_symlinks=False)

    def rename(self) -> None:
        self._there(stat.S_ISREG).rename(self._path())

    def rename_directory(self) -> None:
        self._there(stat.S_ISDIR).rename(self._path().with_name(f"moved-{self._chance.randrange(3)}"))

    def fill(self) -> None:
        deep = self._tree / f"new-{self._chance.randrange(50)}" / "b" / "c"
        deep.mkdir(parents=True, exist_ok=True)
        for name in ("f", "g"):
            (deep / name).write_bytes(self._content())

    def remove(self) -> None:
        self._there(stat.S_ISREG).unlink()

    def remove_tree(self) -> None:
        shutil.rmtree(self._there(stat.S_ISDIR))

    def link(self) -> None:
        self._path().symlink_to(self._chance.choice(("a.yml", "nowhere", ".", "..", "c")))

    def swap_link(self) -> None:
        new = self._tree / "link.new"
        new.symlink_to(self._chance.choice(("one", "other")))
        new.replace(self._tree / "link")

    def link_hard(self) -> None:
        os.link(self._there(stat.S_ISREG), self._path())

    def become_directory(self) -> None:
        path = self._there(stat.S_ISREG)
        path.unlink()
        path.mkdir()
        (path / "inside").write_bytes(self._content())

    def become_file(self) -> None:
        path = self._there(stat.S_ISDIR)
        shutil.rmtree(path)
        path.write_bytes(self._content())

    def exchange(self) -> None:
        names = [os.fsencode(self._there(lambda mode: stat.S_ISREG(mode) or stat.S_ISLNK(mode))) for _ in range(2)]
        self._libc.renameat2(-100, names[0], -100, names[1], _EXCHANGE)

    def move_out(self) -> None:
        self._there(stat.S_ISDIR).rename(self._outside / str(self._chance.randrange(5)))

    def move_in(self) -> None:
        place = self._outside / str(self._chance.randrange(5))
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(self._content())
        place.rename(self._path().with_name(f"in-{self._chance.randrange(3)}"))

    def rewrite_in_secret(self) -> None:
        path = self._there(stat.S_ISREG)
        before = path.stat()
        with path.open("r+b") as file:
            file.write(self._chance.randbytes(before.st_size).hex().encode()[: before.st_size])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def hold_open(self) -> None:
        if len(self._open) < 3:
            self._open.append(self._there(stat.S_ISREG).open("ab", buffering=0))

    def write_held(self) -> None:
        if self._open:
            self._chance.choice(self._open).write(b"later\n")

    def close_held(self) -> None:
        if self._open:
            self._open.pop(self._chance.randrange(len(self._open))).close()

    def map(self) -> None:
        with self._there(stat.S_ISREG).open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0:1] = b"M"
            mapped.flush()

    def database(self) -> None:
        path = self._path()
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as database, database:
            database.execute("create table if not exists t (x)")
            database.execute("insert into t values (1)")

    def fifo(self) -> None:
        # Under a name that nothing else has: opening one waits for whoever is at its other end.
        os.mkfifo(self._path().with_name("pipe"))

    def touch(self) -> None:
        os.utime(self._there(lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode)))

    def wait(self) -> None:
        self._pause.wait(self._chance.uniform(0, 0.3))


if __name__ == "__main__":
    Mischief(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], linked=sys.argv[5:] == ["linked"]).run(int(sys.argv[4]))
