"""A process that fuzzes, led by coverage: the library is instrumented once, then every target has a child of its own.

Atheris ends the process that it runs in, and instruments what is imported
after it; so nothing of the library is imported here before that.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import random
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.torture.fuzz_target import Target

GROUPS = ("fuzz_objects", "fuzz_local", "fuzz_texts")
_TIMEOUT_SECONDS = 60
_MEMORY_MIB = 1500
_WEIGHED_EVERY = 64


def load() -> "dict[str, Target]":
    """Return all targets by name."""
    modules = [importlib.import_module(f"tests.torture.{name}") for name in GROUPS]
    return {target.name: target for module in modules for target in module.targets()}


def main() -> int:
    """Fuzz, or give one input to one target again."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.fuzz_worker", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which ones (all)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give this input to the one TARGET, and do no more")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where inputs, logs and findings go")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--runs", type=int, default=-1, metavar="N", help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, metavar="N", help="time for each target")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.replay is not None:
        (name,) = asked.targets
        load()[name].attempt(asked.replay.read_bytes(), weigh=True)
        return 0
    return _fuzz(asked)


def _fuzz(asked: argparse.Namespace) -> int:
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - there is none for every platform, and a replay needs none.

    with (
        (asked.folder / "instrumented.log").open("w") as log,
        contextlib.redirect_stderr(log),
        atheris.instrument_imports(include=["confstream"]),
    ):
        found = load()
    failed = 0
    for name in asked.targets or found:
        child = os.fork()
        if child == 0:
            _run(atheris, found[name], asked)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        failed += status != 0
        print(json.dumps({"target": name, "status": status}), flush=True)  # noqa: T201 - the answer to who started this.
    return 1 if failed else 0


def _run(atheris: Any, target: "Target", asked: argparse.Namespace) -> None:
    """Fuzz *target* in this process, which ends with it."""
    folder = asked.folder / target.name
    folder.mkdir()
    # Whoever started this removes it: this process ends without tidying up.
    tempfile.tempdir = str(asked.folder)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    log = os.open(asked.folder / f"{target.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    turns = 0

    def one_input(given: bytes) -> None:
        nonlocal turns
        turns += 1
        target.attempt(given, weigh=turns % _WEIGHED_EVERY == 0)

    def mutate(given: bytes, size_max: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311 - inputs, not secrets.
        made = target.mutate(given, rng, lambda old: bytes(atheris.Mutate(old, max(len(old) + 64, 1))))
        return made[:size_max]

    options = [
        f"-seed={asked.seed % (2**32 - 2) + 1}",
        f"-runs={asked.runs}",
        f"-max_total_time={asked.seconds}",
        f"-max_len={target.size_max}",
        f"-timeout={_TIMEOUT_SECONDS}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-artifact_prefix={asked.folder}/found-{target.name}-",
        "-len_control=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], one_input, custom_mutator=mutate)
    with importlib.import_module("tests.torture.fuzz_target").without_threads():
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
