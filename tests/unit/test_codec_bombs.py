"""Objects that ask for far more memory than they have bytes (P14).

Run as a program, this measures every one of them in a process of its own.
"""

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from confstream.codec.envelope import METADATA_SIZE_MAX, ObjectKind, seal
from confstream.codec.fields import ENTRIES_MAX, pack
from confstream.tree import Entry
from tests.forgery import resealed, revision_of, rich_record, zeros_of, zstd_frame
from tests.strategies import decoders

DECODERS = decoders()
MIB = 1 << 20


def _bombs() -> dict[str, tuple[str, bytes]]:
    """Return objects that ask for far more memory than they have bytes."""
    runs = [1 << 17] * 512
    entry = Entry.file(b"f", b"")
    size_max = METADATA_SIZE_MAX

    def filled(pattern: bytes, head: bytes = b"") -> bytes:
        return resealed("revision", (head + pattern * (size_max // len(pattern)))[:size_max])

    branching = b"\x9f" + b"\x80" * 15
    for _ in range(5):
        branching = b"\xdc\x00\x10" + branching * 16
    record = rich_record()
    cut = record.index(b"\x95\x92\x01\xc4\x01a")
    many = record[:cut] + b"\xdd" + struct.pack(">I", ENTRIES_MAX // 8) + b"\x92\x01\xc4\x01a" * (ENTRIES_MAX // 8)
    beyond = record[:cut] + b"\xdd" + struct.pack(">I", 13 * MIB) + b"\x92\x01\xc4\x01a" * (12 * MIB)
    return {
        "metadata announces 60 GiB": ("revision", seal(ObjectKind.REVISION, zstd_frame(60 << 30, *runs))),
        "contents announce 60 GiB": ("snapshot", zeros_of(100, zstd_frame(60 << 30, *runs))),
        "contents are ten thousand times as large": ("snapshot", zeros_of(6710, zstd_frame(6710, *runs))),
        "metadata is ten thousand times as large": ("tag", seal(ObjectKind.TAG, zstd_frame(6710, *runs))),
        "metadata of zeros": ("revision", seal(ObjectKind.REVISION, zstd_frame(size_max, *runs))),
        "a tag of zeros": ("tag", seal(ObjectKind.TAG, zstd_frame(size_max, *runs))),
        "empty maps": ("revision", filled(b"\x80")),
        "arrays of empty maps": ("revision", filled(b"\x9f" + b"\x80" * 15)),
        "maps of maps": ("revision", filled(b"\x81\xa1a")),
        "one value of a million arrays of empty maps": ("revision", resealed("revision", branching)),
        "deep arrays": ("revision", filled(b"\x91")),
        "wide and deep arrays": ("revision", filled(b"\xdc\x00\x10")),
        "arrays of 2^32-1": ("revision", filled(b"\xdd\xff\xff\xff\xff")),
        "maps of 2^32-1": ("revision", filled(b"\xdf\xff\xff\xff\xff")),
        "bytes of 2^32-1": ("revision", filled(b"\xc6\xff\xff\xff\xff")),
        "a text of 2^32-1": ("revision", filled(b"\xdb\xff\xff\xff\xff")),
        "a snapshot of 2^32-1 entries": (
            "snapshot",
            resealed(
                "snapshot", pack((1, entry.hash, 1, 0), "ok") + b"\x90" + pack(entry.hash) + b"\xdd" + b"\xff" * 4
            ),
        ),
        "a snapshot whose hash is a number": ("snapshot", resealed("snapshot", pack((1, 1 << 40, 1, 0), "ok"))),
        "a pack of 2^32-1 revisions": ("pack", resealed("pack", pack((1, 2**32 - 1, 0)) + b"\xdd" + b"\xff" * 4)),
        "positions": ("revision", revision_of(record, bytes(60 * MIB), b"", b"")),
        "reasons": (
            "revision",
            revision_of(record.replace(b"\x91\xa6broken", b"\xdd\x03\xff\xff\xff" + b"\xa0" * 60 * MIB)),
        ),
        "more changes than possible": ("revision", revision_of(beyond)),
        "an eighth of the changes possible": ("revision", revision_of(many)),
    }


def _peak_of(kind: str, body: bytes) -> tuple[int, float, str]:
    """Return by how many bytes a process grows that decodes *body*, the CPU seconds, and what was raised."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF)
        try:
            DECODERS[kind](body)
            raised = "nothing"
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent judges
            raised = f"{type(error).__name__}: {error}"
        after = resource.getrusage(resource.RUSAGE_SELF)
        grown = (after.ru_maxrss - before.ru_maxrss) * 1024
        os.write(write_end, pickle.dumps((grown, after.ru_utime - before.ru_utime, raised[:500])))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        found: tuple[int, float, str] = pickle.loads(answer.read())  # noqa: S301 - our own child
    os.waitpid(child, 0)
    return found


@pytest.mark.exhaustive
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to measure one decoder alone")
def test_p14_a_bomb_costs_bounded_memory_and_time() -> None:
    # In a process of its own: this one may have threads, which do not go with fork.
    root = str(Path(__file__).parents[2])
    answer = subprocess.run(
        [sys.executable, __file__], env=os.environ | {"PYTHONPATH": root}, capture_output=True, check=True
    )
    measured = json.loads(answer.stdout)
    print(*measured, sep="\n")  # noqa: T201 - shown where the test fails

    assert len(measured) == len(_bombs())
    for name, size, grown, seconds, raised in measured:
        limit = 3 * METADATA_SIZE_MAX + 64 * MIB
        if name.startswith(("metadata announces", "contents", "metadata is", "a tag", "a snapshot", "a pack")):
            limit = 3 * size + 64 * MIB
        elif name == "an eighth of the changes possible":
            limit = 64 * ENTRIES_MAX + 16 * MIB
        assert size < 8 * MIB, name
        assert raised.startswith("IntegrityError: k: "), f"{name}: {raised}"
        assert grown < limit, f"{name}: {grown / MIB:.0f} MiB for {size} bytes"
        assert seconds < 10, f"{name}: {seconds} s"


if __name__ == "__main__":
    json.dump([(name, len(body), *_peak_of(kind, body)) for name, (kind, body) in _bombs().items()], sys.stdout)
