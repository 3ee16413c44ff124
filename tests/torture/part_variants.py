"""The checkers checked: the product broken on purpose, in many ways, each of which some test has to notice."""

import io
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field

import pytest

from confstream.clock import SystemClock
from tests.processes import ROOT
from tests.torture.figures import Failure, Figures
from tests.torture.variants import VARIANTS, Variant, named

_PATIENCE_SECONDS = 300
"""How long the tests of one variant may take: some wait in vain for what a broken product does not do."""


@dataclass(frozen=True, slots=True)
class Caught:
    """Which test noticed, or an empty text if none did, and what it said."""

    test: str = ""
    said: str = ""


def run(seconds: float, seed: int) -> Figures:
    """Look at one variant after another, in an order by *seed*, until all had their turn or *seconds* are over."""
    clock, figures = SystemClock(), Figures()
    end_seconds = clock.elapsed_seconds() + seconds
    order = random.Random(seed).sample(VARIANTS, len(VARIANTS))  # noqa: S311 - an order, no secret.
    rows: list[tuple[Variant, Caught]] = []
    for variant in order:
        if rows and clock.elapsed_seconds() > end_seconds:
            break
        caught = catch(variant)
        rows.append((variant, caught))
        figures.operations += 1
        figures.more["variants_caught"] += bool(caught.test)
        if not caught.test:
            figures.failures.append(Failure(seed, f"no test notices that {variant.wrong} ({variant.name})", seconds))
    figures.seeds = 1
    print(table(rows), file=sys.stderr, flush=True)  # noqa: T201 - what the command is for.
    return figures


def table(rows: Sequence[tuple[Variant, Caught]]) -> str:
    """Return which test caught which variant, as the rows of a Markdown table."""
    order = {variant.name: number for number, variant in enumerate(VARIANTS)}
    lines = ["| broken on purpose | caught by |", "|---|---|"]
    for variant, caught in sorted(rows, key=lambda row: order[row[0].name]):
        file, _, name = caught.test.partition("::")
        by = f"`{name.partition('[')[0]}` in `{file}`" if name else "nothing"
        lines.append(f"| {variant.name}: {variant.wrong} | {by} |")
    return "\n".join(lines)


def catch(variant: Variant | None, tests: Sequence[str] = ()) -> Caught:
    """Run the tests of *variant*, or without one *tests* on the product as it is; return the first that fails.

    In a process of its own, which is the only one that is broken.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        code = 1
        try:
            _be_tested(variant, tests or (variant.tests if variant else ()), writer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        told = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGALRM:
        return Caught("", f"the tests did not end within {_PATIENCE_SECONDS} s")
    if status:
        raise RuntimeError(f"the tests could not be run: exit {status}, {told}")
    return Caught(*json.loads(told))


@dataclass(slots=True, eq=False)
class _FirstFailure:
    """Notes which test fails first."""

    caught: Caught = field(default_factory=Caught)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in how a phase of a test ended."""
        if report.failed and not self.caught.test:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message if crash else report.longrepr).partition("\n")[0]
            self.caught = Caught(report.nodeid, said[:200])


def _be_tested(variant: Variant | None, tests: Sequence[str], answer: int) -> None:
    """Become the broken process: run *tests* in it, and write to *answer* what was caught."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_PATIENCE_SECONDS)
    os.chdir(ROOT)
    if variant is not None:
        variant.install()
    first, said = _FirstFailure(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-o", "faulthandler_timeout=0")
        code = pytest.main([*options, *tests], plugins=[first])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        os.write(answer, said.getvalue()[-2000:].encode())
        raise RuntimeError(said.getvalue())
    os.write(answer, json.dumps([first.caught.test, first.caught.said]).encode())


def main(names: Sequence[str]) -> None:
    """Say of each of the variants *names*, as a line of JSON, which test caught it."""
    for name in names:
        caught = catch(named(name))
        print(json.dumps({"variant": name, "test": caught.test, "said": caught.said}), flush=True)  # noqa: T201 - likewise.


if __name__ == "__main__":
    main(sys.argv[1:])
