"""Restores that cannot be: each says why, in time, with a code of its own, and leaves what is there."""

import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import Journal, SystemClock, is_missing
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.content import certified
from tests.histories import read_directory
from tests.processes import PATIENCE_SECONDS, ROOT, Process, confstream, run_confstream
from tests.servers import S3Server, environment, free_port

_REFUSED, _NOT_FOUND, _NO_REPLICA, _INTEGRITY, _UNREACHABLE = 4, 5, 10, 14, 16
_VERSIONS = 6


@pytest.fixture
def replica(replicas: Replicas, tree: Path) -> str:
    """Give a local replica with some versions of two files."""
    return _fill(replicas.make(), tree)


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of a replica on a server that does not run."""
    for name, value in environment(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    return "s3://backups/frigate"


def test_p1_force_with_an_unreachable_replica_leaves_the_old_files(nobody_there: str, tree: Path) -> None:
    (tree / "config.yml").write_text("precious: 1\n")
    before = read_directory(tree)

    done = run_confstream("restore", nobody_there, tree, "--force", "--timeout", "3s")

    assert done.code == _UNREACHABLE, done
    assert read_directory(tree) == before


def test_p1_force_with_a_replica_that_lost_an_object_leaves_the_old_files(
    replica: str, replicas: Replicas, tmp_path: Path
) -> None:
    target = _directory(tmp_path / "target", b"precious: 1\n")
    _damage_every_object(Path(replica))
    replicas.damaged(replica)

    done = run_confstream("restore", replica, target, "--force")

    assert done.code == _INTEGRITY, done
    assert (target / "config.yml").read_bytes() == b"precious: 1\n"


def test_p2_a_zero_byte_file_is_missing_and_is_restored(replica: str, tmp_path: Path) -> None:
    target = _directory(tmp_path / "target", b"")

    done = run_confstream("restore", replica, target, "--if-missing")

    assert done.code == 0, done
    assert (target / "config.yml").read_bytes() == _content(_VERSIONS)


def test_p8_a_wrong_prefix_is_no_replica_and_the_prefix_is_named(replica: str, tmp_path: Path) -> None:
    done = run_confstream("restore", f"{replica}-typo", tmp_path / "target")

    assert done.code == _NO_REPLICA, done
    assert f"{replica}-typo" in done.stderr
    assert not (tmp_path / "target" / "config.yml").exists()


def test_p8_a_wrong_prefix_on_s3_is_no_replica_and_the_prefix_is_named(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    prefix = use_s3(seaweed)

    done = run_confstream("restore", prefix, tmp_path / "target")

    assert done.code == _NO_REPLICA, done
    assert prefix in done.stderr


def test_a_bucket_that_does_not_exist_is_an_error_even_if_a_missing_replica_is_not(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    use_s3(seaweed)

    done = run_confstream("restore", "s3://no-such-bucket/frigate", tmp_path / "target", "--if-replica-exists")

    assert done.code == _UNREACHABLE, done
    assert "no-such-bucket" in done.stderr


def test_if_replica_exists_lets_a_first_start_go_on_and_says_where_it_looked(tmp_path: Path) -> None:
    prefix = str(tmp_path / "nothing-there")

    done = run_confstream("restore", prefix, tmp_path / "target", "--if-missing", "--if-replica-exists")

    assert done.code == 0, done
    assert prefix in done.stdout + done.stderr


@pytest.mark.parametrize(
    "moment", [[], ["--timestamp", "1 s ago"], ["--revision", "4"]], ids=["latest", "time", "number"]
)
def test_p8_a_missing_revision_is_an_integrity_error_that_names_the_nearest_points(
    moment: list[str], replica: str, replicas: Replicas, tmp_path: Path
) -> None:
    (Path(replica) / "log" / f"{3:020}").unlink()
    replicas.damaged(replica)
    _wait_a_second()

    done = run_confstream("restore", replica, tmp_path / "target", *moment)

    assert done.code == _INTEGRITY, done
    assert f"log/{3:020} is missing" in done.stderr
    assert re.search(r"the nearest that can be: revision 2\b", done.stderr), done
    assert not (tmp_path / "target").exists() or read_directory(tmp_path / "target") == {}


def test_p8_what_is_before_the_missing_revision_is_restored_all_the_same(
    replica: str, replicas: Replicas, tmp_path: Path
) -> None:
    (Path(replica) / "log" / f"{3:020}").unlink()
    replicas.damaged(replica)

    done = run_confstream("restore", replica, tmp_path / "target", "--revision", "2")

    assert done.code == 0, done
    assert (tmp_path / "target" / "config.yml").read_bytes() == _content(2)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_p9_a_corrupt_object_is_an_integrity_error_and_nothing_is_written(
    number: int, replica: str, replicas: Replicas, tmp_path: Path
) -> None:
    _flip_a_bit(Path(replica) / "log" / f"{number:020}")
    replicas.damaged(replica)

    done = run_confstream("restore", replica, tmp_path / "target")

    assert done.code == _INTEGRITY, done
    assert not (tmp_path / "target" / "config.yml").exists()


def test_p8_a_time_before_history_is_not_found_and_the_first_point_is_named(replica: str, tmp_path: Path) -> None:
    done = run_confstream("restore", replica, tmp_path / "target", "--timestamp", "2020-01-01")

    assert done.code == _NOT_FOUND, done
    assert re.search(r"the first is revision 1\b", done.stderr), done


@pytest.mark.parametrize("moment", ["tomorrow-ish", "2026-13-01", "5 parsecs ago", "2099-01-01"])
def test_p8_a_malformed_or_future_time_is_a_usage_error_and_never_the_latest(
    moment: str, replica: str, tmp_path: Path
) -> None:
    done = run_confstream("restore", replica, tmp_path / "target", "--timestamp", moment)

    assert done.code == 2, done
    assert not (tmp_path / "target").exists()


def test_p7_an_unreachable_replica_is_reported_within_five_seconds_and_given_up_within_the_timeout(
    nobody_there: str, tmp_path: Path
) -> None:
    clock = SystemClock()

    with confstream("restore", nobody_there, tmp_path / "target", "--timeout", "8s") as restorer:
        restorer.wait_for_line("127.0.0.1", seconds=5)
        reported = clock.elapsed_seconds()
        done = restorer.finish(30)

    assert done.code == _UNREACHABLE, done
    # It was reported after the time began to run; a second is for the end of the process.
    assert clock.elapsed_seconds() - reported < 8 + 1


def test_p7_a_replica_that_accepts_and_never_answers_is_reported_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for name, value in environment(f"http://127.0.0.1:{mute.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        with confstream("restore", "s3://backups/frigate", tmp_path / "target", "--timeout", "7s") as restorer:
            mute.settimeout(PATIENCE_SECONDS)
            asked, _ = mute.accept()
            connected = clock.elapsed_seconds()
            with asked:
                restorer.wait_for_line("s3://backups/frigate", seconds=5)
                done = restorer.finish(30)

    assert done.code == _UNREACHABLE, done
    assert clock.elapsed_seconds() - connected < 7 + 1


def test_p2_an_unreachable_replica_fails_closed_when_the_configuration_is_missing(
    nobody_there: str, tmp_path: Path
) -> None:
    done = run_confstream(
        "restore", nobody_there, tmp_path / "target", "--if-missing", "--if-replica-exists", "--timeout", "2s"
    )

    assert done.code == _UNREACHABLE, done


def test_p2_an_unreachable_replica_does_not_matter_when_the_configuration_is_present(
    nobody_there: str, tree: Path
) -> None:
    (tree / "config.yml").write_text("a: 1\n")

    done = run_confstream("restore", nobody_there, tree, "--if-missing", "--if-replica-exists")

    assert done.code == 0, done
    assert "present" in done.stdout + done.stderr


def test_wrong_credentials_are_an_error_and_not_a_first_start(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    prefix = use_s3(seaweed)

    done = run_confstream(
        "restore",
        prefix,
        tmp_path / "target",
        "--if-missing",
        "--if-replica-exists",
        environment={"AWS_SECRET_ACCESS_KEY": "wrong"},
    )

    assert done.code == _UNREACHABLE, done


def test_p2_a_target_below_a_file_is_an_error_and_not_present(replica: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = run_confstream("restore", replica, tmp_path / "file" / "config", "--if-missing")

    assert done.code not in {0, 10}, done
    assert "present:" not in done.stdout


def test_p2_a_target_that_is_a_loop_of_links_is_an_error_and_not_present(replica: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    done = run_confstream("restore", replica, tmp_path / "loop", "--if-missing")

    assert done.code not in {0, 10}, done
    assert "present:" not in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not look")
def test_p2_a_tree_that_may_not_be_read_is_an_error_and_not_present(replica: str, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "config.yml").write_text("a: 1\n")
    # The interpreter may lie where only root can read: it is loaded first, and then becomes somebody else.
    program = (
        "import os, sys\n"
        "from confstream_cli.app import run\n"
        "replica, first, then = sys.argv[1:]\n"
        "try:\n"
        "    run(['restore', replica, first, '--if-missing'])\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        "os.setgroups([])\n"
        "os.setgid(65534)\n"
        "os.setuid(65534)\n"
        "run(['restore', replica, then, '--if-missing'])\n"
    )

    with Process([sys.executable, "-c", program, replica, tmp_path / "warm-up", closed], cwd=ROOT) as process:
        done = process.finish()

    assert done.code not in {0, 10}, done
    assert "ermission denied" in done.stderr, done
    assert "present:" not in done.stdout


def test_p1_a_tree_that_is_not_in_the_history_is_refused(replica: str, tmp_path: Path) -> None:
    target = _directory(tmp_path / "target", b"something: else\n")

    done = run_confstream("restore", replica, target)

    assert done.code == _REFUSED, done
    assert (target / "config.yml").read_bytes() == b"something: else\n"


def test_p1_a_forced_restore_can_be_undone(replica: str, tmp_path: Path, replicas: Replicas) -> None:
    target = _directory(tmp_path / "target", b"something: else\n")
    onlooker = replicas.look_at(replica)

    done = run_confstream("restore", replica, target, "--force", "--revision", "2")
    assert done.code == 0, done
    assert (target / "config.yml").read_bytes() == _content(2)
    published = run_confstream("replicate", target, replica, "--once", "--heartbeat", "0")
    assert published.code == 0, published

    assert b"something: else\n" in onlooker.versions("config.yml")
    assert onlooker.read("config.yml") == _content(2)


def test_p3_a_restore_that_failed_half_way_leaves_no_present_tree(
    replica: str, replicas: Replicas, tmp_path: Path
) -> None:
    _flip_a_bit(Path(replica) / "log" / f"{_VERSIONS:020}")
    replicas.damaged(replica)
    target = tmp_path / "target"

    done = run_confstream("restore", replica, target, "--if-missing")

    assert done.code == _INTEGRITY, done
    assert is_missing(target).missing


def _content(version: int) -> bytes:
    return certified("config.yml", version, 2000)


def _fill(replica: str, tree: Path) -> str:
    with Journal.open(tree, replica, heartbeat_seconds=0) as journal:
        for version in range(1, _VERSIONS + 1):
            journal.write("config.yml", _content(version), message=f"version {version}")
        journal.sync(60)
    return replica


def _directory(path: Path, content: bytes) -> Path:
    path.mkdir()
    (path / "config.yml").write_bytes(content)
    return path


def _flip_a_bit(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def _damage_every_object(replica: Path) -> None:
    for path in [*(replica / "log").iterdir(), *(replica / "snapshot").glob("*")]:
        _flip_a_bit(path)


def _wait_a_second() -> None:
    """Let the clock pass the last revision, so that "1 s ago" means it."""
    SystemClock().wait(threading.Event(), 1.1)
