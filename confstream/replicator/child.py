"""The program that a replicator runs beside it."""

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence

from confstream.errors import UsageError

Child = subprocess.Popen[bytes]


def start_child(command: Sequence[str], on_end: Callable[[], None]) -> Child:
    """Run *command*, and call *on_end* from another thread when it is over; ``UsageError`` if it cannot be run."""
    try:
        child = subprocess.Popen(list(command))  # noqa: S603 - the user's own command
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}: {error.strerror}") from error

    def reap() -> None:
        child.wait()
        on_end()

    threading.Thread(target=reap, name="confstream-child", daemon=True).start()
    return child


def end_child(child: Child | None, timeout_seconds: float) -> None:
    """Ask *child* to end if it still runs, and kill it after *timeout_seconds*."""
    if child is None or child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
