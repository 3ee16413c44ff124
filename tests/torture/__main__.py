"""Run parts of the torture for as long as one likes: every seed can be given, every failure names its own.

A part is a module ``part_NAME.py`` beside this one, with a function
``run(seconds, seed)`` that returns its figures. It is loaded when it is named.
"""

import argparse
import ast
import importlib
import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from confstream.clock import SystemClock
from tests.torture.figures import Figures

HERE = Path(__file__).parent
SCRUBBED = ("AWS_", "CONFSTREAM_", "FSSPEC_", "S3FS_")
SEED_COUNT = 2**31
ROUND_SEEDS = 10_000_000
"""How far apart the seeds of two rounds lie: farther than a round gets."""

CONTRACT = """\
A part runs histories with the seeds S, S + 1 and so on until its time is over, at least one, and ends at its first
failure, which is printed with the seed and the command that shows it again. At its end it prints its figures as one
line of JSON. The exit status is 1 if anything failed.
"""


def parts() -> dict[str, str]:
    """Return the names of all parts with what each says of itself."""
    found = {}
    for path in sorted(HERE.glob("part_*.py")):
        words = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        found[path.stem.removeprefix("part_")] = words.partition("\n")[0]
    return found


def run(part: str, seconds: float, seed: int) -> Figures:
    """Run one *part*."""
    module = importlib.import_module(f"tests.torture.part_{part}")
    figures = module.run(seconds, seed)
    assert isinstance(figures, Figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    known = parts()
    listing = "\n".join(f"  {name:<12}{words}" for name, words in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description=__doc__.partition("\n")[0],
        epilog=f"parts:\n{listing}\n\n{CONTRACT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="+", metavar="PART", choices=[*known, "all"], help="which parts, or all")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        metavar="N",
        help="for all parts together, in equal shares (60); 0 runs one history of each",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="the first seed (drawn from the system, and printed)")
    parser.add_argument(
        "--until-failure",
        action="store_true",
        help="go on in rounds of --seconds, with fresh seeds in each, until something fails",
    )
    asked = parser.parse_args(arguments)
    if "all" in asked.parts:
        asked.parts = [*known]
    if asked.seed is None:
        asked.seed = secrets.randbelow(SEED_COUNT)
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what *arguments* ask for and return the exit status."""
    asked = parse(arguments)
    for name in [*os.environ]:
        if name.startswith(SCRUBBED):
            del os.environ[name]
    clock = SystemClock()
    _say(f"seed {asked.seed}")
    seed, has_failed = asked.seed, False
    while True:
        for part in asked.parts:
            began_seconds = clock.elapsed_seconds()
            figures = run(part, asked.seconds / len(asked.parts), seed)
            print(json.dumps(figures.document(part, seed, clock.elapsed_seconds() - began_seconds)), flush=True)  # noqa: T201 - what the command is for.
            if figures.failures:
                has_failed = True
                _say(figures.complaint(part))
        if has_failed or not asked.until_failure:
            return 1 if has_failed else 0
        seed += ROUND_SEEDS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - likewise.


if __name__ == "__main__":
    sys.exit(main())
