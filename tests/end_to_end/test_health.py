"""A sidecar that cannot fail silently: whatever goes wrong shows in log, health, metrics and from outside."""

import os
import re
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints, run_switch
from tests.processes import PATIENCE_SECONDS, confstream, run_confstream
from tests.proxy import CuttingProxy, error_body
from tests.servers import free_port, s3_client, wait_until

# The code of the commands, and of what only whole processes do, runs nowhere else.
pytestmark = pytest.mark.measured_processes

RED_SECONDS = 10.0
"""How long anything may look well that is not."""

_OPTIONS = ("--settle", "0.2s", *LISTEN)
_CANARY = "canary-7261"
_SAID = {"denied": "does not take revisions", "reset": "does not take revisions", "blackhole": "the replica is slow: "}
_REASONS = {"denied": "replica-denied", "reset": "replica-unreachable", "blackhole": "replica-unreachable"}


def _fail(proxy: CuttingProxy, how: str) -> None:
    if how == "denied":
        proxy.fail("status", method="*", times=100_000, status=403, body=error_body("AccessDenied"))
    else:
        proxy.fail(how, method="*", times=100_000)


@pytest.mark.parametrize("how", _REASONS)
def test_p7_when_no_call_succeeds_everything_is_red_within_seconds_and_green_again_after(
    how: str, s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    (tree / "config.yml").write_text("a: 1\n")

    with confstream("replicate", tree, s3, "--timeout", "8s", *_OPTIONS, environment=through) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok")
        assert seen.metric("up_to_date") == 1
        puts = seen.metric("storage_requests_total", op="put", outcome="ok")
        _fail(moto_proxy, how)
        (tree / "config.yml").write_text("a: 2\n")

        writer.wait_until(lambda: seen.health["code"] == 503, "health to be red", seconds=RED_SECONDS)

        assert _REASONS[how] in seen.reasons()
        assert seen.metric("health", status="failing") == 1
        assert (seen.metric("up_to_date"), seen.metric("pending_changes")) == (0, 1)
        assert seen.get("/readyz")[0] == seen.get("/startz")[0] == seen.get("/livez")[0] == 200
        assert run_confstream("health", "--listen", seen.address).code == 15
        outside = run_confstream("status", s3, "--timeout", "5s", environment=through)
        assert outside.code == 16, outside
        writer.wait_for_line(_SAID[how], seconds=RED_SECONDS)

        moto_proxy.reset()
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok again")
        assert seen.metric("up_to_date") == 1
        assert seen.metric("storage_requests_total", op="put", outcome="ok") > puts, "a new connection counts on"
        writer.wait_for_line("recovered")
        assert writer.stop().code == 0


@pytest.fixture
def late(s3: str, replicas: Replicas) -> str:
    """Give the URL of a replica on moto whose bucket is not there."""
    del s3  # It points this process at the server.
    return replicas.verify_at_the_end(f"s3://late-{free_port()}/replica")


@pytest.mark.parametrize("fault", ["unreachable", "no bucket"])
def test_p7_a_replica_that_cannot_be_had_at_the_start_is_red_the_pod_gets_ready_and_all_is_well_once_it_can(
    fault: str, late: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    through, bucket, replica = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}, late.split("/")[2], late
    client = s3_client(os.environ["AWS_ENDPOINT_URL"])
    reason, word = {
        "unreachable": ("replica-unreachable", "closed the connection"),
        "no bucket": ("replica-denied", f"no such bucket: '{bucket}'"),
    }[fault]
    if fault == "unreachable":
        client.create_bucket(Bucket=bucket)
        _fail(moto_proxy, "reset")
    (tree / "config.yml").write_text("a: 1\n")

    with confstream("replicate", tree, replica, "--timeout", "5s", *_OPTIONS, environment=through) as writer:
        seen = Endpoints(writer)
        seen.wait_for_reason(reason, seconds=RED_SECONDS)
        writer.wait_until(lambda: seen.get("/readyz")[0] == 200, "readiness")
        assert (seen.health["code"], seen.metric("up_to_date"), seen.metric("pending_changes")) == (503, 0, 1)
        assert seen.metric("last_success_timestamp_seconds") == 0
        assert seen.get("/startz")[0] == 200
        assert word in writer.wait_for_line("does not take revisions", seconds=RED_SECONDS)
        assert run_confstream("status", replica, "--timeout", "2s", environment=through).code == 16

        if fault == "unreachable":
            moto_proxy.reset()
        else:
            client.create_bucket(Bucket=bucket)
        replicas.look_at(replica).wait_for_file("config.yml", b"a: 1\n", writer)
        seen.wait_for_health()
        assert (seen.metric("up_to_date"), seen.metric("pending_changes")) == (1, 0)
        writer.wait_for_line("recovered")
        assert run_confstream("status", replica, environment=through).code == 0
        ended = writer.stop()

    assert ended.code == 0, ended
    assert ended.stderr.count("does not take revisions") == 1, ended


def test_p10_a_file_that_becomes_blank_or_invalid_shows_everywhere_until_it_is_mended(
    replicas: Replicas, tree: Path
) -> None:
    onlooker, good = replicas.look_at(replicas.make("seaweed")), b"a: 1\nb: 2\n"
    faults = [(b"", "suspicious", "blank"), (b"a: 1\nb: [\n", "invalid", "config.yml:3:1: ")]
    (tree / "config.yml").write_bytes(good)

    with confstream("replicate", tree, onlooker.url, *_OPTIONS) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", good, writer)
        for content, status, why in faults:
            seen.wait_for_health()
            (tree / "config.yml").write_bytes(content)
            line = writer.wait_for_line(f"is {status} (")
            reason = seen.wait_for_reason("doubtful")
            assert (why in line, why in reason["what"], bool(reason["since"])) == (True, True, True), (line, reason)
            assert (seen.status, seen.health["code"], seen.metric("doubtful_files")) == ("degraded", 200, 1)
            writer.wait_until(lambda: seen.metric("up_to_date") == 1, "it on the replica")
            outside = run_confstream("status", onlooker.url)
            assert (outside.code, why in outside.stdout) == (0, True), outside
            (tree / "config.yml").write_bytes(good)
            writer.wait_until(lambda: seen.metric("doubtful_files") == 0, "the end of the doubt")
            seen.wait_for_health()
        assert seen.metric("suspicious_changes_total", kind="empty") == 1
        assert seen.metric("validation_failures_total", validator="yaml") == 1
        assert writer.stop().code == 0

    assert onlooker.versions("config.yml") == [good, faults[0][0], good, faults[1][0], good]


def test_health_says_in_its_exit_code_whether_anybody_has_to_look(tree: Path, replicas: Replicas) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nobody = run_confstream("health", "--listen", f"127.0.0.1:{free_port()}")

    with confstream("replicate", tree, replicas.make(), *_OPTIONS) as writer:
        seen = Endpoints(writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok")
        well = run_confstream("health", environment={"CONFSTREAM_LISTEN": seen.address})
        (tree / "config.yml").write_text("a: [\n")
        writer.wait_until(lambda: seen.status == "degraded", "health to be degraded")
        degraded = run_confstream("health", "--listen", seen.address)
        (tree / "config.yml").unlink()
        writer.wait_until(lambda: seen.status == "failing", "health to be failing")
        failing = run_confstream("health", "--listen", seen.address)
        document = run_confstream("health", "--json", "--listen", seen.address)

    assert nobody.code == 16
    assert "nobody answers on 127.0.0.1" in nobody.stderr
    assert (well.code, well.stdout) == (0, "tree: ok, revision 1\n")
    assert degraded.code == 0
    assert re.match(r"tree: degraded, revision 2\n  doubtful since 20[-0-9T:]+Z: config\.yml:2:1: ", degraded.stdout), (
        degraded.stdout
    )
    assert failing.code == 15
    assert "held since 2" in failing.stdout
    assert failing.stderr == "confstream: failing: tree\n"
    assert document.code == 15
    assert '"status": "failing"' in document.stdout


def test_what_answers_but_is_not_confstream_counts_as_nobody(moto_proxy: CuttingProxy) -> None:
    ended = run_confstream("health", "--listen", moto_proxy.endpoint.removeprefix("http://"))

    assert ended.code == 16
    assert "is not confstream" in ended.stderr


def test_a_port_in_use_is_said_before_anything_is_done(tree: Path, replicas: Replicas) -> None:
    with confstream("replicate", tree, replicas.make(), *_OPTIONS) as writer:
        taken = Endpoints(writer).address
        other = tree.parent / "other"
        other.mkdir()

        ended = run_confstream("replicate", other, replicas.make(), "--listen", taken)

    assert ended.code == 2
    assert f"cannot listen on {taken}: Address already in use" in ended.stderr
    assert not (other / ".confstream").exists()


def test_once_does_not_listen(tree: Path, replicas: Replicas) -> None:
    (tree / "config.yml").write_text("a: 1\n")

    ended = run_confstream("replicate", "--once", tree, replicas.make(), *LISTEN)

    assert ended.code == 0, ended
    assert "listening" not in ended.stderr


def test_p12_no_endpoint_shows_a_secret(tree: Path) -> None:
    (tree / "config.yml").write_text(f"password: {_CANARY}\nb: [\n")
    (tree / "secrets.json").write_text(f'{{"token": "{_CANARY}"')
    replica = f"ftp://me:{_CANARY}@127.0.0.1:{free_port()}/x"
    options = ("--shutdown-timeout", "1s", "--timeout", "2s", "--storage-option", f"password={_CANARY}", *_OPTIONS)
    ping = f"http://me:{_CANARY}@127.0.0.1:{free_port()}/{_CANARY}?key={_CANARY}"

    with confstream("replicate", tree, replica, "--ping-url", ping, *options) as writer:
        writer.wait_for_line("the ping to http://127.0.0.1")
        seen = Endpoints(writer)
        writer.wait_until(lambda: seen.status == "failing", "health to be red")
        writer.wait_until(lambda: "doubtful" in seen.reasons(), "the verdict")
        answers = [seen.get(path)[1] for path in ("/", "/livez", "/startz", "/readyz", "/healthz", "/metrics")]
        asked = run_confstream("health", "--json", "--listen", seen.address)
        said = writer.so_far

    assert "ftp" in answers[4]
    assert _CANARY not in "".join(answers) + str(asked) + str(said)


def test_p11_probes_and_scrapes_ask_nothing_of_the_replica(
    s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    (tree / "config.yml").write_text("a: 1\n")

    with confstream("replicate", tree, s3, *_OPTIONS, environment=through) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok")
        moto_proxy.reset()
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            assert seen.get(path)[0] == 200

        assert moto_proxy.counts == {}


def test_metrics_count_what_was_recorded_and_what_was_left_out(tree: Path, replicas: Replicas) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    (tree / ".env").write_text("")
    os.mkfifo(tree / "pipe")

    with confstream("replicate", tree, replicas.make(), *_OPTIONS) as writer:
        seen = Endpoints(writer)
        wait_until(lambda: seen.metric("changes_total", op="put") >= 2, PATIENCE_SECONDS, "the first capture")

        assert seen.metric("skipped_files_total", reason="special") == 1
        assert seen.metric("files") == 2


def test_a_dead_mans_switch_is_told_how_a_short_job_ended(tree: Path, replicas: Replicas) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nowhere = ("s3://bucket/x", "--timeout", "1s")

    with run_switch() as switch:
        ping = {"CONFSTREAM_PING_URL": f"{switch.url}/{_CANARY}"}
        well = run_confstream("replicate", "--once", tree, replicas.make(), environment=ping)
        away = {**ping, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ACCESS_KEY_ID": "x"}
        failed = run_confstream(
            "replicate", "--once", tree, *nowhere, environment={**away, "AWS_SECRET_ACCESS_KEY": "x"}
        )

    assert (well.code, failed.code) == (0, 16), failed
    told = [(path.removeprefix(f"/{_CANARY}"), body) for path, body in switch.seen]
    assert told == [("/start", b""), ("", b""), ("/start", b""), ("/fail", b"UnavailableError")]
    assert _CANARY not in str(well) + str(failed)


def test_a_dead_mans_switch_hears_of_the_start_and_then_of_a_confirmed_position(tree: Path, replicas: Replicas) -> None:
    (tree / "config.yml").write_text("a: 1\n")

    with run_switch() as switch:
        kuma = f"{switch.url}/api/push/{_CANARY}?status=up&msg=OK&ping="
        with confstream("replicate", tree, replicas.make(), "--ping-url", kuma, *_OPTIONS) as writer:
            seen = Endpoints(writer)
            # The switch has heard before the sidecar has read its answer, and counts.
            writer.wait_until(lambda: seen.metric("pings_total", outcome="ok") > 0, "the first ping")
            pings = seen.metric("pings_total", outcome="ok")
            assert writer.stop().code == 0

    (path, _) = switch.seen[0]
    assert path.startswith(f"/api/push/{_CANARY}?status=up&msg=OK&ping=")
    assert pings == 1


def test_of_several_streams_the_one_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, tree: Path, replicas: Replicas
) -> None:
    other, config, well = tmp_path / "other", tmp_path / "confstream.yml", replicas.make()
    other.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    (other / "config.yml").write_text(f"password: {_CANARY}\n")
    config.write_text(
        f"listen: 127.0.0.1:0\nping_url: ${{PING}}\nstreams:\n"
        f"  good: {{tree: {tree}, replica: {well}, settle: 0.2s}}\n"
        f"  bad: {{tree: {other}, replica: '${{BAD}}', settle: 0.2s, timeout: 1s, shutdown_timeout: 1s}}\n"
    )
    variables = {
        "PING": f"http://127.0.0.1:{free_port()}/{_CANARY}",
        "BAD": f"ftp://me:{_CANARY}@127.0.0.1:{free_port()}/x",
    }

    with confstream("replicate", "--config", config, environment=variables) as writer:
        seen = Endpoints(writer)
        replicas.look_at(well).wait_for_file("config.yml", b"a: 1\n", writer)
        seen.wait_for_reason("replica-unreachable")
        writer.wait_for_line("the ping to http")
        by_name = {stream["stream"]: stream["status"] for stream in seen.health["streams"]}
        assert seen.metric("up_to_date", stream="good") == 1
        assert seen.metric("up_to_date", stream="bad") == 0
        asked = run_confstream("health", "--listen", seen.address)
        answers = [seen.get(path)[1] for path in ("/livez", "/readyz", "/healthz", "/metrics")]
        shown = run_confstream("config", "show", "--config", config, environment=variables)
        said = writer.so_far

    assert by_name == {"good": "ok", "bad": "failing"}
    assert (asked.code, asked.stderr) == (15, "confstream: failing: bad\n")
    assert asked.stdout.startswith("good: ok, revision 1\nbad: failing")
    assert _CANARY not in "".join(answers) + str(asked) + str(said) + str(shown)


def test_run_counts_what_its_restore_did(tree: Path, replicas: Replicas) -> None:
    replica = replicas.make()
    waiting = ("--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")

    def counted(outcome: str) -> float:
        with confstream("run", "--if-replica-exists", *_OPTIONS, tree, replica, *waiting) as writer:
            seen = Endpoints(writer)
            (tree / "config.yml").write_text("a: 1\n")
            writer.wait_until(lambda: seen.metric("files") == seen.metric("up_to_date") == 1, "the revision")
            assert seen.metric("restores_total", outcome=outcome) == 1
            took = seen.metric("restore_duration_seconds_count")
            assert writer.stop().code == 0
        return took

    assert counted("no_replica") == 0
    assert counted("skipped_present") == 0
    (tree / "config.yml").unlink()
    assert counted("restored") == 1
