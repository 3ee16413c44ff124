"""The packages that confstream is made of: what each is for, and whether it can be imported.

Most are imported where they are first needed, so one that is missing breaks
only that. Without those that nothing works without, nothing is begun.
"""

import importlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from confstream.errors import ConfstreamError

__all__ = ["LEAN", "MODULES", "Module", "require"]

_PACKAGE = "confstream"


@dataclass(frozen=True, slots=True)
class Module:
    """A package that confstream imports as *name*, *distribution* installs, and what it is *needed* for.

    Without a *vital* one nothing can be recorded.
    """

    name: str
    distribution: str
    needed: str
    vital: bool = False

    @property
    def version(self) -> str:
        """Return which one is installed, as far as it is known."""
        from importlib import metadata  # noqa: PLC0415 - 3 MB that only a diagnosis needs

        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return "of unknown version"

    @property
    def is_installed(self) -> bool:
        """Return whether it is there at all, working or not."""
        try:
            return find_spec(self.name) is not None
        except (ImportError, ValueError):
            return True

    def lack(self) -> str:
        """Return why it cannot be imported; empty if it can."""
        try:
            importlib.import_module(self.name)
        except Exception as reason:  # noqa: BLE001 - a broken package raises what it likes
            lacks = reason.name if isinstance(reason, ImportError) and reason.name else self.name
            through = "" if lacks.split(".")[0] == self.name.split(".")[0] else f", which {self.name} imports,"
            module = self.name if not through else lacks
            how = "is missing" if isinstance(reason, ModuleNotFoundError) else f"fails with {type(reason).__name__}"
            return f"the module {module}{through} {how}; it is needed for {self.needed}"
        return ""

    @property
    def advice(self) -> str:
        """Return what to do where it is missing."""
        return f"pip install {self.distribution}, or build the image again with confstream doctor --self in its build"


_ZSTD = (
    Module("compression.zstd", _PACKAGE, "every content: they are compressed", vital=True)
    if sys.version_info >= (3, 14)
    else Module("backports.zstd", "backports.zstd", "every content: they are compressed", vital=True)
)
LEAN = Module("obstore", "obstore", "the lean client of S3, an extra; s3fs does without it")
"""What the extra ``fast`` brings."""

MODULES = (
    Module("msgpack", "msgpack", "the journal and every object on a replica", vital=True),
    _ZSTD,
    Module("pathspec", "pathspec", "patterns, those of profiles as well", vital=True),
    Module("yaml", "PyYAML", "verdicts on YAML files and confstream.yml; replication goes on without them"),
    Module("fsspec", "fsspec", "replicas that are not a local directory"),
    Module("s3fs", "s3fs", "replicas on S3"),
    Module("botocore", "botocore", "replicas on S3"),
    Module("aiobotocore", "aiobotocore", "replicas on S3"),
    *(
        (Module("inotify_simple", "inotify-simple", "events; without it the tree is polled"),)
        * (sys.platform == "linux")
    ),
    # An extra is looked at where somebody wanted it.
    *((LEAN,) * LEAN.is_installed),
    Module("typer", "typer", "the command line"),
)


def require() -> None:
    """Raise ``ConfstreamError`` if a module is missing without which nothing can be recorded."""
    for module in MODULES:
        if module.vital and (why := module.lack()):
            raise ConfstreamError(f"{why}: {module.advice}")
