"""To be refused what a mode forbids, also as root: capabilities put down for a while, or a process of another user."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

_VERSION = 0x20080522
_DAC = (1 << 1) | (1 << 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: to ignore modes."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def modes_count() -> Iterator[None]:
    """Let file modes bind this thread, and those that it starts, for as long as the block lasts."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root is refused nothing here")
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets):
        pytest.skip("capabilities cannot be read here")
    before = sets[0].effective
    sets[0].effective = before & ~_DAC
    if libc.capset(ctypes.byref(header), sets):
        pytest.skip("capabilities cannot be put down here")
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(ctypes.byref(header), sets)


def contained(uid: int, gid: int | None = None, *, writable: Sequence[Path] | None = None) -> list[str]:
    """Return what to put before a command for it to run as *uid*, without a home, as in a container.

    With *writable*, nothing else can be written. Skip the test where that cannot be had.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("mount") is None:
        pytest.skip("only root can be several users")
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    needed = {Path(__file__).resolve().parent.parent, Path(sys.prefix), Path(sys.base_prefix).resolve()}
    return [
        "unshare",
        "-m",
        sys.executable,
        str(Path(__file__).parent / "end_to_end" / "programs" / "container.py"),
        str(uid),
        str(uid if gid is None else gid),
        "no" if writable is None else "yes",
        ":".join(map(str, sorted(needed))),
        ":".join(map(str, writable or ())),
    ]
