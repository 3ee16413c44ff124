"""What commands have in common on the command line: options, and where a replica's address comes from."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, NamedTuple, Self, TypeVar, get_type_hints

import confstream
from confstream_cli import environment

TIMEOUT = "30s"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Given:
    """What options were given; each further field of a class below is an option.

    *named* are the fields whose option, or variable, was given: the others have their defaults.
    """

    named: frozenset[str] = frozenset()


_Given = TypeVar("_Given", bound=Given)
_Result = TypeVar("_Result")


class Option(NamedTuple):
    """An option of a command, which takes its value from *variable*, too; a number is no less than *least*."""

    name: str
    help: str
    metavar: str | None
    variable: str
    least: int | None = None


class Arguments(NamedTuple):
    """All arguments of a command, which *metavar* names."""

    metavar: str


def option(name: str, help_text: str, metavar: str | None = None, *, least: int | None = None) -> Option:
    """Return the option *name*, which takes its value from the variable of its name, too."""
    variable = environment.PREFIX + name.removeprefix("--").replace("-", "_").upper()
    return Option(name, help_text, metavar, variable, least)


def arguments(metavar: str) -> Arguments:
    """Return all arguments of a command, which *metavar* names."""
    return Arguments(metavar)


def command(
    metavar: str, given: type[_Given], without: Collection[str] = ()
) -> Callable[[Callable[[list[str], _Given], _Result]], Callable[..., _Result]]:
    """Make a command of a function of two values: the arguments, which *metavar* names, and the options.

    *given* is a dataclass with a field for each option: its type is the option, its default the option's. Those
    of *without* are no options of this command.
    """
    hints = get_type_hints(given, include_extras=True)
    hints["arguments"] = Annotated[list[str] | None, arguments(metavar)]
    defaults = {field.name: field.default for field in fields(given) if field.name not in {"named", *without}}

    def decorate(function: Callable[[list[str], _Given], _Result]) -> Callable[..., _Result]:
        def run(
            arguments: list[str] | None = None,
            *,
            named: frozenset[str],
            **values: Any,  # noqa: ANN401 - whatever options hold
        ) -> _Result:
            return function(list(arguments or []), given(**values, named=named))

        run.__doc__, run.__name__ = function.__doc__, function.__name__
        run.parameters = [(name, hints[name], value) for name, value in {"arguments": None, **defaults}.items()]  # type: ignore[attr-defined]  # What ``plain`` looks for.
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
S3Client = Annotated[
    str | None,
    option(
        "--s3-client",
        "For S3: lean, s3fs, or auto, which takes the lean one where it certainly means the same.",
        "NAME",
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
Config = Annotated[str | None, option("--config", "Read streams from this confstream.yml.", "FILE")]
Stream = Annotated[str | None, option("--stream", "Only this one of the file's streams.", "NAME")]
StateDir = Annotated[str | None, option("--state-dir", "Where the journal lives [.confstream].", "DIRECTORY")]
DryRun = Annotated[bool, option("--dry-run", "Change nothing, only say what would be done.")]


class Address(str):
    """The URL or path of a replica, and the options for its backend that the configuration file has."""

    __slots__ = ("storage_options",)
    storage_options: dict[str, Any]

    def __new__(cls, address: str, storage_options: Mapping[str, Any]) -> Self:
        """Make it of the two."""
        made = super().__new__(cls, address)
        made.storage_options = dict(storage_options)
        return made


def storage_of(replica: str, given: list[str] | None, s3_client: str | None) -> dict[str, Any]:
    """Return the options for the backend of *replica*; those *given* as options, and *s3_client*, count more."""
    of_file = replica.storage_options if isinstance(replica, Address) else {}
    chosen = {} if s3_client is None else {"s3_client": s3_client}
    return of_file | confstream.parse_storage_options(given or []) | chosen


def load(config: str | None, stream: str | None) -> confstream.Settings | None:
    """Return what the configuration file *config* says; None without one, where *stream* must not be given."""
    if config is None:
        if stream is not None:
            raise confstream.UsageError(
                "--stream names a stream of a configuration file; give --config, or set CONFSTREAM_CONFIG"
            )
        return None
    if os.environ.get("CONFSTREAM_REPLICA"):
        raise confstream.UsageError(
            f"CONFSTREAM_REPLICA and the configuration file {config} both name a replica; unset one of the two"
        )
    return confstream.load_settings(config, os.environ)


def replica_and_rest(
    arguments: list[str] | None,
    *names: str,
    required: int = 0,
    last: bool = False,
    config: str | None = None,
    stream: str | None = None,
) -> tuple[str, list[str]]:
    """Return the replica, and the other arguments, which are called *names*.

    With the file *config*, the replica is that of its only stream, or of the one called *stream*.

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
    settings = load(config, stream)
    if settings is not None:
        chosen = settings.stream(stream)
        replica = Address(chosen.replica, chosen.backend_options())
    elif last:
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


def open_history(
    replica: str, storage_option: list[str] | None, s3_client: str | None, timeout: str
) -> confstream.History:
    """Return the history that *replica* holds; nothing is asked yet."""
    return confstream.History.open(
        replica,
        storage_options=storage_of(replica, storage_option, s3_client),
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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GivenTracked(Given):
    """The options that say what is tracked."""

    profile: Profile = "auto"
    include: Include = None
    exclude: Exclude = None


def tracked(given: GivenTracked, stream: confstream.Stream) -> confstream.TrackOptions:
    """Return what is to be tracked: by option or variable, else by *stream*."""
    asked = tracked_by(stream)
    return replace(
        asked,
        profile=given.profile if "profile" in given.named else asked.profile,
        include=tuple(given.include or ()) if "include" in given.named else asked.include,
        exclude=tuple(given.exclude or ()) if "exclude" in given.named else asked.exclude,
    )


def tracked_by(stream: confstream.Stream) -> confstream.TrackOptions:
    """Return what *stream* says is to be tracked."""
    return confstream.TrackOptions(
        stream.profile,
        stream.include,
        stream.exclude,
        guard=stream.guard,
        checks=stream.validators,
        required=stream.required,
    )


def _is_place(argument: str) -> bool:
    return "://" in argument or "::" in argument or argument.startswith(("/", "."))
