"""Become what a container is: a user of any number, without a home, on a disk that may be read-only; then a command.

Runs as root in a mount namespace of its own. What the interpreter needs stays
reachable, also where only root may look.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(uid: str, gid: str, read_only: str, needed: str, writable: str, *command: str) -> None:
    """Run *command* as *uid* and *gid*; *needed* and *writable* are paths joined by colons."""
    asked = os.umask(0o022)
    _open_up([Path(path) for path in needed.split(":")])
    if read_only == "yes":
        for path in filter(None, writable.split(":")):
            _mount("--bind", path, path)
        for place in ("/", "/dev/shm"):  # noqa: S108 - to be closed, not to be written.
            if os.path.ismount(place):
                _mount("-o", "remount,bind,ro", place)
    # Whoever measures coverage could not write where this user may not, and would say so on stderr.
    for name in ("HOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        os.environ.pop(name, None)
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    os.chdir("/")
    os.umask(asked)
    os.execvp(command[0], command)  # noqa: S606 - a test's own command.


def _open_up(needed: list[Path]) -> None:
    """Make every one of *needed* reachable for everybody, in this namespace alone."""
    closed = {path: above for path in needed if (above := _closed_above(path)) is not None}
    if not closed:
        return
    kept = Path(tempfile.mkdtemp())
    for number, path in enumerate(closed):
        (kept / str(number)).mkdir()
        _mount("--bind", path, kept / str(number))
    for above in {*closed.values()}:
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", above)
    for number, path in enumerate(closed):
        path.mkdir(parents=True, exist_ok=True)
        _mount("--bind", kept / str(number), path)


def _closed_above(path: Path) -> Path | None:
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
