"""How what was looked at is shown: a line for each thing, and what to do below it where there is something to do."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import confstream
from confstream_cli import output

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}
_INDENT = " " * 6
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class SignalledError(confstream.ConfstreamError):
    """A signal came before the work was done, and ends the command as the signal would have."""

    def __init__(self, error: object, number: int) -> None:
        super().__init__(str(error))
        self.exit_code = 128 + number


class _Signalled(KeyboardInterrupt):
    """A signal, raised where the program is, so that it can clean up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def show(page: output.Page, check: confstream.Check, width: int) -> None:
    """Print *check*, its name filled up to *width*."""
    level = page.paint(check.level.value.ljust(4), _COLOURS[check.level.value])
    found = output.clean(confstream.mask_line(check.found))
    page.line(f"{level}  {page.paint(check.name.ljust(width), 'bold')}  {found}")
    if check.advice:
        page.line(
            f"{_INDENT}{' ' * width}  {page.paint('->', 'dim')} {output.clean(confstream.mask_line(check.advice))}"
        )
    page.stream.flush()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is in the block as Ctrl-C does, cleaning up; then end with their code."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise _Signalled(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        # Under nohup, SIGHUP is to stay without effect.
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    except _Signalled as error:
        name = signal.Signals(error.number).name
        raise SignalledError(f"ended by {name}; what was made for the check is removed", error.number) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
