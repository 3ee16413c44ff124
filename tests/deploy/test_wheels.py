"""The image can be made for every machine that it is for: all that is locked has a wheel there."""

import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.manifests import ROOT

_MACHINES = ("x86_64", "aarch64")
# What the base image's C library (Debian 12's, 2.36) takes: its own age and everything older.
_DISTRIBUTIONS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37)))
_NOBODY_ANSWERS = ("NewConnectionError", "ConnectTimeout", "Temporary failure in name resolution", "ProxyError")


def _python() -> str:
    """Return the version of Python that the image has."""
    (version,) = re.findall(r"^ARG BASE_IMAGE=python:(3\.\d+)-", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return str(version)


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


def test_every_locked_dependency_has_a_wheel_for_every_machine(tmp_path: Path) -> None:
    found: dict[str, list[str]] = {}
    for machine in _MACHINES:
        # What is not compiled is the same for all, and has to be fetched once.
        have = [name for name in found.get(_MACHINES[0], []) if name.endswith("-none-any.whl")]
        found[machine] = _fetch(machine, [_distribution(name) for name in have], tmp_path / machine)

    for machine, wheels in found.items():
        # Some are compiled: else nothing was proved about the machine.
        assert any(name.endswith(f"{machine}.whl") for name in wheels)


def _distribution(wheel: str) -> str:
    return re.sub("[-_.]+", "-", wheel.partition("-")[0]).lower()


def _fetch(machine: str, without: Collection[str], place: Path) -> list[str]:
    """Return the names of the wheels of what is locked for *machine*, except for the distributions *without*."""
    python = _python()
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
    wheels = [path.name for path in (place / "wheels").iterdir()]
    assert len(wheels) == len(blocks)
    return wheels
