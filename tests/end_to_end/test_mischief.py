"""A program does everything it should not to a directory: in the end the replica has exactly what is on the disk."""

import os
import random
import sys
from pathlib import Path

import pytest

from confstream import Selection, scan
from tests.end_to_end.conftest import Replicas
from tests.processes import ROOT, Process, confstream, run_confstream
from tests.servers import wait_until

_OPTIONS = ("--heartbeat", "0", "--settle", "0.4s")
_WAYS = {
    # Without a comparison every edit has to be told by an event; a hard link's other name is told by none.
    "events": (("--scan-interval", "1h"), ()),
    "comparisons": (("--scan-interval", "2s"), ("linked",)),
    "polling": (("--poll", "0.3s"), ("linked",)),
}


@pytest.mark.parametrize("way", _WAYS)
def test_p6_whatever_a_program_does_the_replica_ends_as_the_disk_does(
    replicas: Replicas, tree: Path, tmp_path: Path, request: pytest.FixtureRequest, way: str
) -> None:
    complete = request.config.getoption("--complete")
    seed = os.environ.get("MISCHIEF", str(random.SystemRandom().randrange(1 << 32)))
    print(f"MISCHIEF={seed}")  # noqa: T201 - pytest shows it where the test fails.
    options, linked = _WAYS[way]
    replica, outside, volume = replicas.make(), tmp_path / "outside", tmp_path / "volume"
    onlooker = replicas.look_at(replica)
    outside.mkdir()
    (tree / "keep.yml").write_text("a: 1\n")
    program = ROOT / "tests" / "end_to_end" / "programs" / "mischief.py"
    arguments = [str(tree), str(outside), seed, "5000" if complete else "250", *linked]
    with confstream("replicate", tree, replica, *_OPTIONS, *options) as writer:
        onlooker.wait_for_file("keep.yml", b"a: 1\n", writer)
        with Process([sys.executable, program, *arguments]) as mischief:
            wait_until(lambda: not mischief.is_running, 600 if complete else 60, "the end of the mischief")
            done = mischief.finish()
            assert done.code == 0, done
        wanted = scan.load(tree, Selection(), databases={}).tree
        try:
            onlooker.wait_for(wanted.matches, "what is on the disk", writer, seconds=30)
        except pytest.fail.Exception:
            found = onlooker.tree()
            differing = [
                path
                for path in {*wanted, *found}
                if path not in wanted or path not in found or not wanted[path].matches(found[path])
            ]
            pytest.fail(f"other on the replica: {[(wanted.get(path), found.get(path)) for path in differing[:5]]}")
        ended = writer.stop()
    assert ended.code == 0, ended
    assert "Traceback" not in ended.stderr
    assert onlooker.tree().matches(wanted)

    done = run_confstream("restore", replica, volume, "--if-missing", "--revision", "latest")
    assert done.code == 0, done
    assert scan.load(volume, Selection(), databases={}).tree.matches(wanted)
