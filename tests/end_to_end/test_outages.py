"""The storage goes away under load and comes back: edits queue, and all arrive, in order."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from confstream.errors import IntegrityError, NotFoundError
from confstream.journal.peek import peek
from confstream.tree import content_hash
from tests.disks import fill
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.content import certified, version_of
from tests.endpoints import LISTEN, Endpoints
from tests.fragile import FragileServer
from tests.processes import Process, confstream
from tests.proxy import CuttingProxy
from tests.servers import run_seaweed

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")


@pytest.fixture
def fragile_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FragileServer]:
    """Give a server of the test's own."""
    directory = tmp_path / "weed"
    directory.mkdir()
    with run_seaweed(directory) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        fragile = FragileServer(server)
        yield fragile
        fragile.close()


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_p4_edits_during_an_outage_all_arrive_afterwards_in_order(
    how: str, fragile_server: FragileServer, replicas: Replicas, tree: Path
) -> None:
    replica = replicas.verify_at_the_end(fragile_server.server.make_replica())
    onlooker = replicas.look_at(replica)
    versions = iter(range(1, 100))

    with confstream("replicate", tree, replica, "--timeout", "2s", *_OPTIONS, *LISTEN) as writer:
        seen = Endpoints(writer)
        writer.wait_for_line("watching")
        last = _edit(writer, tree, versions, 3)
        onlooker.wait_for_file("config.yml", certified("config.yml", last), writer)
        getattr(fragile_server, how)()
        _edit(writer, tree, versions, 12)
        writer.wait_for_line("does not take revisions")
        seen.wait_for_reason("replica-unreachable")
        assert (seen.metric("up_to_date"), seen.metric("pending_changes")) == (0, 12)
        assert seen.metric("replication_lag_seconds") > 0
        assert len(peek(tree / ".confstream").pending) >= 12, "edits queue"
        getattr(fragile_server, {"freeze": "thaw", "kill": "revive"}[how])()
        last = _edit(writer, tree, versions, 3)
        onlooker.wait_for_file("config.yml", certified("config.yml", last), writer)
        writer.wait_for_line("recovered")
        writer.wait_until(lambda: seen.status == "ok", "health to be ok again")
        assert (seen.metric("up_to_date"), seen.metric("replication_lag_seconds")) == (1, 0)
        ended = writer.stop()

    assert ended.code == 0, ended
    assert [version_of(content) for content in onlooker.versions("config.yml")] == list(range(1, last + 1))


def test_p7_an_outage_and_its_end_are_said_once_each(
    s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}

    with confstream("replicate", tree, s3, "--timeout", "2s", *_OPTIONS, environment=through) as writer:
        writer.wait_for_line("watching")
        moto_proxy.fail("status", method="PUT", times=4, status=503, body=b"<Error><Code>SlowDown</Code></Error>")
        (tree / "config.yml").write_text("a: 1\n")
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        recovered = writer.wait_for_line("recovered")
        said = writer.stop()

    assert said.code == 0, said
    # The time of a line may have any three digits.
    words = [line.partition("Z ")[2] for line in said.stderr.splitlines()]
    complaints = [line for line in words if "503" in line or "SlowDown" in line]
    assert len(complaints) == 1, said
    assert said.stderr.count("recovered") == 1, recovered


def test_p14_past_the_bound_of_the_journal_the_newest_states_arrive_and_the_loss_is_told(
    fragile_server: FragileServer, replicas: Replicas, tree: Path
) -> None:
    replica = replicas.verify_at_the_end(fragile_server.server.make_replica())
    onlooker = replicas.look_at(replica)
    contents = [os.urandom(60_000) for _ in range(40)]

    with confstream("replicate", tree, replica, "--spool-max", "1MiB", *_OPTIONS, *LISTEN) as writer:
        seen = Endpoints(writer)
        (tree / "settings.bin").write_bytes(b"first")
        onlooker.wait_for_file("settings.bin", b"first", writer)
        fragile_server.kill()
        for content in contents:
            (tree / "settings.bin").write_bytes(content)
            digest = content_hash(content)
            writer.wait_until(lambda digest=digest: _captured(tree, digest, b"settings.bin"), "it in the journal")
            assert seen.metric("pending_bytes") < 1.1 * (1 << 20)
        lost = seen.metric("coalesced_revisions_total")
        assert lost > 20
        seen.wait_for_reason("merged")
        writer.wait_for_line("the newest state is kept")
        fragile_server.revive()
        onlooker.wait_for_file("settings.bin", contents[-1], writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok again")
        ended = writer.stop()

    assert ended.code == 0, ended
    arrived = [contents.index(content) for content in onlooker.versions("settings.bin")[1:]]
    assert arrived == sorted(set(arrived))
    assert len(arrived) == len(contents) - lost


@pytest.mark.parametrize("where", ["state directory", "volume"])
def test_p7_a_full_disk_shows_in_log_health_and_metrics_until_there_is_room(
    where: str, small_disk: Path, replicas: Replicas, tree: Path
) -> None:
    onlooker, filler = replicas.look_at(replicas.make("seaweed")), small_disk / "filler"
    state = small_disk / "state"
    if where == "volume":
        tree = small_disk / "tree"
        tree.mkdir()
        state = tree / ".confstream"
    config, large = tree / "config.yml", f"a: {os.urandom(50_000).hex()}\n".encode()
    config.write_text("a: 1\n")

    with confstream("replicate", tree, onlooker.url, "--state-dir", state, *_OPTIONS, *LISTEN) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        seen.wait_for_health()
        assert seen.metric("unrecorded") == 0
        fill(filler)
        if where == "volume":
            # What an application does on such a volume: it truncates, and cannot write.
            with pytest.raises(OSError, match="No space left"):
                config.write_bytes(large)
        else:
            config.write_bytes(large)
        said = writer.wait_for_line("changes cannot be recorded", seconds=10)
        reason = seen.wait_for_reason("unrecorded", seconds=10)
        assert (reason["level"], seen.health["code"]) == ("failing", 503)
        assert (seen.metric("unrecorded"), seen.metric("up_to_date")) == (1, 0)
        assert seen.get("/readyz")[0] == seen.get("/livez")[0] == 200
        filler.unlink()
        config.write_bytes(large)
        onlooker.wait_for_file("config.yml", large, writer)
        writer.wait_for_line("recovered: changes are recorded again")
        seen.wait_for_health()
        assert (seen.metric("unrecorded"), seen.metric("up_to_date")) == (0, 1)
        ended = writer.stop()

    assert ended.code == 0, ended
    assert "No space left on device" in said
    assert "free some space" in said
    assert ended.stderr.count("changes cannot be recorded") == 1, ended
    assert onlooker.versions("config.yml")[0] == b"a: 1\n"


def _edit(writer: Process, tree: Path, versions: Iterator[int], count: int) -> int:
    """Save the file *count* times, each time once the journal has the version before; return the last version."""
    version = 0
    for version in islice(versions, count):
        content = certified("config.yml", version)
        (tree / "config.yml").write_bytes(content)
        digest = content_hash(content)
        writer.wait_until(lambda digest=digest: _captured(tree, digest), f"version {version} in the journal")
    return version


def _captured(tree: Path, digest: bytes, path: bytes = b"config.yml") -> bool:
    try:
        entry = peek(tree / ".confstream").current.get(path)
    except (IntegrityError, NotFoundError, FileNotFoundError):
        # The writer is just changing it.
        return False
    return entry is not None and entry.hash == digest
