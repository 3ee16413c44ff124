"""The command that a replicator runs: started once, told of signals, ended with it."""

import subprocess
import threading
from collections.abc import Callable, Sequence

from confstream.errors import UsageError


class Child:
    """A process that was not started yet, runs, or is over. Its methods may be called from a signal handler."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Return whether there is, or was, a process."""
        return self._process is not None

    @property
    def code(self) -> int | None:
        """Return the exit code, negative for a signal; None before the end, and where nothing was started."""
        return None if self._process is None else self._process.poll()

    def start(self, on_end: Callable[[], None]) -> None:
        """Start it, if there is a command and it was not started yet; *on_end* is called when it is over."""
        if not self._command or self._process is not None:
            return
        try:
            self._process = process = subprocess.Popen(self._command)  # noqa: S603 - the user's own command
        except OSError as error:
            raise UsageError(f"cannot run {self._command[0]!r}: {error.strerror}") from error

        def reap() -> None:
            process.wait()
            on_end()

        threading.Thread(target=reap, name="confstream-child", daemon=True).start()

    def signal(self, number: int) -> bool:
        """Pass the signal *number* on; return whether there was anybody to tell."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.send_signal(number)
        return True

    def end(self, number: int, timeout_seconds: float) -> None:
        """See to it that it is over: by the signal *number*, and after *timeout_seconds* by force."""
        if self._process is not None and self.signal(number):
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
