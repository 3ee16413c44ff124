"""What ``confstream.yml`` says, as values: streams, and the process that serves them.

Pure. A command without that file has a stream, too: how the file is read and shown is imported where it is there.
Texts repeat no value that came from a variable or may be secret (P12).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from confstream.errors import UsageError
from confstream.profiles.profile import AUTO
from confstream.selection import Selection

if TYPE_CHECKING:
    from confstream.settings_checks import Check

FILE = "confstream.yml"


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
    validators: "tuple[Check, ...]" = ()
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
        from confstream.settings_keys import KEYS  # noqa: PLC0415 - only where there is a file

        found = ((key, getattr(self, key.field)) for key in KEYS if key.option and key.name not in without)
        return {key.field: value for key, value in found if value is not None}

    def backend_options(self) -> dict[str, Any]:
        """Return the options for the backend, the choice of a client among them."""
        chosen = {} if self.s3_client is None else {"s3_client": self.s3_client}
        return {**self.storage_options, **chosen}

    def show(self) -> str:
        """Return the stream as the file has it, the values in force in the place of variables, secrets masked."""
        from confstream.settings_kinds import flow  # noqa: PLC0415 - likewise

        return "\n".join([f"  {self.name}:", *(f"    {key}: {flow(shown)}" for key, shown in self.as_json().items())])

    def as_json(self) -> dict[str, Any]:
        """Return what ``show`` has, as values by key."""
        from confstream.settings_keys import KEYS  # noqa: PLC0415 - likewise

        found = {}
        for key in KEYS:
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
            from confstream.settings_document import unknown  # noqa: PLC0415 - only for a mistake

            raise UsageError(f"{self.source}: {unknown('stream', name, self.streams)}")
        return self.streams[name]

    def only(self, name: str) -> "Settings":
        """Return the same with no other stream than *name*."""
        return replace(self, streams=MappingProxyType({name: self.stream(name)}))

    def of_process(self) -> dict[str, str]:
        """Return what the file sets for the process as a whole, by the names of its keys."""
        from confstream.settings_keys import OF_PROCESS  # noqa: PLC0415 - as above

        return {key.name: value for key in OF_PROCESS if (value := getattr(self, key.field)) is not None}

    def show(self) -> str:
        """Return the effective settings as they are printed at start, secrets masked (P12, P13).

        Without variables and secrets, ``parse`` reads the same settings from it.
        """
        from confstream.settings_kinds import flow  # noqa: PLC0415 - as above

        lines = [f"{name}: {flow(shown)}" for name, shown in self._process_shown().items()]
        return "\n".join([*lines, "streams:", *(stream.show() for stream in self.streams.values()), ""])

    def as_json(self) -> dict[str, Any]:
        """Return what ``show`` has, as values: the documented, stable form that ``config show --json`` prints."""
        return {**self._process_shown(), "streams": {name: stream.as_json() for name, stream in self.streams.items()}}

    def _process_shown(self) -> dict[str, Any]:
        from confstream.settings_keys import OF_PROCESS  # noqa: PLC0415 - as above

        found = {}
        for key in OF_PROCESS:
            value = getattr(self, key.field)
            if value is not None:
                found[key.name] = self._shown[key.name] if key.name in self._shown else key.kind.show(value)
        return found
