"""The image can be made for every machine that it is for: all that is locked has a wheel there."""

import re
from pathlib import Path

from tests.wheels import fetch, python_of_the_image

_MACHINES = ("x86_64", "aarch64")


def test_every_locked_dependency_has_a_wheel_for_every_machine(tmp_path: Path) -> None:
    found: dict[str, list[str]] = {}
    for machine in _MACHINES:
        # What is not compiled is the same for all, and has to be fetched once.
        have = [name for name in found.get(_MACHINES[0], []) if name.endswith("-none-any.whl")]
        without = [re.sub("[-_.]+", "-", name.partition("-")[0]).lower() for name in have]
        found[machine] = [wheel.name for wheel in fetch(machine, python_of_the_image(), tmp_path / machine, without)]

    for machine, wheels in found.items():
        # Some are compiled: else nothing was proved about the machine.
        assert any(name.endswith(f"{machine}.whl") for name in wheels)
