"""The command line of confstream: parse, one call of the library, print.

This module is all that is imported where nothing has to be done: the answer
of ``restore --if-missing`` with the configuration present comes from it (P2).
"""

import gc
import os
import sys

from confstream_cli import shortcut

__all__ = ["main"]

_FIRST = 1

_READING = frozenset({"log", "show", "cat", "ls", "diff", "status"})
"""Commands that only read, and print: once that is done, nothing is left to do."""

_BRIEF = _READING | {"restore"}
"""Commands that end soon."""


def main() -> None:
    """Run the command of this process's arguments, and end with the exit code that README lists."""
    arguments = sys.argv[1:]
    line = shortcut.answer(arguments, os.environ)
    if line is not None:
        print(line, flush=True)  # noqa: T201 - a result, before anything that could print better is imported
        return
    # P2: whatever needs more than that pays for it, and nobody else does.
    name = arguments[0] if arguments else ""
    if name in _BRIEF:
        # A twentieth of the time would go into the search for cycles, and memory is given back in a moment anyway.
        gc.disable()
        from confstream_cli import seldom  # noqa: PLC0415 - likewise

        seldom.put_off()
    if os.getpid() == _FIRST:
        from confstream_cli import init, signals  # noqa: PLC0415 - nobody else has to bury and to hear what it has

        init.begin(_FIRST, arguments, os.environ)
        signals.heed(os.getpid())
    try:
        from confstream_cli.app import run  # noqa: PLC0415
    except ImportError as error:
        lacking = error.name or "that it needs"
        advice = f"pip install {lacking.partition('.')[0]}, or install confstream again with all that it depends on"
        print(f"confstream: the module {lacking} cannot be imported: {advice}", file=sys.stderr)  # noqa: T201 - likewise
        sys.exit(1)
    if name not in _READING or os.getpid() == _FIRST:
        run(arguments)
    try:
        run(arguments)
    except SystemExit as ended:
        _leave(ended.code)


def _leave(code: object) -> None:
    """End with *code*, once what was printed is out: memory and connections go without being tidied up first."""
    import atexit  # noqa: PLC0415 - likewise

    atexit._run_exitfuncs()  # noqa: SLF001 - what was registered is done as ever
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more, which ``run`` has seen.
            continue
    os._exit(code if isinstance(code, int) else 1)
