"""confstream as it is on arm64, with the wheels that an image for arm64 has: emulated, so it takes a minute."""

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.programs import CACHE, find_packaged
from tests.wheels import fetch

_MAKE_SECONDS_MAX, _RUN_SECONDS_MAX = 600, 280
_EMULATOR = "/usr/bin/qemu-aarch64-static"


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Path:
    """Give the root file system of another machine; skip with the reason where there is none."""
    if not request.config.getoption("--complete"):
        pytest.skip("an emulated machine takes a minute, and much to fetch: --complete")
    if os.geteuid() != 0:
        pytest.skip("another root file system needs root")
    qemu = find_packaged("qemu-aarch64-static", "qemu-user-static")
    find_packaged("debootstrap", "debootstrap")
    root, complete = CACHE / "arm64", CACHE / "arm64.complete"
    if not complete.exists():
        made = subprocess.run(
            [ROOT / "tests" / "containers" / "arm64.sh", root, qemu],
            capture_output=True, text=True, timeout=_MAKE_SECONDS_MAX, check=False,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"no root file system for arm64: {made.stderr[-300:]}")
        complete.touch()
    return root


def test_the_wheels_for_arm64_work_there(machine: Path, tmp_path: Path) -> None:
    python = re.findall(
        r"python(3\.\d+)$", "\n".join(str(path) for path in machine.glob("usr/bin/python3.*")), re.MULTILINE
    )[0]
    site = machine / "opt" / "confstream"
    shutil.rmtree(site, ignore_errors=True)
    for wheel in fetch("aarch64", python, tmp_path / "fetched"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for package in ("confstream", "cli/confstream_cli"):
        shutil.copytree(ROOT / package, site / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/opt/confstream", "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(
        [shutil.which("chroot") or "/usr/sbin/chroot", machine, _EMULATOR, "/usr/bin/python3", "-m", "confstream_cli",
         "doctor", "--self"],
        env=variables, capture_output=True, text=True, timeout=_RUN_SECONDS_MAX, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Linux aarch64" in done.stdout
    assert "restored and verified on a local replica" in done.stdout
    assert "made, with all that belongs to it: s3fs, lean" in done.stdout
