"""A directory that must stay as it is, around one in which anything may happen."""

import os
import shutil
import stat
from pathlib import Path

TREE = "tree"
_NAMES = ("outside", "passwd", "x", "a", "restoring", "state")


class Sentinel:
    """*ground* holds a ``tree`` and, beside, above and behind links, files that nobody may touch.

    What lies outside of the tree is compared byte for byte: contents, modes,
    owners, link counts, names. Inside of the tree anything goes.
    """

    def __init__(self, ground: Path) -> None:
        self.ground = ground
        self.tree = ground / TREE
        self.tree.mkdir(mode=0o755)
        for folder in (ground, ground / "etc", ground / "treeX", ground / "tree.d"):
            folder.mkdir(exist_ok=True)
            for name in _NAMES:
                (folder / name).write_bytes(b"untouched " + name.encode())
                (folder / name).chmod(0o640)
        (ground / "link").symlink_to("etc")
        (ground / "away").symlink_to(ground / "etc" / "nothing-there")
        self._known = self._look()

    def clear(self) -> None:
        """Empty the tree, following nothing."""
        for entry in os.scandir(self.tree):
            if entry.is_dir(follow_symlinks=False):
                self._open_up(Path(entry.path))
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
        self.tree.chmod(0o755)

    def check(self) -> None:
        """Raise ``AssertionError`` if anything outside of the tree is not as it was."""
        found = self._look()
        for path in sorted({*found, *self._known}):
            was, now = self._known.get(path), found.get(path)
            assert was == now, f"outside of the tree, {path} changed from {was} to {now}"

    def _look(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        ground, tree = str(self.ground), str(self.tree)
        waiting = [ground]
        while waiting:
            for entry in os.scandir(waiting.pop()):
                if entry.path == tree:
                    continue
                status = entry.stat(follow_symlinks=False)
                shape = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_nlink)
                content: object = None
                if entry.is_symlink():
                    content = str(Path(entry.path).readlink())
                elif entry.is_dir():
                    waiting.append(entry.path)
                elif entry.is_file():
                    content = _content(entry.path)
                found[entry.path[len(ground) + 1 :]] = (*shape, content)
        return found

    @staticmethod
    def _open_up(folder: Path) -> None:
        folder.chmod(0o700)
        for parent, folders, _ in os.walk(folder):
            for name in folders:
                inner = Path(parent, name)
                if not inner.is_symlink():
                    inner.chmod(0o700)


def _content(path: str) -> bytes:
    # Looked at for every input of a fuzzer: without what makes a path or a file an object.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)
