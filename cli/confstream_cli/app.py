"""All commands, and how they end: the exit codes of DESIGN, one for each error that a command can meet."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import confstream
from confstream_cli import environment, logs, output, plain
from confstream_cli.commands import COMMANDS

EXIT_CODES: dict[type[confstream.ConfstreamError], int] = {
    confstream.ConfstreamError: 1,
    confstream.UsageError: 2,
    confstream.PartialError: 3,
    confstream.RefusedError: 4,
    confstream.NotFoundError: 5,
    confstream.NoReplicaError: 10,
    confstream.FencedError: 11,
    confstream.DivergedError: 12,
    confstream.NoExclusiveCreateError: 13,
    confstream.IntegrityError: 14,
    confstream.StaleError: 15,
    confstream.UnavailableError: 16,
    confstream.AccessDeniedError: 16,
    confstream.OutcomeUnknownError: 16,
}
"""README lists them with what to do; 0 is "done, or nothing to do", 128 and more "ended by a signal"."""

_INTERRUPTED, _PIPE_CLOSED = 130, 141


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute is anything.
    if name == "app":
        from confstream_cli.parser import app_with  # noqa: PLC0415 - only for who wants all of them

        return app_with(COMMANDS)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with the code of the contract."""
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments or os.environ.get("CONFSTREAM_DEBUG", "0").lower() not in {"", "0", "false", "no"}
    output.prepare()
    try:
        code = _guarded([argument for argument in arguments if argument != "--debug"], debug=debug)
        sys.stdout.flush()
    except (BrokenPipeError, output.PipeClosedError):
        # Like a program that SIGPIPE ends; the interpreter must not try to flush once more.
        sys.stdout = io.StringIO()
        _forget_stdout()
        code = _PIPE_CLOSED
    finally:
        logs.reset()
    sys.exit(code)


def code_of(error: confstream.ConfstreamError) -> int:
    """Return the exit code of *error*: its class's, or that of the nearest class above."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def _guarded(arguments: list[str], *, debug: bool) -> int:
    try:
        if arguments[:1] != ["doctor"]:
            # That one says so itself, with everything else that is wrong.
            _check_environment()
        logs.configure(logs.WARNING)
        name = next((one for one in arguments if not one.startswith("-")), "")
        if name == "run":
            from confstream_cli.commands.supervise import with_command  # noqa: PLC0415 - only for this one

            arguments = with_command(arguments)
        found = _called(arguments, name)
        return found if isinstance(found, int) else 0
    except (BrokenPipeError, output.PipeClosedError):
        raise
    except SystemExit as error:
        # Typer's own answer to a pipe that nobody reads, even where it was asked not to exit.
        raise output.PipeClosedError from error
    except KeyboardInterrupt:
        output.note("interrupted")
        return _INTERRUPTED
    except confstream.ConfstreamError as error:
        code = getattr(error, "exit_code", None) or code_of(error)
        return _tell(str(error), code, debug=debug)
    except ImportError as error:
        lacking = error.name or "that it needs"
        advice = (
            "install confstream again with all that it depends on; confstream doctor names everything that is missing"
        )
        return _tell(f"the module {lacking} cannot be imported: {advice}", 1, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line and a code, never a trace by chance
        if hasattr(error, "format_message"):
            # Typer's own: what was typed cannot be meant.
            return _tell(f"{error.format_message()} (see confstream {' '.join(arguments[:1])} --help)", 2, debug=debug)
        what = f"{type(error).__name__}: {error}"
        return _tell(f"{what}; this is a fault of confstream or of the system: --debug shows where", 1, debug=debug)


def _called(arguments: list[str], name: str) -> object:
    """Return what the command *name* returns for *arguments*."""
    if name in COMMANDS and arguments[0] == name:
        function = COMMANDS[name].function()
        given = plain.read(function, arguments[1:], os.environ)
        if given is not None:
            return function(**given)
    # Typer takes a sixth of a second, and 8 MB, for what most command lines do not need.
    from confstream_cli.parser import called  # noqa: PLC0415

    # Help, and what is no command, need all of them.
    return called(arguments, [name] if name in COMMANDS else COMMANDS)


def _check_environment() -> None:
    unknown = environment.unknown(os.environ)
    if unknown:
        told = (f"there is no variable {name}; nearest is {environment.nearest(name)}" for name in unknown)
        raise confstream.UsageError("\n".join(f"{each}. Rename or unset it" for each in told))


def _tell(text: str, code: int, *, debug: bool) -> int:
    """Say why the command ends with *code*, and return it."""
    if debug:
        import traceback  # noqa: PLC0415 - only for this

        trace = traceback.format_exc()
        sys.stderr.write("".join(f"{confstream.mask_line(line)}\n" for line in trace.splitlines()))
    for number, line in enumerate([] if logs.fail(text, code) else text.splitlines()):
        shown = output.clean(confstream.mask_line(line))
        sys.stderr.write(f"confstream: {shown}\n" if not number else f"  {shown}\n")
    return code


def _forget_stdout() -> None:
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    except OSError:
        return
