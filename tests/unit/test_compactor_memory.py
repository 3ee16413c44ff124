"""What packing takes in memory, where a sidecar does it beside everything else."""

import subprocess
import sys
from pathlib import Path

import pytest

from confstream.store.local import LocalStore
from tests.journals import ROOT
from tests.logs import Scribe

_REVISIONS, _SIZE = 120, 600_000
_GROWTH_MIB_MAX = 80
_PROGRAM = """
import sys
from confstream.clock import SystemClock
from confstream.compactor import IN_PASSING, compact
from confstream.store.local import LocalStore

def mebibytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

store, clock = LocalStore(sys.argv[1]), SystemClock()
before = mebibytes("VmRSS:")
report = compact(store, clock, tail=0, merge_ratio=float("inf"), manner=IN_PASSING)
print(len(report.packs), mebibytes("VmHWM:") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most that a process ever took")
def test_p14_a_writer_packs_any_contents_in_bounded_memory(tmp_path: Path) -> None:
    scribe = Scribe(LocalStore(tmp_path))
    for _ in range(_REVISIONS):
        scribe.write(a_yml=scribe.random.randbytes(_SIZE))

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    packs, growth_mib = ended.stdout.split()
    assert int(packs) == 6
    assert float(growth_mib) <= _GROWTH_MIB_MAX
