"""What a journal has to know of where it runs: the version, the user, and whether tree and replica may be there."""

import getpass
import os
from importlib import metadata
from pathlib import Path

from confstream import requirements
from confstream.errors import UsageError
from confstream.store.open import check_url


def version() -> str:
    """Return the version of confstream."""
    try:
        return metadata.version("confstream")
    except metadata.PackageNotFoundError:
        return "unknown"


def user() -> str:
    """Return who runs this process, by name where there is one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's uid need not be in any table.
        return f"uid {os.getuid()}"


def check_places(root: Path, replica: str) -> None:
    """Raise ``UsageError`` if *root* is no directory, *replica* lies in it or can be none; first for a module."""
    requirements.require()
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory: give the directory to protect, or create it first")
    check_url(replica)
    if "://" in replica and not replica.lower().startswith("file://"):
        return
    place = Path(replica[len("file://") :] if "://" in replica else replica).absolute()
    if place.resolve().is_relative_to(root.resolve()):
        # Every revision would be a change of the tree, and so another revision.
        raise UsageError(f"the replica {place} is inside of the tree {root}; put it somewhere else")
