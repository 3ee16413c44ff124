"""What a quiet directory costs: nothing. What a change costs: one PUT (P11)."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from confstream import SystemClock
from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream
from tests.proxy import CuttingProxy

_IDLE_SECONDS = 10.0


def test_p11_an_idle_replicate_makes_no_request_and_a_change_makes_one_put(
    s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    (tree / "config.yml").write_text("a: 1\n")

    with confstream(
        "replicate", tree, s3, "--profile", "none", "--heartbeat", "0", "--settle", "0.2s", environment=through
    ) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        moto_proxy.reset()

        # Nothing is waited for: that nothing happens for so long is what is tested.
        SystemClock().wait(threading.Event(), _IDLE_SECONDS)
        idle = [(seen.method, seen.path) for seen in moto_proxy.seen]
        (tree / "config.yml").write_text("a: 3\n")
        onlooker.wait_for_file("config.yml", b"a: 3\n", writer)
        change = [(seen.method, seen.path) for seen in moto_proxy.seen[len(idle) :]]
        assert writer.stop().code == 0

    assert idle == []
    assert [method for method, _ in change] == ["PUT"], change
    assert "/log/" in change[0][1]


def test_p11_p14_an_idle_sidecar_sends_heartbeats_and_takes_no_processor_and_no_more_memory(
    s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path, request: pytest.FixtureRequest
) -> None:
    seconds: float = request.config.getoption("--idle-seconds")
    heartbeat_seconds = min(300.0, seconds / 3)
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    for number in range(100):
        (tree / f"{number}.yml").write_text(f"number: {number}\n")

    with confstream(
        "replicate", tree, s3, "--heartbeat", f"{heartbeat_seconds}s", *LISTEN, environment=through
    ) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("99.yml", b"number: 99\n", writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok")
        writer.wait_until(lambda: any("/heartbeat/" in one.path for one in moto_proxy.seen), "the first heartbeat")
        moto_proxy.reset()
        before = _Use.of(writer.pid)

        # Nothing is waited for: that nothing happens for so long is what is tested.
        SystemClock().wait(threading.Event(), seconds)
        use, asked = _Use.of(writer.pid), [(one.method, one.path) for one in moto_proxy.seen]
        said = writer.so_far.stderr
        assert writer.stop().code == 0

    processor, grown = (
        (use.processor_seconds - before.processor_seconds) / seconds,
        use.memory_bytes - before.memory_bytes,
    )
    found = (
        f"{seconds:g} s idle: {processor:.3%} of a core, {grown >> 10:+} KiB of {use.memory_bytes >> 20} MiB, {asked}"
    )
    print(found)  # noqa: T201 - the figures, for whoever runs it in full length.
    assert {method for method, _ in asked} <= {"PUT"}
    assert all("/heartbeat/" in path for _, path in asked), asked
    assert len(asked) <= seconds / heartbeat_seconds + 1
    # A short look has ticks of ten milliseconds, and what Python does once.
    assert processor < (0.002 if seconds >= 600 else 0.02)
    assert grown < (1 << 20 if seconds >= 600 else 4 << 20)
    assert len(said.splitlines()) < 10, said


@dataclass(frozen=True)
class _Use:
    """What a process has taken so far."""

    processor_seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, pid: int) -> "_Use":
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        ticks = int(fields[11]) + int(fields[12])
        return cls(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))
