"""A directory edited as applications, people and accidents edit it, by a seed; and what it holds, seen by nobody else.

Nothing here goes through confstream: what is compared with it must not come from it.
"""

import hashlib
import os
import random
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from confstream.clock import SystemClock

ANCHOR = b"anchor.yml"
"""What is never removed, so that the directory is never empty: an empty one is held back on purpose."""

BLOB_BYTES = 1 << 20
_ENTRIES_MAX = 70
_NAMES = (
    b"config.yml", b"automations.yaml", b"secrets.yaml", b"state.json", b"flows.json", b"database.db", b"settings.ini",
    b"\xff\xfe-latin", b"new\nline.yml", b" leading", b"-rf", b"x" * 255, "\u00fc\u4e16.yml".encode(), b"a'b\"c$d",
)  # fmt: skip
_FOLDERS = (b"custom", b"custom/deep", b"custom/deep/deeper", b".storage", b"\xe4\xf6", b"two words")
_TARGETS = (b"config.yml", b"../outside", b"/nowhere/at all", b"loop", b".", b"\xff", b"custom")
_MODES = (0o600, 0o640, 0o644, 0o664, 0o755, 0o444, 0o4755)
_CLOCK = SystemClock()

Look = dict[bytes, tuple[str, int, int, int, bytes]]
"""What a directory holds by path: kind, mode, owner, group, and the hash of a file or the target of a link."""


def look(root: str | Path, keep: Callable[[bytes, bytes], None] | None = None) -> Look:
    """Return what *root* holds, confstream's own state left out; *keep* is given every content and its hash."""
    found: Look = {}
    top = os.fsencode(root)
    for path, entry in _walk(top, b""):
        status = entry.stat(follow_symlinks=False)
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
        if entry.is_symlink():
            found[path] = ("link", 0o777, *owner, os.readlink(entry.path))  # noqa: PTH115 - its very bytes.
        elif entry.is_dir(follow_symlinks=False):
            found[path] = ("directory", mode, *owner, b"")
        elif entry.is_file(follow_symlinks=False):
            content = Path(os.fsdecode(entry.path)).read_bytes()
            digest = hashlib.sha256(content).digest()
            if keep is not None:
                keep(digest, content)
            found[path] = ("file", mode, *owner, digest)
    return found


def difference(wanted: Look, found: Look) -> str:
    """Return nothing if both are the same, else the first few paths that are not."""
    differing = [path for path in sorted(wanted.keys() | found.keys()) if wanted.get(path) != found.get(path)]
    shown = [f"{path!r}: expected {wanted.get(path)}, found {found.get(path)}" for path in differing[:5]]
    return "\n".join([f"{len(differing)} paths differ", *shown]) if differing else ""


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _walk(top: bytes, below: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    with os.scandir(_joined(top, below) if below else top) as entries:
        known = list(entries)
    for entry in known:
        path = _joined(below, entry.name)
        if path == b".confstream":
            continue
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(top, path)


class Editor:
    """Edits *root* by *draw*: the same edits for the same seed, on a directory that nobody else edits."""

    def __init__(self, root: Path, draw: random.Random, *, slow: bool = True) -> None:
        self._root = root
        self._draw = draw
        self._slow = slow
        self.counts: Counter[str] = Counter()
        root.mkdir(parents=True, exist_ok=True)
        self._write(ANCHOR, b"anchor: 1\n")

    def edit(self) -> str:
        """Do one edit, and return which kind it was."""
        kinds = {
            self.save_torn: 14, self.save_by_rename: 14, self.append: 8, self.truncate: 5, self.empty: 3, self.link: 8,
            self.chmod: 6, self.chown: 3, self.rename_folder: 5, self.make_folder: 5, self.delete: 8, self.recreate: 6,
            self.change_kind: 7, self.swap: 7, self.binary: 5, self.large: 2, self.many: 3, self.hard_link: 3,
            self.stealthy: 4, self.remove_folder: 3, self.move: 5,
        }  # fmt: skip
        if len(self._paths()) > _ENTRIES_MAX:
            kinds |= {self.delete: 60, self.remove_folder: 30}
        (chosen,) = self._draw.choices([*kinds], weights=[*kinds.values()])
        name = chosen.__name__
        # What was there may be of another kind by now, or a link to itself: applications fail to save, too.
        with suppress(OSError):
            chosen()
        self.counts[name] += 1
        return name

    def save_torn(self) -> None:
        """Truncate and rewrite in place, piece by piece, as Frigate does."""
        content = self._text()
        descriptor = os.open(self._at(self._name()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            step = max(1, len(content) // self._draw.randint(1, 5))
            for start in range(0, len(content), step):
                os.write(descriptor, content[start : start + step])
                self._pause(0.02)
        finally:
            os.close(descriptor)

    def save_by_rename(self) -> None:
        """Write beside, and rename over: what everybody should do."""
        path = self._name()
        beside = path[:-4] + b".tmp"
        self._write(beside, self._text())
        self._at(beside).rename(self._at(path))

    def append(self) -> None:
        """Add a line at the end."""
        with self._at(self._file()).open("ab") as file:
            file.write(self._draw.randbytes(8).hex().encode() + b"\n")

    def truncate(self) -> None:
        """Cut a file off somewhere."""
        path = self._at(self._file())
        os.truncate(path, self._draw.randint(0, max(1, os.lstat(path).st_size)))

    def empty(self) -> None:
        """Write a file without content."""
        self._write(self._name(), b"")

    def link(self) -> None:
        """Make a symbolic link, or let one point elsewhere."""
        path = self._at(self._name())
        with suppress(FileNotFoundError):
            path.unlink()
        path.symlink_to(self._target())

    def chmod(self) -> None:
        """Change who may do what."""
        path = self._any()
        if path is None or self._at(path).is_symlink():
            return
        is_folder = self._at(path).is_dir()
        self._at(path).chmod(self._draw.choice((0o700, 0o755, 0o2775) if is_folder else _MODES))

    def chown(self) -> None:
        """Give something to somebody else, as a container does when it starts."""
        path, owner = self._any(), self._draw.choice((0, 1000, 1001))
        if path is not None and os.geteuid() == 0:
            os.lchown(self._at(path), owner, owner)

    def rename_folder(self) -> None:
        """Give a directory another name, everything in it with it."""
        old, new = self._folder(), self._draw.choice(_FOLDERS)
        if old != b"" and not new.startswith(old + b"/") and not os.path.lexists(self._at(new)):
            self._at(new).parent.mkdir(parents=True, exist_ok=True)
            self._at(old).rename(self._at(new))

    def make_folder(self) -> None:
        """Make a directory, and often something in it at once."""
        folder = self._draw.choice(_FOLDERS)
        self._at(folder).mkdir(parents=True, exist_ok=True)
        if self._draw.random() < 2 / 3:
            self._write(folder + b"/" + self._draw.choice(_NAMES), self._text())

    def delete(self) -> None:
        """Delete something, whatever it is."""
        path = self._any()
        if path is not None:
            self._remove(path)

    def recreate(self) -> None:
        """Delete a file, and write it again."""
        path = self._file()
        self._remove(path)
        self._pause(0.05)
        self._write(path, self._text())

    def change_kind(self) -> None:
        """Put something of another kind in the place of something."""
        path = self._any()
        if path is None:
            return
        self._remove(path)
        what = self._draw.randrange(3)
        if what == 0:
            self._write(path, self._text())
        elif what == 1:
            self._at(path).mkdir()
            self._write(path + b"/inside.yml", self._text())
        else:
            self._at(path).symlink_to(self._target())

    def swap(self) -> None:
        """Save as vim does: a swap file, the old file becomes a backup, the new one is written and renamed."""
        path = self._file()
        swap = _joined(path.rpartition(b"/")[0], b".edit.swp")
        self._write(swap, b"b0VIM")
        self._at(path).rename(self._at(path[:-2] + b"~"))
        self._pause(0.01)
        self._write(path, self._text())
        if self._draw.random() < 2 / 3:
            self._at(path[:-2] + b"~").unlink()
        self._at(swap).unlink()

    def binary(self) -> None:
        """Write what no validator can read."""
        self._write(self._name(), self._draw.randbytes(self._draw.randint(1, 30_000)))

    def large(self) -> None:
        """Write what is too large to sit in its revision."""
        self._write(b"model.bin", self._draw.randbytes(BLOB_BYTES + self._draw.randint(1, 300_000)))

    def many(self) -> None:
        """Change everything at once."""
        files = [path for path in self._paths() if self._is_file(path)]
        what = self._draw.randrange(3)
        for path in files:
            if what == 0:
                self._write(path, self._text())
            elif what == 1:
                self._at(path).chmod(self._draw.choice(_MODES))
            elif path != ANCHOR:
                self._at(path).rename(self._at(path[:-2] + b"-%d" % self._draw.randrange(10)))

    def hard_link(self) -> None:
        """Give a file a second name: whoever writes through one changes both, and no event tells of the other."""
        self._at(self._name()).hardlink_to(self._at(self._file()))

    def stealthy(self) -> None:
        """Rewrite a file so that neither its size nor its time of modification change."""
        path = self._at(self._file())
        status = os.lstat(path)
        with path.open("r+b") as file:
            file.write(self._draw.randbytes(min(status.st_size, 64)).hex().encode()[: status.st_size])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def remove_folder(self) -> None:
        """Remove a directory with all that is in it."""
        folder = self._folder()
        if folder:
            shutil.rmtree(self._at(folder))

    def move(self) -> None:
        """Move a file somewhere else."""
        path = self._file()
        if path != ANCHOR:
            self._at(path).rename(self._at(self._name()))

    def _at(self, path: bytes) -> Path:
        return self._root / os.fsdecode(path)

    def _paths(self) -> list[bytes]:
        return sorted(path for path, _ in _walk(os.fsencode(self._root), b""))

    def _is_file(self, path: bytes) -> bool:
        return stat.S_ISREG(os.lstat(self._at(path)).st_mode)

    def _is_folder(self, path: bytes) -> bool:
        return stat.S_ISDIR(os.lstat(self._at(path)).st_mode)

    def _target(self) -> str:
        return os.fsdecode(self._draw.choice(_TARGETS))

    def _any(self) -> bytes | None:
        found = [path for path in self._paths() if path != ANCHOR]
        return self._draw.choice(found) if found else None

    def _file(self) -> bytes:
        return self._draw.choice([path for path in self._paths() if self._is_file(path)])

    def _folder(self) -> bytes:
        known = [path for path in self._paths() if self._is_folder(path)]
        return self._draw.choice([b"", *known])

    def _name(self) -> bytes:
        return _joined(self._folder(), self._draw.choice(_NAMES))

    def _text(self) -> bytes:
        lines = [f"key_{n}: {self._draw.randrange(1000)}\n".encode() for n in range(self._draw.randint(1, 200))]
        return b"".join(lines)

    def _write(self, path: bytes, content: bytes) -> None:
        self._at(path).write_bytes(content)

    def _remove(self, path: bytes) -> None:
        if path == ANCHOR:
            return
        if self._is_folder(path):
            shutil.rmtree(self._at(path))
        else:
            self._at(path).unlink()

    def _pause(self, seconds: float) -> None:
        if self._slow:
            _CLOCK.wait(threading.Event(), self._draw.uniform(0, seconds))
