"""A wall clock that jumps while ``replicate`` runs: revisions keep their order, and what cannot go on is told.

S3 refuses requests of a clock that is off by more than 15 minutes. Below that,
everything goes on; above, everything says so until the clock is set right.
"""

import os
import re
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream, run_confstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is asked for where Linux keeps it")
_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "1s")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class WallClock:
    """The wall clock of the processes that are started with *environment*; their steady clock is the system's."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._file = directory / "shift"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, shift_seconds: int) -> None:
        """Let it be off by *shift_seconds* from now on."""
        self.shift_seconds = shift_seconds
        written = self._file.with_name("shift-new")
        written.write_text(f"{shift_seconds:+d}\n")
        written.rename(self._file)

    def write(self, path: Path, text: str) -> None:
        """Write a file that is stamped with this clock, as the kernel of a machine would whose clock it is."""
        written = path.with_name(path.name + "-new")
        written.write_text(text)
        now_ns = SystemClock().now_ns() + self.shift_seconds * 10**9
        os.utime(written, ns=(now_ns, now_ns))
        written.rename(path)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Give a wall clock that is right until it is set."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    return WallClock(found[0], tmp_path)


@pytest.fixture
def replica(replicas: Replicas) -> str:
    """Give the URL of an empty replica on SeaweedFS."""
    return replicas.make("seaweed")


@pytest.fixture
def onlooker(replicas: Replicas, replica: str) -> Onlooker:
    """Give an onlooker of the replica, whose own clock is right."""
    return replicas.look_at(replica)


def _assert_in_order(onlooker: Onlooker, contents: list[bytes]) -> None:
    assert onlooker.versions("config.yml") == contents
    log = onlooker.log()
    assert [entry.number for entry in log] == list(range(1, len(log) + 1))
    assert all(earlier.time_ns <= later.time_ns for earlier, later in pairwise(log)), "a time that goes back"


def _goes_by(seen: Endpoints, shift_seconds: int) -> bool:
    off_seconds = seen.metric("last_success_timestamp_seconds") - SystemClock().now_ns() / 1e9
    return abs(off_seconds - shift_seconds) < _MINUTE


def test_p7_a_clock_that_jumps_by_less_than_s3_refuses_changes_neither_order_nor_health(
    replica: str, onlooker: Onlooker, tree: Path, clock: WallClock
) -> None:
    path, contents = tree / "config.yml", [b"a: 1\n"]
    clock.write(path, "a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, environment=clock.environment) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        seen = Endpoints(writer)
        seen.wait_for_health()
        for number, shift_seconds in enumerate((10 * _MINUTE, -10 * _MINUTE, 0), start=2):
            clock.set(shift_seconds)
            contents.append(f"a: {number}\n".encode())
            clock.write(path, f"a: {number}\n")

            head = onlooker.wait_for_file("config.yml", contents[-1], writer)

            writer.wait_until(
                partial(_goes_by, seen, shift_seconds), "a round trip to be noted by the clock that was given"
            )
            writer.wait_until(lambda: seen.metric("up_to_date") == 1, "the replica to be up to date")
            assert (seen.metric("position"), seen.metric("pending_changes")) == (head, 0)
            assert seen.metric("health", status="failing") == 0
            seen.wait_for_health()
        ended = writer.stop()

    assert ended.code == 0, ended
    assert "does not take revisions" not in ended.stderr, ended
    assert f"revision {onlooker.head} is on the replica, nothing is left" in ended.stderr, ended
    _assert_in_order(onlooker, contents)


_FAR = pytest.mark.parametrize(
    "jump",
    [
        (-_HOUR, r"the clock of this machine is (1 h|59 min) [^:]*behind the server's: set the clock"),
        (_DAY, r"the clock of this machine is (1 d|23 h 59 min) [^:]*ahead of the server's: set the clock"),
    ],
    ids=["back an hour", "ahead a day"],
)


@_FAR
def test_p7_a_clock_that_jumps_further_is_red_says_by_how_much_and_goes_on_once_it_is_right(
    replica: str, onlooker: Onlooker, tree: Path, clock: WallClock, jump: tuple[int, str]
) -> None:
    (shift_seconds, said), path = jump, tree / "config.yml"
    clock.write(path, "a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, environment=clock.environment) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        seen = Endpoints(writer)
        seen.wait_for_health()
        clock.set(shift_seconds)
        clock.write(path, "a: 2\n")

        assert re.search(said, writer.wait_for_line("does not take revisions"))
        assert re.search(said, seen.wait_for_reason("replica-denied")["what"])
        writer.wait_until(lambda: seen.metric("pending_changes") == 1, "the edit to be in the journal")
        assert (seen.health["code"], seen.metric("health", status="failing"), seen.metric("up_to_date")) == (503, 1, 0)
        assert seen.metric("position") == 1
        assert seen.metric("replication_lag_seconds") < _MINUTE, "the jump is no time that passed"

        clock.set(0)
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        writer.wait_for_line("recovered: the replica answers again")
        clock.write(path, "a: 3\n")
        onlooker.wait_for_file("config.yml", b"a: 3\n", writer)
        seen.wait_for_health()
        assert (seen.metric("up_to_date"), seen.metric("pending_changes"), seen.metric("position")) == (1, 0, 3)
        ended = writer.stop()

    assert ended.code == 0, ended
    assert "revision 3 is on the replica, nothing is left" in ended.stderr, ended
    _assert_in_order(onlooker, [b"a: 1\n", b"a: 2\n", b"a: 3\n"])


@_FAR
def test_p7_to_publish_once_by_a_clock_that_is_far_off_is_exit_16_and_works_once_it_is_right(
    replica: str, onlooker: Onlooker, tree: Path, clock: WallClock, jump: tuple[int, str]
) -> None:
    shift_seconds, said = jump
    clock.set(shift_seconds)
    clock.write(tree / "config.yml", "a: 1\n")
    options = ("--once", "--profile", "none")

    refused = run_confstream("replicate", tree, replica, *options, environment=clock.environment)

    assert refused.code == 16, refused
    assert re.search(said, refused.stderr), refused
    assert onlooker.head == 0
    clock.set(0)
    done = run_confstream("replicate", tree, replica, *options, environment=clock.environment)
    assert done.code == 0, done
    assert onlooker.read("config.yml") == b"a: 1\n"
