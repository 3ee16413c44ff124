"""Programs of Debian that what is in deploy/ is tried with: installed, or in the cache that prepare.sh fills."""

import os
import shutil
from pathlib import Path

import pytest

CACHE = Path(
    os.environ.get("CONFSTREAM_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "confstream-tests"
)
"""What tests of containers need, and is kept between runs."""

PACKAGES = CACHE / "packages"
"""Where packages are unpacked that nobody has to install."""


_WHERE = ("usr/lib/execline/bin", "usr/bin")
"""Debian's execlineb on the path is a script that knows where the program is."""


def find_packaged(name: str, package: str) -> str:
    """Return the path of the program *name*; skip the test where *package* is neither installed nor unpacked."""
    places = [str(root / where) for root in (Path("/"), PACKAGES) for where in _WHERE]
    program = shutil.which(name, path=os.pathsep.join([*places, os.environ["PATH"]]))
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}, or tests/containers/prepare.sh")
    return program
