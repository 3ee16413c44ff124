"""Work in children of a process that has imported everything: a crash costs a fork, not a start."""

import contextlib
import functools
import gc
import importlib
import os
import pickle
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

PATIENCE_SECONDS = 120
_HEAVY = ("confstream.store.s3", "confstream.store.fsspec", "confstream.store.obstore")
_ENDED = object()


class CrashError(Exception):
    """Something that was to hold does not; the text is what a person wants to read."""


def import_everything() -> None:
    """Import all of confstream that a local replica may need, so that no child has to."""
    import confstream  # noqa: PLC0415 - after what watches it is installed.
    import confstream_cli  # noqa: PLC0415 - likewise.

    for package in (confstream, confstream_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(_HEAVY) and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    # The same for every run, and the slowest part of each.
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(confstream_cli.app.app)
    gc.collect()
    gc.freeze()


def work_in_child(work: Callable[[], Any], log: Path) -> Any:
    """Return what *work* returns, done in a child that prints into *log*; ``CrashError`` with what it raised.

    What it imported, this process imports as well, for those that come after.
    """
    status, answer, _ = _spawn(work, log)
    if status != 0 or answer is _ENDED:
        raise CrashError(f"the child ended with {status}\n{_tail(log)}")
    outcome, value, modules = answer
    for module in modules:
        if module not in sys.modules and not module.startswith("__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    if outcome == "raised":
        raise CrashError(f"{value}\n{_tail(log)}")
    return value


def killed_in_child(work: Callable[[int], Any], log: Path) -> tuple[bool, list[str]]:
    """Do *work*, given a pipe for acknowledgements, in a child; return whether SIGKILL ended it, and what it said."""
    status, answer, said = _spawn(work, log, with_pipe=True)
    if status == -signal.SIGKILL:
        return True, said
    if status != 0 or answer is _ENDED or answer[0] == "raised":
        raise CrashError(f"it ended with {status} by itself: {answer}\n{_tail(log)}")
    return False, said


def _spawn(work: Callable[..., Any], log: Path, *, with_pipe: bool = False) -> tuple[int, Any, list[str]]:
    results, answering = os.pipe()
    lines, saying = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(results)
        os.close(lines)
        _live(work, log, answering, (saying,) if with_pipe else ())
    os.close(answering)
    os.close(saying)
    with open(results, "rb") as pickled, open(lines, "rb") as said:  # noqa: PTH123 - descriptors.
        answered = pickled.read()
        told = said.read().decode().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # What it started, it would have ended.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return status, pickle.loads(answered) if answered else _ENDED, told  # noqa: S301 - our own child's.


def _live(work: Callable[..., Any], log: Path, answering: int, pipe: tuple[int, ...]) -> None:
    """Be the child, to the end: never return into the parent's code."""
    status, known = 3, set(sys.modules)
    answer: tuple[str, Any, list[str]]
    try:
        os.setsid()
        signal.alarm(PATIENCE_SECONDS)
        for descriptor in (answering, *pipe):
            os.set_inheritable(descriptor, False)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            value = work(*pipe)
            answer = "returned", value, [name for name in sys.modules if name not in known]
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is told.
            answer = "raised", traceback.format_exc(), []
        with open(answering, "wb") as out:
            out.write(pickle.dumps(answer))
        status = 0
    finally:
        os._exit(status)


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(errors="replace")[-4000:]
    return ""
