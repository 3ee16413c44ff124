"""The first process of a container that runs a command: it buries orphans, passes signals on, and does nothing else."""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

_FIRST = 1
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def begin(pid: int, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Return in a process of its own if the process *pid*, which must be this one, is the first and runs a command.

    What a command starts and leaves alone becomes a child of the first process,
    which has to wait for it; a program that starts others itself must not, or
    it would take away their exit codes. So the first one only does that, and
    ends with the code of the one in which this returns.
    """
    if pid != _FIRST or not _runs_a_command(arguments, environ):
        return
    worker = os.fork()
    if worker:
        _stay(worker)
    # A terminal tells its whole foreground group: a signal that is also passed on would count twice.
    os.setpgid(0, 0)
    if os.isatty(0):
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)


def _runs_a_command(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    named = any(argument.partition("=")[0] == "--exec" for argument in arguments)
    return arguments[:1] == ["run"] or (arguments[:1] == ["replicate"] and (named or "CONFSTREAM_EXEC" in environ))


def _stay(worker: int) -> NoReturn:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    while True:
        pid, status = os.wait()
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
