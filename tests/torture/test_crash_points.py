"""Killed at named points, cut from power at any: the next run makes it whole, and nothing that was told is lost.

A seeded slice here; ``--complete`` kills at every point, and builds many more states.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture import crash_breaks
from tests.torture.crash_bench import ROOT, bench, scenarios
from tests.torture.crash_breaks import VARIANTS

SEED = int(os.environ.get("SEED", "20261126"))
KILLS, STATES = 4, 6
GROUPS = range(3)
"""The scenarios in groups that can run side by side."""

STATES_COMPLETE = 400
WRITES = re.compile(
    r"^(openat|write|pwrite64|ftruncate|fsync|fdatasync|renameat2?|rename|linkat|link|unlinkat|"
    r"unlink|rmdir|mkdirat|mkdir|symlinkat|symlink|fchmodat|fchmod|chmod|fchownat|fchown|chown|utimensat)"
    r"\((.*)\) += (\d+)"
)
KINDS = {
    "openat": "create", "pwrite64": "write", "ftruncate": "truncate", "fsync": "sync", "fdatasync": "sync",
    "renameat": "rename", "renameat2": "rename", "linkat": "link", "unlinkat": "unlink", "mkdirat": "mkdir",
    "symlinkat": "symlink", "fchmod": "attributes", "chmod": "attributes", "fchmodat": "attributes",
    "fchown": "attributes", "chown": "attributes", "fchownat": "attributes", "utimensat": "attributes",
    "exchange": "rename", "rmdir": "unlink",
}  # fmt: skip
"""What strace and the recorder call the same; a directory is unlinked with a flag."""


def _complete(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--complete"))


@pytest.mark.parametrize("group", GROUPS)
def test_p3_p4_p5_killed_at_a_named_point_the_next_run_converges_and_nothing_is_lost(
    group: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    results = bench("crashes", scenarios()[group :: len(GROUPS)], SEED, limit=0 if _complete(request) else KILLS)

    assert [failure for result in results for failure in result.failures] == []
    kills, tried = sum(result.kills for result in results), sum(result.tried for result in results)
    points = sum(result.points for result in results)
    record_property("measured", f"crash points: {kills} kills at {tried} of {points} points, seed {SEED}")
    assert kills > 0.9 * tried, "points that are not reached kill nobody"
    assert points > 400


@pytest.mark.parametrize("group", GROUPS)
def test_p3_p4_p5_what_a_disk_holds_after_a_power_cut_is_recovered_from(
    group: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    limit = STATES_COMPLETE if _complete(request) else STATES

    results = bench("power", scenarios(cuttable=True)[group :: len(GROUPS)], SEED, limit=limit)

    assert [failure for result in results for failure in result.failures] == []
    tried, states = sum(result.tried for result in results), sum(result.points for result in results)
    record_property("measured", f"power cuts: {tried} of {states} states recovered from, seed {SEED}")
    assert tried >= len(results) * STATES


def test_p4_a_tree_that_was_restored_into_a_new_directory_was_gone_after_a_power_cut() -> None:
    [result] = bench("power", ["restore-missing"], SEED, limit=60)

    assert result.failures == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_confstream_that_is_broken_on_purpose_is_found_out(variant: str) -> None:
    part, scenario, limit = VARIANTS[variant]

    [result] = bench(part, [scenario], SEED, limit=limit, broken=f"{crash_breaks.__name__}:{variant}")

    assert result.failures, f"{result.tried} of {result.points} points, and nobody noticed"


def test_no_call_that_changes_files_is_hidden_from_the_recorder(tmp_path: Path) -> None:
    """What strace sees below the directory is what was recorded, kind by kind."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    base, trace = tmp_path / "base", tmp_path / "trace"
    base.mkdir()
    program = [sys.executable, "-m", "tests.torture.crash_seen", str(base)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}
    # A file for each thread: no call is cut in two by another one.
    command = [strace, "-ff", "-y", "-s", "0", "-o", str(trace), *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip("this container may not trace")
    assert done.returncode == 0, done.stderr

    recorded = Counter(json.loads(done.stdout.splitlines()[-1]))
    seen = _seen([line for path in tmp_path.glob("trace.*") for line in path.read_text().splitlines()], base)

    # The recorder sees more in two cases: a truncation by opening, and a mode that is set through /proc/self/fd.
    assert seen - recorded == Counter()
    assert recorded - seen <= Counter(truncate=10, attributes=10)
    assert set(recorded) >= {"create", "write", "sync", "rename", "link", "unlink", "mkdir", "symlink", "attributes"}


def _seen(trace: list[str], base: Path) -> Counter[str]:
    """Count the calls of *trace* that succeeded and are about something below *base*."""
    seen: Counter[str] = Counter()
    opened: set[str] = set()
    for line in trace:
        found = WRITES.match(line)
        if found is None or f"{base}/" not in found[2] + "/":
            continue
        name, arguments = found[1], found[2]
        if name == "openat":
            # Without O_EXCL, it creates the first time only.
            if "O_CREAT" not in arguments or ("O_EXCL" not in arguments and arguments in opened):
                continue
            opened.add(arguments)
        if name == "write" and not re.match(rf"\d+<{re.escape(str(base))}/", arguments):
            continue
        seen[KINDS.get(name, name)] += 1
    return seen
