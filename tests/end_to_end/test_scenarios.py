"""What really happened to somebody, once each, with the ending that it should have had."""

import json
import os
import shutil
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from confstream import History, Journal
from confstream.testing import ManualClock
from tests.end_to_end.conftest import Replicas
from tests.histories import read_directory
from tests.processes import Process, confstream, run_confstream
from tests.servers import environment, free_port, wait_until

_DAY_NS = 86_400 * 10**9
_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")


def _now_ns() -> int:
    return int(datetime.now(UTC).timestamp()) * 10**9  # noqa: TID251 - history is written relative to the real now.


def _publish(tree: Path, replica: str) -> None:
    done = run_confstream("replicate", tree, replica, "--once", *_OPTIONS)
    assert done.code == 0, done


def test_the_incident_a_stale_replica_does_not_overwrite_a_newer_configuration(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    # The sidecar stopped uploading days ago; the pod is restarted, as root.
    replica = replicas.make()
    (tree / "config.yml").write_text("cameras: {front: old}\n")
    _publish(tree, replica)
    volume = tmp_path / "volume"
    shutil.copytree(tree, volume, ignore=shutil.ignore_patterns(".confstream"))
    (volume / "config.yml").write_text("cameras: {front: new, garden: new}\n")
    before = read_directory(volume)

    done = run_confstream("restore", replica, volume, "--if-missing", "--if-replica-exists")

    assert done.code == 0, done
    assert "present" in done.stdout + done.stderr
    assert read_directory(volume) == before


def test_the_incident_goes_on_the_newer_configuration_is_published_over_the_stale_one(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("cameras: {front: old}\n")
    _publish(tree, replica)
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "config.yml").write_text("cameras: {front: new, garden: new}\n")

    _publish(volume, replica)

    assert onlooker.versions("config.yml") == [
        b"cameras: {front: old}\n",
        b"cameras: {front: new, garden: new}\n",
    ]


def test_p10_a_volume_mounted_empty_after_weeks_destroys_nothing_and_is_restored(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("cameras: {front: 1}\n")
    (tree / "zones.yml").write_text("zones: 1\n")
    _publish(tree, replica)
    before, history = read_directory(tree), onlooker.hashes
    volume = tmp_path / "empty-volume"
    volume.mkdir()

    with confstream("replicate", volume, replica, *_OPTIONS) as writer:
        writer.wait_for_line("empty")
        ended = writer.stop()
    assert ended.code != -9, ended
    assert onlooker.hashes == history, "the emptiness was published"

    done = run_confstream("restore", replica, volume, "--if-missing", "--if-replica-exists")

    assert done.code == 0, done
    assert read_directory(volume) == before
    _publish(volume, replica)
    assert onlooker.hashes.items() >= history.items()


def test_p10_a_volume_that_loses_its_files_while_replicate_runs_destroys_nothing(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    for name in ("config.yml", "zones.yml", "users.yml"):
        (tree / name).write_text(f"{name}: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        onlooker.wait_for(lambda found: len(found) == 3, "the files", writer)
        history = onlooker.hashes
        for path in tree.glob("*.yml"):
            path.unlink()
        writer.wait_for_line("empty")
        (tree / "config.yml").write_text("config.yml: 2\n")
        onlooker.wait_for_file("config.yml", b"config.yml: 2\n", writer)
        writer.stop()

    assert onlooker.hashes.items() >= history.items()
    assert onlooker.read("users.yml", max(history)) == b"users.yml: 1\n"


@pytest.mark.parametrize("blank", [b"", b"\n\n", b"\0" * 4096], ids=["zero bytes", "white space", "NUL bytes"])
def test_p2_a_blank_configuration_at_boot_is_restored_and_its_neighbours_are_kept(
    blank: bytes, replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica = replicas.make()
    (tree / "config.yml").write_text("cameras: {front: 1}\n")
    (tree / "zones.yml").write_text("zones: 1\n")
    _publish(tree, replica)
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "config.yml").write_bytes(blank)
    (volume / "zones.yml").write_text("zones: 2\n")

    done = run_confstream("restore", replica, volume, "--if-missing", "--guard", "config.yml")

    assert done.code == 0, done
    assert (volume / "config.yml").read_text() == "cameras: {front: 1}\n"
    assert (volume / "zones.yml").read_text() == "zones: 2\n"


def test_the_storage_is_down_at_boot_the_application_starts_if_its_configuration_is_there(
    tree: Path, tmp_path: Path
) -> None:
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    (tree / "config.yml").write_text("a: 1\n")
    command = ("--if-missing", "--if-replica-exists", "--timeout", "2s")

    present = run_confstream("restore", "s3://backups/app", tree, *command, environment=nowhere)
    missing = run_confstream("restore", "s3://backups/app", tmp_path / "empty", *command, environment=nowhere)

    assert present.code == 0, present
    assert missing.code == 16, missing


def test_the_storage_is_down_at_boot_and_the_sidecar_publishes_once_it_is_back(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "mount"
    replica = replicas.verify_at_the_end(str(blocked / "replica"))
    blocked.symlink_to("not-mounted-yet/deep/below")
    (tree / "config.yml").write_text("a: 1\n")
    onlooker = replicas.look_at(replica)
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        writer.wait_for_line("watching")
        (tree / "config.yml").write_text("a: 2\n")
        # From here on the address can be made, and the sidecar makes what is missing of it.
        blocked.unlink()
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        assert writer.stop().code == 0


def test_what_an_application_still_writes_after_the_termination_signal_is_replicated(
    replicas: Replicas, tree: Path
) -> None:
    # Home Assistant writes its state while it shuts down, after the sidecar got its signal too.
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    program = (
        "import pathlib, sys, threading\n"
        "root, pause = pathlib.Path(sys.argv[1]), threading.Event()\n"
        "for count in range(8):\n"
        "    for name in ('core.json', 'auth.json'):\n"
        "        temporary = root / (name + '.new')\n"
        "        temporary.write_text('{\"save\": %d}\\n' % count)\n"
        "        temporary.replace(root / name)\n"
        "    print(count, flush=True)\n"
        "    pause.wait(0.15)\n"
    )
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        writer.wait_for_line("watching")
        with Process([sys.executable, "-c", program, tree]) as application:
            application.wait_for_line("2", on="stdout")
            ended = writer.stop()
            assert application.finish().code == 0

    assert ended.code == 0, ended
    assert {onlooker.read(name) for name in ("core.json", "auth.json")} == {b'{"save": 7}\n'}


def test_a_restore_that_is_killed_half_way_is_completed_by_the_next_one(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica, volume = replicas.make(), tmp_path / "volume"
    for number in range(400):
        (tree / f"file-{number}.yml").write_text(f"number: {number}\n" * 50)
    _publish(tree, replica)

    with confstream("restore", replica, volume, "--if-missing") as restorer:
        wait_until(lambda: (volume / ".confstream" / "staging").exists() or not restorer.is_running, 60, "staging")
        restorer.kill()
    half = len([path for path in read_directory(volume) if path.endswith(b".yml")])
    done = run_confstream("restore", replica, volume, "--if-missing")

    assert half < 400, "it was killed too late to mean anything"
    assert done.code == 0, done
    assert read_directory(volume) == read_directory(tree)


def test_an_acme_json_of_mode_0600_comes_back_with_mode_0600(replicas: Replicas, tree: Path, tmp_path: Path) -> None:
    # Traefik refuses any mode with bits for group or others.
    replica, volume = replicas.make(), tmp_path / "volume"
    (tree / "acme.json").write_text('{"key": 1}\n')
    (tree / "acme.json").chmod(0o600)
    _publish(tree, replica)

    done = run_confstream("restore", replica, volume, "--if-missing")

    assert done.code == 0, done
    assert stat.S_IMODE((volume / "acme.json").stat().st_mode) == 0o600


def test_automations_that_the_interface_deleted_yesterday_come_back_by_time(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica, clock = replicas.make(), ManualClock(_now_ns() - 3 * _DAY_NS)
    with Journal.open(tree, replica, heartbeat_seconds=0, clock=clock) as journal:
        journal.write("automations.yaml", "- id: lights\n")
        journal.write("scenes.yaml", "- id: evening\n")
        clock.jump(2 * 86_400)
        journal.write("automations.yaml", "[]\n")
        journal.sync(60)
    wanted = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251 - as a person would.

    printed = run_confstream(
        "restore", replica, tree, "--timestamp", wanted, "--path", "automations.yaml", "--to-stdout"
    )
    elsewhere = run_confstream(
        "restore", replica, tmp_path / "elsewhere", "--timestamp", "2 days ago", "--path", "automations.yaml"
    )

    assert printed.code == 0, printed
    assert printed.stdout == "- id: lights\n"
    assert elsewhere.code == 0, elsewhere
    assert read_directory(tmp_path / "elsewhere").keys() == {b"automations.yaml"}
    assert (tmp_path / "elsewhere" / "automations.yaml").read_text() == "- id: lights\n"
    assert (tree / "automations.yaml").read_text() == "[]\n", "printing changed the tree"


def test_a_configuration_that_is_renamed_keeps_its_history_under_both_names(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica, volume = replicas.make(), tmp_path / "volume"
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        (tree / "config.yml").rename(tree / "config.yaml")
        number = onlooker.wait_for(lambda found: found.keys() == {b"config.yaml"}, "the new name", writer)
        assert writer.stop().code == 0

    done = run_confstream("restore", replica, volume, "--if-missing")

    assert done.code == 0, done
    assert read_directory(volume).keys() == {b"config.yaml"}
    assert {change.path for change in onlooker.log()[number - 1].changes} == {b"config.yml", b"config.yaml"}
    assert onlooker.read("config.yml", number - 1) == b"a: 1\n"


def test_a_clock_that_jumps_back_an_hour_does_not_change_the_order(replicas: Replicas, tree: Path) -> None:
    replica, clock = replicas.make(), ManualClock(_now_ns() - _DAY_NS)
    with Journal.open(tree, replica, heartbeat_seconds=0, clock=clock) as journal:
        journal.write("config.yml", "a: 1\n")
        journal.sync(60)
        clock.jump(-3600)
        journal.write("config.yml", "a: 2\n")
        journal.sync(60)
    _publish(tree, replica)

    done = run_confstream("log", replica, "--json")

    assert done.code == 0, done
    rows = sorted(map(json.loads, done.stdout.splitlines()), key=lambda row: row["revision"])
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows), "earlier than the one before"
    with History.open(replica) as history:
        assert [history.read("config.yml", row["revision"]) for row in rows] == [b"a: 1\n", b"a: 2\n"]
        assert history.read("config.yml") == b"a: 2\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_the_state_that_a_root_init_container_left_is_usable_by_a_sidecar_of_another_user(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica, volume = replicas.make(), tmp_path / "volume"
    (tree / "config.yml").write_text("a: 1\n")
    _publish(tree, replica)
    volume.mkdir()
    os.chown(volume, 65534, 65534)

    done = run_confstream("restore", replica, volume, "--if-missing")

    assert done.code == 0, done
    state = [volume / ".confstream", *(volume / ".confstream").rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in state if path.exists()} <= {(65534, 65534)}
