"""The real command line as a process: its lines as they come, its end by pid, its exit code.

Nothing waits for a fixed time: for a line, for a condition, or for the end,
each with a deadline.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pytest

from tests.servers import wait_until

ROOT = Path(__file__).resolve().parent.parent
CONFSTREAM = (sys.executable, "-m", "confstream_cli")
PATIENCE_SECONDS = 60.0
"""How long anything may take that ought to happen at once: the machine may have other work to do."""

_INSTANT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended."""

    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Process:
    """A running process. Ended with the ``with`` block that it was made in, whatever happens there."""

    def __init__(
        self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._arrived = threading.Condition()
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", **(environment or {})},
            **options,
        )
        streams = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        self._threads = [
            threading.Thread(target=self._collect, args=(name, stream), daemon=True) for name, stream in streams.items()
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_running:
            self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(_INSTANT_SECONDS)
        if error is not None:
            print(f"{' '.join(self.command)}: {self.so_far}")  # noqa: T201 - what a failed test wants to know.

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Return whether it has not ended yet."""
        return self.process.poll() is None

    @property
    def so_far(self) -> Finished:
        """Return what it has said until now; the code is -1 while it runs."""
        code = self.process.poll()
        with self._arrived:
            said = {name: "".join(lines) for name, lines in self._lines.items()}
        return Finished(-1 if code is None else code, said["stdout"], said["stderr"])

    def wait_for_line(self, text: str, *, on: str = "stderr", seconds: float = PATIENCE_SECONDS) -> str:
        """Return the first line that contains *text*; fail if it does not come."""

        def found() -> str | None:
            return next((line for line in self._lines[on] if text in line), None)

        with self._arrived:
            self._arrived.wait_for(lambda: found() is not None or not self.is_running, seconds)
        if not self.is_running:
            self._threads[0].join(_INSTANT_SECONDS)
            self._threads[1].join(_INSTANT_SECONDS)
        line = found()
        if line is None:
            pytest.fail(f"waited in vain for {text!r} on {on} of {' '.join(self.command)}: {self.so_far}")
        return line

    def wait_until(self, condition: Any, what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once *condition* holds; fail if the process ends first, or when *seconds* are over."""

        def reached() -> bool:
            if condition():
                return True
            if not self.is_running:
                pytest.fail(f"{' '.join(self.command)} ended before {what}: {self.so_far}")
            return False

        wait_until(reached, seconds, f"{what}; so far: {self.so_far.stderr[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def finish(self, seconds: float = PATIENCE_SECONDS) -> Finished:
        """Wait for its end, and return how it was."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{' '.join(self.command)} does not end within {seconds:g} s: {self.so_far}")
        for thread in self._threads:
            thread.join(_INSTANT_SECONDS)
        return self.so_far

    def stop(self, seconds: float = PATIENCE_SECONDS) -> Finished:
        """Ask it to end, as a container runtime does, and return how it did."""
        self.signal(signal.SIGTERM)
        return self.finish(seconds)

    def _collect(self, name: str, stream: IO[bytes] | None) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                with self._arrived:
                    self._lines[name].append(line.decode("utf-8", "surrogateescape"))
                    self._arrived.notify_all()
        with self._arrived:
            self._arrived.notify_all()


def confstream(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, within: Sequence[str] = (), **options: Any
) -> Process:
    """Start the command line with *arguments*, *within* another command if one is given; use it in a ``with``."""
    return Process([*within, *CONFSTREAM, *arguments], environment=environment, **options)


def run_confstream(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = PATIENCE_SECONDS,
    **options: Any,
) -> Finished:
    """Run the command line with *arguments* to its end."""
    with confstream(*arguments, environment=environment, **options) as process:
        return process.finish(seconds)
