"""The image can be made for every machine that it is for: all that is locked has a wheel there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.manifests import ROOT

_MACHINES = ("x86_64", "aarch64")
_DISTRIBUTIONS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
_NOBODY_ANSWERS = ("NewConnectionError", "ConnectTimeout", "Temporary failure in name resolution", "ProxyError")


def _python() -> str:
    """Return the version of Python that the image has."""
    (version,) = re.findall(r"^ARG BASE_IMAGE=python:(3\.\d+)-", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return str(version)


def _locked(machine: str, python: str) -> str:
    """Return what is installed on *machine*, hashes and all."""
    environment = {
        "sys_platform": "linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    kept = []
    text = (ROOT / "requirements" / "runtime.lock").read_text("utf-8")
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        requirement, hashes = block.partition(" \\\n")[::2]
        name, _, marker = requirement.partition(" ; ")
        if name and (not marker or Marker(marker).evaluate(environment)):
            kept.append(f"{name} \\\n{hashes}")
    return "".join(kept)


@pytest.mark.parametrize("machine", _MACHINES)
def test_every_locked_dependency_has_a_wheel(machine: str, tmp_path: Path) -> None:
    python = _python()
    (tmp_path / "lock").write_text(_locked(machine, python))
    platforms = [f"--platform={distribution}_{machine}" for distribution in _DISTRIBUTIONS]

    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1",
            "--timeout=20", "--implementation=cp", f"--python-version={python}", *platforms, "--require-hashes",
            f"--requirement={tmp_path / 'lock'}", f"--dest={tmp_path / 'wheels'}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    if any(sign in done.stderr for sign in _NOBODY_ANSWERS):
        pytest.skip("no package index in reach")
    assert done.returncode == 0, done.stderr
    wheels = [path.name for path in (tmp_path / "wheels").iterdir()]
    assert len(wheels) == (tmp_path / "lock").read_text().count("==")
    # Some are compiled: else nothing was proved about the machine.
    assert any(name.endswith(f"{machine}.whl") for name in wheels)
