"""The command line as Typer reads it: help, mistakes, and whatever is not plain."""

from __future__ import annotations  # Typer's types are named here, and imported where they are used.

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from confstream_cli import options, output, plain, shortcut
from confstream_cli.commands import COMMANDS, EXAMPLES

# "-3" is a revision, so some take what looks like an option, and refuse it themselves where it is none.
_NUMBERS = {"ignore_unknown_options": True}


def called(arguments: list[str], names: Iterable[str]) -> object:
    """Return what the command of *names* that *arguments* begin with returns."""
    command = typer.main.get_command(app_with(names))
    return command.main(arguments, prog_name="confstream", standalone_mode=False)


def app_with(names: Iterable[str]) -> typer.Typer:
    """Return the command line with the commands *names*, and ``version``."""
    made = typer.Typer(
        name="confstream",
        help="A journal for configuration directories: every write kept, any point in time restored.",
        epilog="Every option has a CONFSTREAM_* variable; lists are separated by blanks there. Errors have the exit"
        " codes that README lists.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    for name in names:
        command = COMMANDS[name]
        settings = _NUMBERS if command.takes_numbers else None
        made.command(name, epilog=f"Example: {EXAMPLES[name]}", context_settings=settings)(
            _described(command.function())
        )
    made.command("version", epilog=f"Example: {EXAMPLES['version']}")(_version)
    made.callback(invoke_without_command=True)(_root)
    return made


def _version() -> None:
    """Print the version."""
    output.Page().line(f"confstream {shortcut.version()}")


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="CONFSTREAM_DEBUG", help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    del debug  # ``run`` has seen it, wherever it stood.
    if version:
        _version()
    elif context.invoked_subcommand is None:
        output.Page().line(context.get_help())


def _described(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* with the parameters that Typer finds in it."""
    known, takes_named = plain.parameters(function), plain.takes_named(function)
    of_options = [name for name, _, about, _ in known if isinstance(about, options.Option)]

    def run(context: typer.Context, **given: Any) -> Any:  # noqa: ANN401 - whatever options hold
        sources = {name: context.get_parameter_source(name) for name in of_options}
        named = frozenset(name for name, source in sources.items() if source and "DEFAULT" not in source.name)
        return function(**given, **({"named": named} if takes_named else {}))

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    rest = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, _typed(about)]
        )
        for name, kind, about, default in known
    ]
    run.__doc__, run.__name__ = function.__doc__, function.__name__
    run.__annotations__ = {each.name: each.annotation for each in (first, *rest)}
    run.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]  # What inspect looks for.
    return run


def _typed(about: options.Option | options.Arguments) -> Any:  # noqa: ANN401 - Typer's own
    if isinstance(about, options.Arguments):
        return typer.Argument(metavar=about.metavar, show_default=False, hidden=True)
    return typer.Option(about.name, envvar=about.variable, metavar=about.metavar, help=about.help, min=about.least)
