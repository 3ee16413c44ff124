"""What a quiet directory costs: nothing. What a change costs: one PUT (P11)."""

import threading
from pathlib import Path

from confstream import SystemClock
from tests.end_to_end.conftest import Replicas
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
