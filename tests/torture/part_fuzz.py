"""Every decoder, parser and answer under inputs that coverage leads to: typed errors only, in bounded memory.

Needs atheris, which there is for Linux on x86_64. ``first_failure`` in
``fuzz_target`` tries the same targets in this process, on any platform.
"""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.torture.figures import Failure, Figures
from tests.torture.fuzz_target import in_memory
from tests.torture.fuzz_worker import load

ROOT = Path(__file__).resolve().parents[2]
RUNS = 300
"""How many inputs each target has where no time is given."""

_DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_BEGUN = re.compile(r"^#\d+\s+INITED\s+cov: (\d+)", re.MULTILINE)
_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_RAISED = re.compile(r"=== Uncaught Python exception: ===\n(.*?)\n==", re.DOTALL)
_SHOWN = 3000


def is_possible() -> bool:
    """Return whether there is an atheris for this platform."""
    return importlib.util.find_spec("atheris") is not None


def run(seconds: float, seed: int) -> Figures:
    """Fuzz all targets in turn, each with its share of *seconds*; with none, a few hundred inputs each."""
    if not is_possible():
        figures = Figures()
        figures.more["skipped_without_atheris"] = 1
        return figures
    names = [*load()]
    return fuzz(names, seed, runs=-1 if seconds else RUNS, seconds=seconds / len(names) if seconds else 0)


def fuzz(names: Sequence[str], seed: int, *, runs: int = -1, seconds: float = 0) -> Figures:
    """Fuzz *names* with *seed*, each for so many *runs* or *seconds*; findings are kept, and among the figures."""
    folder = Path(tempfile.mkdtemp(prefix="confstream-fuzz-", dir=in_memory()))
    command = [sys.executable, "-m", "tests.torture.fuzz_worker", *names, "--folder", str(folder), "--seed", str(seed)]
    command += ["--runs", str(runs), "--seconds", str(max(1, round(seconds)) if seconds else 0)]
    worker = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    figures = Figures(seeds=1)
    answers = [json.loads(line) for line in worker.stdout.splitlines()]
    for answer in answers:
        log = (folder / f"{answer['target']}.log").read_text(errors="replace")
        _count(figures, log)
        if answer["status"]:
            figures.failures.append(Failure(seed, _told(folder, answer["target"], log), seconds * len(names)))
    if len(answers) != len(names):
        text = f"the worker ended early, with {worker.returncode}:\n{worker.stderr[-_SHOWN:]}"
        figures.failures.append(Failure(seed, text, seconds * len(names)))
    if not figures.failures:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _count(figures: Figures, log: str) -> None:
    figures.more["targets"] += 1
    if executed := _EXECUTED.search(log) or _DONE.search(log):
        figures.operations += int(executed[1])
    begun, done = _BEGUN.search(log), _DONE.search(log)
    if begun and done:
        figures.more["coverage_of_seeds"] += int(begun[1])
        figures.more["coverage"] += int(done[2])
        figures.more["features"] += int(done[3])
        figures.more["corpus"] += int(done[4])


def _told(folder: Path, name: str, log: str) -> str:
    """Return what was raised, where the input is, and the command that gives it to the target again."""
    raised = _RAISED.search(log)
    text = raised[1] if raised else log
    found = sorted(folder.glob(f"found-{name}-*"))
    again = shlex.join(["python", "-m", "tests.torture.fuzz_worker", name, "--replay", *map(str, found[:1])])
    return f"target {name}:\n{text[-_SHOWN:]}\nThis input again: .venv/bin/{again}"
