"""The wheels of what is locked, for a machine that need not be this one."""

import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.manifests import ROOT

# What the base image's C library (Debian 12's, 2.36) takes: its own age and everything older.
_DISTRIBUTIONS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37)))
_NOBODY_ANSWERS = ("NewConnectionError", "ConnectTimeout", "Temporary failure in name resolution", "ProxyError")


def python_of_the_image() -> str:
    """Return the version of Python that the image has."""
    (version,) = re.findall(r"^ARG BASE_IMAGE=python:(3\.\d+)-", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return str(version)


def fetch(machine: str, python: str, place: Path, without: Collection[str] = ()) -> list[Path]:
    """Return the wheels of what is locked for *machine* and *python*, except for the distributions *without*.

    Skip the test where no package index is in reach.
    """
    blocks = [block for block in _locked(machine, python) if block.partition("==")[0] not in without]
    place.mkdir()
    (place / "lock").write_text("".join(blocks))
    platforms = [f"--platform={distribution}_{machine}" for distribution in _DISTRIBUTIONS]

    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1",
            "--timeout=20", "--implementation=cp", f"--python-version={python}", *platforms, "--require-hashes",
            f"--requirement={place / 'lock'}", f"--dest={place / 'wheels'}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    if any(sign in done.stderr for sign in _NOBODY_ANSWERS):
        pytest.skip("no package index in reach")
    assert done.returncode == 0, done.stderr
    wheels = [*(place / "wheels").iterdir()]
    assert len(wheels) == len(blocks)
    return wheels


def _locked(machine: str, python: str) -> list[str]:
    """Return what is installed on *machine*, one distribution each, hashes and all."""
    environment = {
        "sys_platform": "linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    kept = []
    text = (ROOT / "requirements" / "fast.lock").read_text("utf-8")
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        requirement, hashes = block.partition(" \\\n")[::2]
        name, _, marker = requirement.partition(" ; ")
        if name and (not marker or Marker(marker).evaluate(environment)):
            kept.append(f"{name} \\\n{hashes}")
    return kept
