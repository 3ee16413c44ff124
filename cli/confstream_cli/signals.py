"""Signals to the first process of a container, which the kernel would drop."""

import os
import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_FIRST = 1


def heed(pid: int) -> None:
    """Have the process *pid*, which must be this one, end by SIGTERM and SIGHUP as any process does.

    The kernel ends no process 1 by a signal that it does not handle: the
    container would run until it is killed. ``replicate`` handles them itself
    later; for every other command being ended at any time is harmless.
    """
    if pid != _FIRST:
        return
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os.write(2, f"confstream: ended by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)
