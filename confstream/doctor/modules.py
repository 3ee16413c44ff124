"""What confstream is made of: whether every package that it can need is there, and every validator works."""

import importlib
import platform
from collections.abc import Iterator

from confstream.check import Check
from confstream.doctor.looking import doubtful, fine, wrong
from confstream.errors import ConfstreamError, StaleError
from confstream.requirements import MODULES, Module
from confstream.validate import Validators


def modules(error: type[ConfstreamError] = StaleError) -> list[Check]:
    """Return which modules can be imported; one that cannot is a failure of its own, named after it."""
    there, failed = [], []
    for module in MODULES:
        if why := module.lack():
            failed.append(wrong(f"module {module.name}", why, module.advice, error))
        else:
            there.append(f"{module.name} {module.version}")
    return [*failed, fine("modules", f"{len(there)} of {len(MODULES)} can be imported: {', '.join(there)}")]


def program() -> Check:
    """Return which confstream this is, and what it runs on."""
    ours = Module("confstream", "confstream", "").version
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
        wrong(
            f"validator {name}",
            f"{test.why}; its files are not checked",
            "install what it needs, or correct its command and its samples",
            error,
        )
        for name, test in tests.items()
        if not test.ok
    ]
    works = [name for name, test in tests.items() if test.ok]
    return [*broken, fine("validators", f"{len(works)} of {len(tests)} prove themselves: {', '.join(works)}")]
