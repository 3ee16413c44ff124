import os
import platform
import subprocess
import sys
import weakref

import pytest

from confstream_cli.heap import be_small, tidy

_PROGRAM = """
import os, sys
from pathlib import Path
from confstream_cli.heap import be_small

def held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10

assert be_small({}) is True
# Once something large was freed, the next ones of that size would come out of the heap.
bytearray(400_000)
before = held()
# Between two that are large there is one that stays: a heap that only grows at its end could give nothing back.
mixed = [(bytearray(200_000), bytearray(2_000)) for _ in range(200)]
most = held() - before
mixed = [small for _, small in mixed]
print(most, held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="another allocator")
def test_p14_what_was_large_goes_back_to_the_system() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    most, left = map(int, ended.stdout.split())
    assert most > 30_000
    assert left < 4_000


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_somebody_set_of_the_allocator_stays(name: str) -> None:
    assert be_small({"PATH": "/bin", name: "1"}) is False


def test_what_nobody_refers_to_any_more_is_given_back() -> None:
    class Node:
        other: "Node"

    node = Node()
    node.other, gone = node, weakref.ref(node)
    del node

    tidy()

    assert gone() is None
