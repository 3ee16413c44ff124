"""``confstream.yml`` as values: strict (P13), with ``${VARIABLE}`` from a mapping that the caller gives.

Pure. Everything is declared once, in ``_KEYS``: reader, text form and the JSON
Schema for editors follow from it. What no code honours is no key. Errors and
text forms repeat no value that came from a variable or may be secret (P12).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from confstream.errors import UsageError
from confstream.selection import Selection
from confstream.settings_checks import CHECKS, LABELS, REQUIRED, Check
from confstream.settings_document import Node, every, read, together, unknown
from confstream.settings_kinds import (
    AUTO,
    BOOLEAN,
    LOG_FORMAT,
    OPTIONS,
    PATHS,
    PATTERNS,
    PROFILE,
    S3_CLIENT,
    SECRET,
    SIZE,
    TEXT,
    Found,
    Kind,
    duration,
    flow,
)

FILE = "confstream.yml"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, repr=False)
class Stream:
    """One directory and its replica; None is what the file leaves to the command's own default. Times in seconds.

    *guard* replaces the profile's guards. *storage_options* go to the backend.
    Texts are as on the command line: a relative path begins where the program runs.
    """

    name: str
    tree: str
    replica: str
    profile: str = AUTO
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    guard: tuple[str, ...] | None = None
    validators: tuple[Check, ...] = ()
    required: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    settle_seconds: float | None = None
    heartbeat_seconds: float | None = None
    fail_after_seconds: float | None = None
    spool_bytes_max: int | None = None
    scan_seconds: float | None = None
    shutdown_seconds: float | None = None
    timeout_seconds: float | None = None
    state_dir: str | None = None
    unsafe_single_writer: bool | None = None
    s3_client: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    _shown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def __post_init__(self) -> None:
        """Refuse what would track nothing."""
        Selection(self.include, self.exclude, "none")

    def __repr__(self) -> str:
        # P12: a variable may put a secret anywhere; only show() knows.
        return f"<Stream {self.name}>"

    def options(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return what the file sets of ``ReplicateOptions``, by the names of its fields; *state_dir* is a text.

        Keys that are named in *without* are left out: somebody said otherwise.
        """
        found = ((key, getattr(self, key.field)) for key in _KEYS if key.option and key.name not in without)
        return {key.field: value for key, value in found if value is not None}

    def backend_options(self) -> dict[str, Any]:
        """Return the options for the backend, the choice of a client among them."""
        chosen = {} if self.s3_client is None else {"s3_client": self.s3_client}
        return {**self.storage_options, **chosen}

    def show(self) -> str:
        """Return the stream as the file has it, the values in force in the place of variables, secrets masked."""
        return "\n".join([f"  {self.name}:", *(f"    {key}: {flow(shown)}" for key, shown in self.as_json().items())])

    def as_json(self) -> dict[str, Any]:
        """Return what ``show`` has, as values by key."""
        found = {}
        for key in _KEYS:
            value = getattr(self, key.field)
            if value is not None and (value or key.field in {"guard", *self.options()}):
                found[key.name] = self._shown[key.name] if key.name in self._shown else key.kind.show(value)
        return found


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration file says; *source* is what messages call it.

    *listen*, *ping_url* and *log_format* are for the process as a whole; None is what the file leaves to the command.
    """

    streams: Mapping[str, Stream]
    source: str = FILE
    listen: str | None = None
    ping_url: str | None = field(default=None, repr=False)
    log_format: str | None = None
    _shown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    def stream(self, name: str | None = None) -> Stream:
        """Return the stream *name*, or the only one there is; ``UsageError`` otherwise."""
        if name is None:
            if len(self.streams) != 1:
                raise UsageError(f"{self.source} has several streams; name one of {', '.join(self.streams)}")
            return next(iter(self.streams.values()))
        if name not in self.streams:
            raise UsageError(f"{self.source}: {unknown('stream', name, self.streams)}")
        return self.streams[name]

    def only(self, name: str) -> "Settings":
        """Return the same with no other stream than *name*."""
        return replace(self, streams=MappingProxyType({name: self.stream(name)}))

    def of_process(self) -> dict[str, str]:
        """Return what the file sets for the process as a whole, by the names of its keys."""
        return {key.name: value for key in _OF_PROCESS if (value := getattr(self, key.field)) is not None}

    def show(self) -> str:
        """Return the effective settings as they are printed at start, secrets masked (P12, P13).

        Without variables and secrets, ``parse`` reads the same settings from it.
        """
        lines = [f"{name}: {flow(shown)}" for name, shown in self._process_shown().items()]
        return "\n".join([*lines, "streams:", *(stream.show() for stream in self.streams.values()), ""])

    def as_json(self) -> dict[str, Any]:
        """Return what ``show`` has, as values: the documented, stable form that ``config show --json`` prints."""
        return {**self._process_shown(), "streams": {name: stream.as_json() for name, stream in self.streams.items()}}

    def _process_shown(self) -> dict[str, Any]:
        found = {}
        for key in _OF_PROCESS:
            value = getattr(self, key.field)
            if value is not None:
                found[key.name] = self._shown[key.name] if key.name in self._shown else key.kind.show(value)
        return found


def parse(text: str, environ: Mapping[str, str], source: str = FILE) -> Settings:
    """Return what *text*, the content of the file *source*, says, with the variables of *environ*.

    Raise ``UsageError`` that names line and column of every unknown or repeated
    key, value that cannot be meant, and variable that is not set.
    """
    document = read(text, source)
    streams: dict[str, Stream] = {}
    process: dict[str, Found] = {}

    def read_streams() -> None:
        if isinstance(document.value, dict) and "streams" in document.value:
            streams.update(_streams(document.value["streams"], environ))

    try:
        together(
            lambda: _check_keys(document, ("streams", *_names(_OF_PROCESS)), ("streams",), _KEYS, _TO_A_STREAM),
            lambda: process.update(_values(document, _OF_PROCESS, environ)),
            read_streams,
        )
    except UsageError as error:
        raise UsageError("\n".join(sorted(str(error).splitlines(), key=lambda line: _place(line, source)))) from error
    shown = MappingProxyType({name: each.shown for name, each in process.items()})
    values = {key.field: process[key.name].value for key in _OF_PROCESS if key.name in process}
    return Settings(MappingProxyType(streams), source, **values, _shown=shown)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors; made of the same declaration that ``parse`` follows."""
    keys = {key.name: {"description": key.description, **key.kind.schema} for key in _KEYS}
    required = [key.name for key in _KEYS if key.required]
    stream = {"type": "object", "additionalProperties": False, "required": required, "properties": keys}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "confstream settings",
        "type": "object",
        "additionalProperties": False,
        "required": ["streams"],
        "properties": {
            **{key.name: {"description": key.description, **key.kind.schema} for key in _OF_PROCESS},
            "streams": {
                "description": "What is protected, by a name of its own.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{_NAME.pattern}$"},
                "additionalProperties": stream,
            },
        },
    }


def check_environment(
    environ: Iterable[str],
    known: Collection[str],
    prefix: str = "CONFSTREAM_",
    ignore: Callable[[str], bool] = lambda _name: False,
) -> None:
    """Raise ``UsageError`` if a variable's name begins with *prefix* and is not *known*; it names the nearest (P13).

    *ignore* tells the names that nobody chose, as Kubernetes sets them.
    """
    for name in sorted(environ):
        if name.startswith(prefix) and name not in known and not ignore(name):
            near = difflib.get_close_matches(name, known, 1, 0)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"unknown variable {name}; {meant}Correct its name, or unset it")


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of a stream, and the field that it becomes; *option* if ``ReplicateOptions`` has that field, too."""

    name: str
    field: str
    kind: Kind
    description: str
    required: bool = False
    option: bool = False


_KEYS = (
    _Key("tree", "tree", TEXT, "The directory to protect.", required=True),
    _Key("replica", "replica", TEXT, "A URL such as s3://bucket/prefix, or a directory.", required=True),
    _Key("profile", "profile", PROFILE, "Built-in rules for an application; auto recognises it, none tracks all."),
    _Key("include", "include", PATTERNS, "Track only these, as .gitignore names files."),
    _Key("exclude", "exclude", PATTERNS, "Do not track these; a pattern that begins with ! takes back."),
    _Key("guard", "guard", PATHS, "Files without which the configuration is missing, instead of the profile's."),
    _Key("validators", "validators", CHECKS, "What else judges files: built-in validators, commands, JSON Schemas."),
    _Key("required", "required", REQUIRED, "Keys that files must have, by pattern; a dot leads into a mapping."),
    _Key("labels", "labels", LABELS, "Recorded with every revision."),
    _Key("settle", "settle_seconds", duration(0.02), "How long a file must be unchanged, as in 2s.", option=True),
    _Key("heartbeat", "heartbeat_seconds", duration(0), "How often to prove being alive; 0 is never.", option=True),
    _Key(
        "fail_after", "fail_after_seconds", duration(0), "End when the replica took nothing for so long.", option=True
    ),
    _Key("spool_max", "spool_bytes_max", SIZE, "Past this, the oldest unpublished revisions are merged.", option=True),
    _Key("scan_interval", "scan_seconds", duration(0.001), "How often to compare the whole directory.", option=True),
    _Key("shutdown_timeout", "shutdown_seconds", duration(0), "How long the end may take.", option=True),
    _Key("timeout", "timeout_seconds", duration(0.001), "How long a request may take.", option=True),
    _Key("state_dir", "state_dir", TEXT, "Where the journal lives, if not in .confstream/.", option=True),
    _Key(
        "unsafe_single_writer",
        "unsafe_single_writer",
        BOOLEAN,
        "Use a backend that cannot create exclusively, and see to it that there is one writer.",
        option=True,
    ),
    _Key("s3_client", "s3_client", S3_CLIENT, "For S3: lean, s3fs, or auto, which takes the lean one where it can."),
    _Key("storage_options", "storage_options", OPTIONS, "Options for the backend; credentials rather from AWS_*."),
)


_OF_PROCESS = (
    _Key("listen", "listen", TEXT, "Answer health and metrics there, as in :9099."),
    _Key("ping_url", "ping_url", SECRET, "Tell healthchecks.io or Uptime Kuma that all is well; a secret."),
    _Key("log_format", "log_format", LOG_FORMAT, "How the log is written: text or json."),
)


def _place(line: str, source: str) -> list[int]:
    """Return line and column that a message begins with: who mends a file goes from its top to its end."""
    found = re.match(r":(\d+):(\d+): ", line.removeprefix(source))
    return [*map(int, found.groups())] if found else []


_TO_A_STREAM = "to a stream, below streams"
_TO_THE_PROCESS = "to the whole process, at the top of the file"


def _names(keys: Iterable[_Key]) -> list[str]:
    return [key.name for key in keys]


def _streams(node: Node, environ: Mapping[str, str]) -> dict[str, Stream]:
    streams = every(node.mapping(), lambda name, each: _stream(name, each, node, environ))
    if not streams:
        node.fail("has no stream; name at least one")
    _refuse_twins(streams, node)
    return streams


def _stream(name: str, node: Node, above: Node, environ: Mapping[str, str]) -> Stream:
    found: dict[str, Found] = {}
    together(
        lambda: _check_name(name, above.keys[name]),
        lambda: _check_keys(node, _names(_KEYS), _names(key for key in _KEYS if key.required), _OF_PROCESS),
        lambda: found.update(_values(node, _KEYS, environ)),
    )
    shown = MappingProxyType({name: each.shown for name, each in found.items()})
    try:
        return Stream(name, **{key.field: found[key.name].value for key in _KEYS if key.name in found}, _shown=shown)
    except UsageError as error:
        raise UsageError(f"{node.place}: {error}") from error


def _values(node: Node, keys: Iterable[_Key], environ: Mapping[str, str]) -> dict[str, Found]:
    """Return by name what *node* has of *keys*."""
    given = node.value if isinstance(node.value, dict) else {}
    return every(
        {key.name: key for key in keys if key.name in given}, lambda name, key: key.kind.read(given[name], environ)
    )


def _check_name(name: str, node: Node) -> None:
    if not _NAME.fullmatch(name):
        node.fail("a stream's name has small letters, digits, '.', '_', '-', at most 63, a letter first")


def _check_keys(
    node: Node,
    known: Collection[str],
    required: Collection[str],
    elsewhere: Iterable[_Key],
    where: str = _TO_THE_PROCESS,
) -> None:
    """Refuse keys that are not *known*; say *where* those *elsewhere* belong: the nearest one would lead astray."""
    misplaced = set(_names(elsewhere)) & node.keys.keys()
    together(
        lambda: every(
            dict.fromkeys(sorted(misplaced)), lambda name, _: node.keys[name].fail(f"the key {name!r} belongs {where}")
        ),
        lambda: replace(node, keys={key: at for key, at in node.keys.items() if key not in misplaced}).mapping(
            known, required
        ),
    )


def _refuse_twins(streams: Mapping[str, Stream], node: Node) -> None:
    """Refuse two streams that would fence one another, or lock one another out."""
    for attribute in ("tree", "replica"):
        seen: dict[str, str] = {}
        for name, stream in streams.items():
            place = getattr(stream, attribute).rstrip("/")
            if place in seen:
                node.keys[name].fail(
                    f"the streams {seen[place]} and {name} have the same {attribute}; give each its own"
                )
            seen[place] = name
