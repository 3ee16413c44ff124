"""``run``: one container that restores what is missing, then protects it while its application runs."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.processes import ROOT, Process, confstream, run_confstream
from tests.servers import environment, free_port, wait_until

# The code of the commands, and of what only whole processes do, runs nowhere else.
pytestmark = pytest.mark.measured_processes

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")
_USAGE, _NO_REPLICA, _UNREACHABLE = 2, 10, 16
_GREETING = "the application runs"


def _application(*statements: str) -> list[str]:
    return [sys.executable, "-c", "; ".join([f"print({_GREETING!r}, flush=True)", *statements])]


def _published(replicas: Replicas, tree: Path, text: str) -> str:
    """Return a replica that holds *text* as ``config.yml``, and leave *tree* empty."""
    replica = replicas.make()
    (tree / "config.yml").write_text(text)
    assert run_confstream("replicate", tree, replica, "--once", *_OPTIONS).code == 0
    for path in sorted(tree.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return replica


def test_run_restores_what_is_missing_before_the_application_starts(replicas: Replicas, tree: Path) -> None:
    replica = _published(replicas, tree, "a: 1\n")
    application = _application(f"print(open({str(tree / 'config.yml')!r}).read())")

    done = run_confstream("run", *_OPTIONS, tree, replica, "--", *application)

    assert done.code == 0, done
    assert done.stdout == f"{_GREETING}\na: 1\n\n"
    assert "restored revision 1" in done.stderr


def test_p1_run_leaves_a_present_configuration_alone_and_publishes_it(replicas: Replicas, tree: Path) -> None:
    replica = _published(replicas, tree, "a: stale\n")
    (tree / "config.yml").write_text("a: newer\n")

    done = run_confstream("run", *_OPTIONS, tree, replica, "--", *_application())

    assert done.code == 0, done
    assert (tree / "config.yml").read_text() == "a: newer\n"
    assert "present" in done.stderr
    assert replicas.look_at(replica).read("config.yml") == b"a: newer\n"


def test_p2_run_does_not_start_the_application_on_nothing_while_the_replica_is_out_of_reach(tree: Path) -> None:
    nowhere = environment(f"http://127.0.0.1:{free_port()}")

    ended = run_confstream(
        "run", *_OPTIONS, "--timeout", "2s", tree, "s3://backups/frigate", "--", *_application(), environment=nowhere
    )

    assert ended.code == _UNREACHABLE, ended
    assert ended.stdout == ""


def test_run_starts_with_the_configuration_present_though_the_replica_is_out_of_reach(tree: Path) -> None:
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    (tree / "config.yml").write_text("a: 1\n")
    options = (*_OPTIONS, "--shutdown-timeout", "2s")

    done = run_confstream("run", *options, tree, "s3://backups/frigate", "--", *_application(), environment=nowhere)

    assert done.stdout == f"{_GREETING}\n"
    # What could not be published is told at the end, whatever the application returned (P7).
    assert done.code == _UNREACHABLE, done


@pytest.mark.parametrize(("options", "code", "said"), [((), _NO_REPLICA, ""), (("--if-replica-exists",), 0, _GREETING)])
def test_run_takes_a_replica_that_is_not_there_for_a_first_start_only_if_told_to(
    options: tuple[str, ...], code: int, said: str, replicas: Replicas, tree: Path
) -> None:
    done = run_confstream("run", *_OPTIONS, *options, tree, replicas.make(), "--", *_application())

    assert (done.code, done.stdout.strip()) == (code, said), done


def test_p7_run_ends_with_the_code_of_the_application_and_publishes_its_last_words(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    application = _application(f"open({str(tree / 'state.yml')!r}, 'w').write('last: words\\n')", "raise SystemExit(7)")

    done = run_confstream("run", *_OPTIONS, "--if-replica-exists", tree, replica, "--", *application)

    assert done.code == 7, done
    assert replicas.look_at(replica).read("state.yml") == b"last: words\n"


def test_what_stands_behind_the_dashes_is_the_command_whatever_it_looks_like(replicas: Replicas, tree: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    shown = _application("import sys", "print(sys.argv[1:])")
    words = ["--once", "two words", "--", "/looks/like/a/replica"]

    done = run_confstream(
        "run", *_OPTIONS, tree, "--", *shown, *words, environment={"CONFSTREAM_REPLICA": replicas.make()}
    )

    assert done.code == 0, done
    assert done.stdout == f"{_GREETING}\n{words}\n"


@pytest.mark.parametrize("rest", [[], ["--"]])
def test_run_without_a_command_is_told_how_to_give_one(rest: list[str], replicas: Replicas, tree: Path) -> None:
    done = run_confstream("run", tree, replicas.make(), *rest)

    assert done.code == _USAGE, done
    assert "--" in done.stderr


class _Manager:
    """A service manager that listens for what its service says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.told: list[str] = []

    def has_heard(self, line: str) -> bool:
        try:
            while True:
                self.told += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return line in self.told


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[_Manager]:
    listening = _Manager(tmp_path / "notify")
    yield listening
    listening.socket.close()


def _replicate(tree: Path, replica: str, notify: str) -> Process:
    return confstream("replicate", *_OPTIONS, tree, replica, environment={"NOTIFY_SOCKET": notify})


def _run(tree: Path, replica: str, notify: str) -> Process:
    waiting = [sys.executable, "-c", "import signal; signal.pause()"]
    return confstream("run", *_OPTIONS, tree, replica, "--", *waiting, environment={"NOTIFY_SOCKET": notify})


@pytest.mark.parametrize("start", [_replicate, _run])
def test_a_service_manager_is_told_when_the_directory_is_protected_and_when_the_end_begins(
    start: Callable[[Path, str, str], Process], replicas: Replicas, tree: Path, manager: _Manager
) -> None:
    (tree / "config.yml").write_text("a: 1\n")

    with start(tree, replicas.make(), str(manager.path)) as process:
        wait_until(lambda: manager.has_heard("READY=1"), 60, "READY=1")
        assert f"STATUS=protecting {tree}" in manager.told
        assert not manager.has_heard("STOPPING=1")
        process.stop()

    assert manager.has_heard("STOPPING=1")


def test_a_service_manager_that_does_not_listen_stops_nothing(replicas: Replicas, tree: Path, tmp_path: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")

    with _replicate(tree, replicas.make(), str(tmp_path / "nobody")) as process:
        process.wait_for_line("watching")

        assert process.stop().code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_as_process_1_a_command_ends_by_the_signals_that_the_kernel_would_drop(number: signal.Signals) -> None:
    program = f"import os; from confstream_cli import signals; signals.heed(1); os.kill(os.getpid(), {number}); input()"

    with Process([sys.executable, "-c", program]) as process:
        ended = process.finish()

    assert ended.code == 128 + number, ended
    assert number.name in ended.stderr


def test_as_any_other_process_signals_are_left_as_they_are() -> None:
    program = "import os, signal; from confstream_cli import signals; signals.heed(os.getpid());"
    program += "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"

    with Process([sys.executable, "-c", program]) as process:
        assert process.finish().stdout == "True\n"
    assert os.getpid() != 1


@pytest.fixture
def first_process() -> list[str]:
    """Give what makes a command the first process of its own world."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0 or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a process namespace needs root and unshare")
    return unshare


@pytest.mark.parametrize("how", ["run", "replicate"])
def test_as_the_first_process_orphans_are_buried_and_the_code_is_that_of_the_application(
    how: str, replicas: Replicas, tree: Path, first_process: list[str]
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    orphan = [sys.executable, str(ROOT / "tests" / "end_to_end" / "programs" / "orphan.py"), "7"]
    command = ["--", *orphan] if how == "run" else ["--exec", shlex.join(orphan)]

    done = run_confstream(how, *_OPTIONS, tree, replicas.make(), *command, within=first_process)

    assert (done.code, done.stdout) == (7, "buried\n"), done


def test_a_signal_to_the_first_process_reaches_the_application_and_ends_it_after_the_flush(
    replicas: Replicas, tree: Path, first_process: list[str]
) -> None:
    replica = replicas.make()
    (tree / "config.yml").write_text("a: 1\n")
    orphan = [sys.executable, str(ROOT / "tests" / "end_to_end" / "programs" / "orphan.py"), ""]

    with confstream("run", *_OPTIONS, tree, replica, "--", *orphan, within=first_process) as process:
        process.wait_for_line("buried", on="stdout")
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (tree / "config.yml").write_text("a: 2\n")
        os.kill(int(first), signal.SIGTERM)
        ended = process.finish()

    assert ended.code == 128 + signal.SIGTERM, ended
    assert replicas.look_at(replica).read("config.yml") == b"a: 2\n"
