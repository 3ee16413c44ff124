"""What commands have in common on the command line: options, and where a replica's address comes from."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import inspect
import os
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

import confstream
from confstream_cli import environment

TIMEOUT = "30s"

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


def option(name: str, help_text: str, metavar: str | None = None, **settings: Any) -> Any:  # noqa: ANN401 - Typer's own
    """Return the option *name*, which takes its value from the variable of its name, too."""
    variable = environment.PREFIX + name.removeprefix("--").replace("-", "_").upper()
    return typer.Option(name, envvar=variable, metavar=metavar, help=help_text, **settings)


def arguments(metavar: str) -> Any:  # noqa: ANN401 - Typer's own
    """Return all arguments of a command, which *metavar* names."""
    return typer.Argument(metavar=metavar, show_default=False, hidden=True)


def command(
    metavar: str, given: type[_Given], without: Collection[str] = ()
) -> Callable[[Callable[[list[str], _Given], _Result]], Callable[..., _Result]]:
    """Make a command of a function of two values: the arguments, which *metavar* names, and the options.

    *given* is a dataclass with a field for each option: its type is the option, its default the option's. Those
    of *without* are no options of this command.
    """
    hints = get_type_hints(given, include_extras=True)
    listed = Annotated[list[str] | None, arguments(metavar)]
    first = inspect.Parameter("arguments", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=listed)
    rest = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(given)  # type: ignore[arg-type]  # Nothing names the type of all dataclasses.
        if field.name not in without
    ]

    def decorate(function: Callable[[list[str], _Given], _Result]) -> Callable[..., _Result]:
        def run(arguments: list[str] | None = None, **values: Any) -> _Result:  # noqa: ANN401 - whatever options hold
            return function(list(arguments or []), given(**values))

        run.__doc__, run.__name__ = function.__doc__, function.__name__
        run.__annotations__ = {each.name: each.annotation for each in (first, *rest)}
        run.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]  # What inspect looks for.
        return run

    return decorate


StorageOption = Annotated[
    list[str] | None,
    option(
        "--storage-option",
        "Option for the backend, repeatable; a dot in the key descends, as in client_kwargs.region_name=eu-1.",
        "KEY=VALUE",
    ),
]
Timeout = Annotated[str, option("--timeout", "How long a request may take.", "TIME")]
Json = Annotated[bool, option("--json", "Print JSON: stable, for programs.")]
Revision = Annotated[
    str | None,
    option("--revision", "A number, latest, latest-good, -3 (three before the latest) or a tag.", "REVISION"),
]
Timestamp = Annotated[
    str | None,
    option(
        "--timestamp",
        "The last revision until then: 2026-02-27T09:30:00Z, '2026-02-27 09:30' (here), 2h, yesterday.",
        "TIME",
    ),
]
ShowSecrets = Annotated[bool, option("--show-secrets", "Do not mask what looks like a secret.")]
Include = Annotated[list[str] | None, option("--include", "Track only these, as .gitignore names files.", "PATTERN")]
Exclude = Annotated[list[str] | None, option("--exclude", "Do not track these; ! takes back.", "PATTERN")]
Profile = Annotated[
    str,
    option(
        "--profile",
        "Rules for an application, see 'profile list'; auto recognises it, generic leaves out logs, locks, caches and"
        " temporary files, none tracks everything.",
        "NAME",
    ),
]
StateDir = Annotated[str | None, option("--state-dir", "Where the journal lives [.confstream].", "DIRECTORY")]
DryRun = Annotated[bool, option("--dry-run", "Change nothing, only say what would be done.")]


def replica_and_rest(
    arguments: list[str] | None, *names: str, required: int = 0, last: bool = False
) -> tuple[str, list[str]]:
    """Return the replica, and the other arguments, which are called *names*.

    Where ``CONFSTREAM_REPLICA`` is set, the replica may be left out: then the
    first argument is taken for one only if it is a URL or a path that begins
    with ``/`` or ``.``, or if there is one argument too many for *names*. With *last* the
    replica stands behind the other arguments.
    """
    given = list(arguments or [])
    replica = os.environ.get("CONFSTREAM_REPLICA", "")
    options = [argument for argument in given if argument.startswith("-") and not argument[1:].isdigit()]
    if options:
        raise confstream.UsageError(f"no such option: {options[0].partition('=')[0]}")
    if last:
        if len(given) > len(names):
            replica = given.pop(len(names))
    elif given and (not replica or len(given) > len(names) or (_is_place(given[0]) and len(given) > required)):
        replica = given.pop(0)
    if not replica:
        raise confstream.UsageError("no replica: give its URL or directory, or set CONFSTREAM_REPLICA")
    if len(given) < required:
        raise confstream.UsageError(f"{names[len(given)]} is missing")
    if len(given) > len(names):
        expected = " ".join([*names, "REPLICA"] if last else ["REPLICA", *names])
        raise confstream.UsageError(f"{given[len(names)]!r} is one argument too many; expected {expected}")
    return replica, given


def open_history(replica: str, storage_option: list[str] | None, timeout: str) -> confstream.History:
    """Return the history that *replica* holds; nothing is asked yet."""
    return confstream.History.open(
        replica,
        storage_options=confstream.parse_storage_options(storage_option or []),
        timeout_seconds=seconds("--timeout", timeout),
    )


def resolve(history: confstream.History, revision: str | None, timestamp: str | None) -> confstream.Target:
    """Return the revision that the options name, the newest without any."""
    if revision is not None and timestamp is not None:
        raise confstream.UsageError("--revision and --timestamp name one revision each; give one of them")
    return history.resolve(revision) if timestamp is None else history.at_time(timestamp)


def seconds(option: str, text: str, *, least: float = 0.001) -> float:
    """Return the seconds that *text*, given for *option*, means; ``UsageError`` below *least*."""
    try:
        found = confstream.parse_duration(text)
    except confstream.UsageError as error:
        raise confstream.UsageError(f"{option}: {error}") from error
    if found < least:
        raise confstream.UsageError(f"{option} {text} is too short; expected at least {least:g} s")
    return found


def size(option: str, text: str, *, least: int = 0) -> int:
    """Return the bytes that *text*, given for *option*, means; ``UsageError`` below *least*."""
    try:
        found = confstream.parse_size(text)
    except confstream.UsageError as error:
        raise confstream.UsageError(f"{option}: {error}") from error
    if found < least:
        raise confstream.UsageError(f"{option} {text} is too little; expected at least {confstream.show_size(least)}")
    return found


def tracked(profile: str, include: list[str] | None, exclude: list[str] | None) -> confstream.TrackOptions:
    """Return what is to be tracked."""
    return confstream.TrackOptions(profile, tuple(include or ()), tuple(exclude or ()))


def _is_place(argument: str) -> bool:
    return "://" in argument or "::" in argument or argument.startswith(("/", "."))
