"""Disks for tests that run full."""

from pathlib import Path


def fill(path: Path) -> None:
    """Write the file *path* until its disk has no room for another page."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
