"""Other programs as their users start them: whole processes, from start to end."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.processes import ROOT
from tests.servers import find_program, stop

# PYTHON, too: without compiled byte-code, which PYTHONDONTWRITEBYTECODE forbids, every start is another one.
_FOREIGN = ("AWS_", "BORG_", "CONFSTREAM_", "GIT_", "LITESTREAM_", "PYTHON", "RCLONE_", "RESTIC_")


@dataclass(frozen=True)
class Command:
    """What to start, and where."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT

    def __str__(self) -> str:
        return " ".join(self.arguments)


@dataclass(frozen=True)
class Ended:
    """How a process ended: how long it took, what it cost, what it said."""

    seconds: float
    cpu_seconds: float
    resident_bytes_max: int
    stdout: str


def run(command: Command) -> Ended:
    """Run *command* to its end; one that fails ends the benchmark."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            env=environment(command.environment),
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said = [_read(stream) for stream in (stdout, stderr)]
    if process.returncode != 0:
        raise SystemExit(f"{command}: exit code {process.returncode}\n{said[0][-1000:]}\n{said[1][-3000:]}")
    return Ended(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said[0])


@contextmanager
def running(commands: Mapping[str, Command], log_directory: Path) -> Iterator[dict[str, int]]:
    """Run *commands* beside what the block does; give their process ids, end them with the block."""
    with ExitStack() as stack:
        processes = {}
        for name, command in commands.items():
            log = stack.enter_context((log_directory / f"{name.replace(' ', '-')}.log").open("wb"))
            process = subprocess.Popen(
                command.arguments,
                env=environment(command.environment),
                cwd=command.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(_stop_group, process)
            processes[name] = process.pid
        yield processes


def environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a contender: what the user has set for any of them must not decide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", **added}


def program(name: str) -> str:
    """Return the path of *name*, beside this Python or on the PATH; empty if it is not installed."""
    try:
        return find_program(name, name)
    except pytest.skip.Exception:
        return ""


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a shell and what it has started: all that is in the session that was made for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    stop(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")
