"""What confstream is made of: whether every package that it can need is there, and every validator works."""

import importlib
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from confstream.check import Check
from confstream.doctor.looking import doubtful, fine, wrong
from confstream.errors import ConfstreamError, StaleError
from confstream.validate import Validators

_PACKAGE = "confstream"


@dataclass(frozen=True, slots=True)
class Module:
    """A package that confstream imports as *name*, *distribution* installs, and what it is *needed* for."""

    name: str
    distribution: str
    needed: str

    @property
    def version(self) -> str:
        """Return which one is installed, as far as it is known."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return "of unknown version"


_ZSTD = (
    Module("compression.zstd", _PACKAGE, "anything: contents are compressed")
    if sys.version_info >= (3, 14)
    else Module("backports.zstd", "backports.zstd", "anything: contents are compressed")
)
MODULES = (
    Module("msgpack", "msgpack", "anything: the journal and every object on a replica"),
    _ZSTD,
    Module("pathspec", "pathspec", "patterns of --include and --exclude and of profiles"),
    Module("yaml", "PyYAML", "verdicts on YAML files, confstream.yml and profiles; replication goes on without them"),
    Module("fsspec", "fsspec", "any replica that is not a local directory"),
    Module("s3fs", "s3fs", "replicas on S3"),
    Module("botocore", "botocore", "replicas on S3"),
    Module("aiobotocore", "aiobotocore", "replicas on S3"),
    *(
        (Module("inotify_simple", "inotify-simple", "events; without it the tree is polled"),)
        * (sys.platform == "linux")
    ),
    Module("prometheus_client", "prometheus-client", "/metrics"),
    Module("typer", "typer", "the command line"),
)


def modules(error: type[ConfstreamError] = StaleError) -> list[Check]:
    """Return which modules can be imported; one that cannot is a failure of its own, named after it."""
    there, failed = [], []
    for module in MODULES:
        try:
            importlib.import_module(module.name)
        except Exception as reason:  # noqa: BLE001 - a broken package raises what it likes
            failed.append(_missing(module, reason, error))
        else:
            there.append(f"{module.name} {module.version}")
    return [*failed, fine("modules", f"{len(there)} of {len(MODULES)} can be imported: {', '.join(there)}")]


def program() -> Check:
    """Return which confstream this is, and what it runs on."""
    ours = Module(_PACKAGE, _PACKAGE, "").version
    return fine(
        "program", f"confstream {ours}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def parsers() -> Iterator[Check]:
    """Yield a warning where YAML would be parsed by Python instead of C."""
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        # That it is missing is said already.
        return
    if not getattr(yaml, "__with_libyaml__", False):
        yield doubtful("module yaml", "without its C parser it is ten times slower", "install PyYAML from its wheel")


def validators(those: Validators | None = None, error: type[ConfstreamError] = StaleError) -> list[Check]:
    """Return which of *those* tell a good sample from a bad one; a broken one is a failure of its own."""
    tests = (those or Validators.default()).self_test()
    broken = [
        wrong(f"validator {name}", f"{test.why}; its files are not checked", "install what is missing", error)
        for name, test in tests.items()
        if not test.ok
    ]
    works = [name for name, test in tests.items() if test.ok]
    return [*broken, fine("validators", f"{len(works)} of {len(tests)} prove themselves: {', '.join(works)}")]


def _missing(module: Module, reason: Exception, error: type[ConfstreamError]) -> Check:
    lacks = reason.name if isinstance(reason, ImportError) and reason.name else module.name
    why = "is missing" if isinstance(reason, ModuleNotFoundError) else f"fails with {type(reason).__name__}"
    through = "" if lacks.split(".")[0] == module.name.split(".")[0] else f", imported by {module.name}"
    return wrong(
        f"module {module.name}",
        f"the module {lacks}{through} {why}; it is needed for {module.needed}",
        f"pip install {module.distribution}, or build the image again with confstream doctor --self in its build",
        error,
    )
