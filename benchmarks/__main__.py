"""``python -m benchmarks``: measure, and write what was measured as JSON; ``benchmarks.report`` draws it."""

import argparse
import contextlib
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from benchmarks.conditions import conditions, load
from benchmarks.rows import ROWS
from benchmarks.samples import Row
from benchmarks.world import FULL, QUICK, TINY, Scale, World, say

_SCALES = {"full": FULL, "quick": QUICK, "tiny": TINY}


def main() -> None:
    """Measure the rows that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure (default: all): {', '.join(ROWS)}")
    parser.add_argument("--output", type=Path, help="where the JSON goes (default: stdout)")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--pairs", type=int, help="how many second writes `second-write` looks for in a storm")
    parser.add_argument("--seed", type=int, default=20261126, help="what is drawn is drawn from it")
    parser.add_argument("--scale", choices=_SCALES, default="full", help="how much work: full, quick or tiny")
    parser.add_argument("--quick", action="store_const", const="quick", dest="scale", help="the same as --scale quick")
    parser.add_argument("--cache", type=Path, help="keep replayed histories here for the next time")
    options = parser.parse_args()
    if unknown := sorted(set(options.rows) - ROWS.keys()):
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    scale = _SCALES[options.scale]
    if options.rounds is not None:
        if options.rounds < 2:  # noqa: PLR2004, quartiles need two samples.
            parser.error("--rounds must be at least 2")
        scale = replace(scale, rounds=options.rounds)
    if options.pairs is not None:
        scale = replace(scale, pairs=max(1, options.pairs))
    # However it is asked to end, what it has started ends with it.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))

    def keep(document: dict[str, object]) -> None:
        text = json.dumps(document, indent=1) + "\n"
        if options.output is None:
            sys.stdout.write(text)
        else:
            options.output.write_text(text, encoding="utf-8")

    measure(options.rows or list(ROWS), scale, options.seed, keep, options.cache)


def measure(
    names: list[str],
    scale: Scale,
    seed: int,
    keep: Callable[[dict[str, object]], None],
    cache: Path | None = None,
) -> None:
    """Measure the rows *names*, and give *keep* the document; also if a row fails, with those before it."""
    # What becomes of the contents of a replay is no news.
    logging.getLogger("confstream").setLevel(logging.ERROR)
    where = conditions(scale, seed)
    rows: dict[str, object] = {}
    took: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
        kept = Path(scratch, "cache") if cache is None else cache.absolute()
        world = stack.enter_context(World(Path(scratch), kept, scale, seed))
        try:
            for name in names:
                say(f"{name} ...")
                began = time.monotonic()
                module, _, function = ROWS[name].partition(":")
                row: Row = getattr(import_module(f"benchmarks.rows.{module}"), function)(world)
                rows[name] = row.document()
                took[name] = round(time.monotonic() - began, 1)
                say(f"{name}: {took[name]:g} s")
        finally:
            where["load_after"] = load()
            keep({"conditions": where, "took_seconds": took, "rows": rows})


if __name__ == "__main__":
    main()
