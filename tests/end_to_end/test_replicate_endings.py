"""How ``replicate`` ends: its exit code tells whether everything is on the replica (P7)."""

import signal
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.processes import confstream, run_confstream
from tests.proxy import CuttingProxy
from tests.servers import environment, free_port

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")
_USAGE, _UNREACHABLE, _TERMINATED = 2, 16, 128 + signal.SIGTERM


def test_p7_a_clean_end_publishes_the_last_edit_and_is_exit_0(replicas: Replicas, tree: Path) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        writer.wait_for_line("watching")
        (tree / "config.yml").write_text("last: words\n")

        ended = writer.stop()

    assert ended.code == 0, ended
    assert onlooker.read("config.yml") == b"last: words\n"


def test_p7_a_final_flush_that_fails_is_not_exit_0_and_says_what_is_missing(
    s3: str, moto_proxy: CuttingProxy, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(s3)
    through = {"AWS_ENDPOINT_URL": moto_proxy.endpoint}
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, s3, "--shutdown-timeout", "3s", *_OPTIONS, environment=through) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        moto_proxy.refuse()
        (tree / "config.yml").write_text("a: 2\n")

        ended = writer.stop(30)

    assert ended.code == _TERMINATED, ended
    assert "1 revision(s) are not on the replica" in ended.stderr.splitlines()[-1], ended
    # Nothing is lost: the next start publishes it.
    assert run_confstream("replicate", tree, s3, "--once", *_OPTIONS).code == 0
    assert onlooker.read("config.yml") == b"a: 2\n"


def test_p7_a_termination_before_the_first_sync_is_not_exit_0(tree: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    with confstream(
        "replicate", tree, "s3://backups/frigate", "--shutdown-timeout", "2s", *_OPTIONS, environment=nowhere
    ) as writer:
        writer.wait_for_line("watching")

        ended = writer.stop(30)

    assert ended.code == _TERMINATED, ended


def test_p7_an_unreachable_replica_is_said_within_five_seconds_of_the_start(tree: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, "s3://backups/frigate", *_OPTIONS, environment=environment(endpoint)) as writer:
        writer.wait_for_line("127.0.0.1", seconds=5)

        assert writer.is_running


def test_a_second_signal_gives_up_the_flush_at_once(tree: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    with confstream(
        "replicate", tree, "s3://backups/frigate", "--shutdown-timeout", "300s", *_OPTIONS, environment=nowhere
    ) as writer:
        writer.wait_for_line("watching")
        # In this order: of two that arrive in the same instant the smaller number is handled first.
        writer.signal(signal.SIGINT)
        writer.signal(signal.SIGTERM)

        ended = writer.finish(15)

    assert ended.code == 128 + signal.SIGINT, ended


def test_p7_once_with_an_unreachable_replica_is_exit_16(tree: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nowhere = environment(f"http://127.0.0.1:{free_port()}")

    done = run_confstream(
        "replicate", tree, "s3://backups/frigate", "--once", "--timeout", "2s", *_OPTIONS, environment=nowhere
    )

    assert done.code == _UNREACHABLE, done


def test_p7_a_tree_that_does_not_exist_is_an_error(replicas: Replicas, tmp_path: Path) -> None:
    done = run_confstream("replicate", tmp_path / "no-such-directory", replicas.make(), *_OPTIONS)

    assert done.code == _USAGE, done
    assert "no-such-directory" in done.stderr


@pytest.mark.parametrize("code", [0, 1, 42])
def test_exec_passes_the_code_of_its_child_and_flushes_first(code: int, replicas: Replicas, tree: Path) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    child = _python(
        f"import pathlib, sys; pathlib.Path({str(tree / 'config.yml')!r}).write_text('a: 1\\n'); sys.exit({code})"
    )

    done = run_confstream("replicate", tree, replica, *_OPTIONS, "--exec", child)

    assert done.code == code, done
    assert onlooker.read("config.yml") == b"a: 1\n"


def test_p7_exec_with_a_failed_flush_is_not_exit_0_though_the_child_was_content(tree: Path) -> None:
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    child = _python(f"import pathlib; pathlib.Path({str(tree / 'config.yml')!r}).write_text('a: 1\\n')")

    done = run_confstream(
        "replicate",
        tree,
        "s3://backups/frigate",
        "--shutdown-timeout",
        "2s",
        *_OPTIONS,
        "--exec",
        child,
        environment=nowhere,
    )

    assert done.code == _UNREACHABLE, done


def test_exec_forwards_the_signal_and_captures_what_the_child_writes_on_its_way_out(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    child = _python(
        "import pathlib, signal, sys, threading;"
        f"path = pathlib.Path({str(tree / 'state.yml')!r});"
        "signal.signal(signal.SIGTERM, lambda *_: (path.write_text('final: state\\n'), sys.exit(7)));"
        "path.write_text('running: 1\\n');"
        "threading.Event().wait(60)"
    )
    with confstream("replicate", tree, replica, *_OPTIONS, "--exec", child) as writer:
        onlooker.wait_for_file("state.yml", b"running: 1\n", writer)

        ended = writer.stop()

    assert ended.code == 7, ended
    assert onlooker.read("state.yml") == b"final: state\n"


def test_exec_of_a_program_that_does_not_exist_is_an_error(replicas: Replicas, tree: Path) -> None:
    done = run_confstream("replicate", tree, replicas.make(), *_OPTIONS, "--exec", "/no/such/program")

    assert done.code not in {0, 127 + 128}, done
    assert "/no/such/program" in done.stderr


def test_once_publishes_what_is_there_and_ends(replicas: Replicas, tree: Path) -> None:
    replica = replicas.make()
    (tree / "config.yml").write_text("a: 1\n")

    done = run_confstream("replicate", tree, replica, "--once", *_OPTIONS)

    assert done.code == 0, done
    assert replicas.look_at(replica).read("config.yml") == b"a: 1\n"


def _python(program: str) -> str:
    """Return a command line, quoted for a shell or ``shlex``, that runs *program*."""
    import shlex  # noqa: PLC0415

    return shlex.join([sys.executable, "-c", program])
