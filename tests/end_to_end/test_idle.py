"""What a quiet directory costs: nothing. What a change costs: one PUT (P11)."""

import threading
from pathlib import Path

import pytest

from confstream import SystemClock
from tests.end_to_end.conftest import Replicas
from tests.processes import confstream
from tests.proxy import CuttingProxy
from tests.servers import S3Server

_IDLE_SECONDS = 10.0


def test_p11_an_idle_replicate_makes_no_request_and_a_change_makes_one_put(
    moto_server: S3Server,
    moto_proxy: CuttingProxy,
    replicas: Replicas,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in moto_server.env.items():
        monkeypatch.setenv(name, value)
    replica = replicas.verify_at_the_end(moto_server.make_replica())
    onlooker = replicas.look_at(replica)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    (tree / "config.yml").write_text("a: 1\n")

    with confstream(
        "replicate", tree, replica, "--profile", "none", "--heartbeat", "0", "--settle", "0.2s", environment=through
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
