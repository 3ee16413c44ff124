"""What a journal has to know of where it runs: the version, the user, and whether tree and replica may be there."""

import contextlib
import os
import sys
from functools import cache
from pathlib import Path

from confstream import requirements
from confstream.errors import UsageError
from confstream.store.open import check_url

_INSTALLED, _INFO = "confstream-", ".dist-info"


@cache
def version() -> str:
    """Return the version of confstream."""
    # The library's way to ask can read e-mails and archives, too: megabytes that a sidecar would hold for all its life.
    for place in sys.path:
        with contextlib.suppress(OSError), os.scandir(place or ".") as found:
            for entry in found:
                if entry.name.startswith(_INSTALLED) and entry.name.endswith(_INFO):
                    return entry.name[len(_INSTALLED) : -len(_INFO)]
    from importlib import metadata  # noqa: PLC0415 - for what was installed in another way

    try:
        return metadata.version("confstream")
    except metadata.PackageNotFoundError:
        return "unknown"


def user() -> str:
    """Return who runs this process, by name where there is one."""
    import getpass  # noqa: PLC0415

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
