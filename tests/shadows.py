"""Modules that cannot be imported in another process: others of their name, found first, that fail."""

import os
from pathlib import Path

from tests.processes import ROOT


def shadow(directory: Path, *names: str) -> dict[str, str]:
    """Return variables with which a process cannot import the top-level modules *names*; *directory* is used for it."""
    directory.mkdir(exist_ok=True)
    for name in names:
        failing = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (directory / f"{name}.py").write_text(failing, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT), str(ROOT / "cli")])}
