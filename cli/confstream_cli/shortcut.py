"""Answers that need no more than the arguments and a look at the disk (P2).

Whatever is not certain, and every mistake, is left to the ordinary way, which
gives the same answer. Imports next to nothing, and must stay so.
"""

from confstream_cli import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_FLAGS = {"--if-missing": "CONFSTREAM_IF_MISSING", "--if-replica-exists": "CONFSTREAM_IF_REPLICA_EXISTS"}
_HANDLED = {*_FLAGS.values(), "CONFSTREAM_GUARD", "CONFSTREAM_PROFILE", "CONFSTREAM_REPLICA"}


def answer(arguments: "Sequence[str]", environ: "Mapping[str, str]") -> str | None:
    """Return the one line that is the whole answer, after which the command ends with code 0; None if it takes more."""
    if list(arguments) in (["version"], ["--version"]):
        return f"confstream {version()}"
    if arguments[:1] == ["restore"]:
        return _restore(arguments[1:], environ)
    return None


def version() -> str:
    """Return the version of confstream that is installed."""
    from importlib import metadata  # noqa: PLC0415 - takes longer than P2 may

    try:
        return metadata.version("confstream")
    except metadata.PackageNotFoundError:
        return "unknown"


def present(why: str) -> str:
    """Return the line that says why ``restore --if-missing`` had nothing to do: the library's own words."""
    return f"the configuration is present: {why}; nothing was contacted"


def _restore(arguments: "Sequence[str]", environ: "Mapping[str, str]") -> str | None:
    asked = _Asked()
    if not asked.take(arguments) or not asked.take_variables(environ) or not asked.flags["--if-missing"]:
        return None
    if len(asked.places) == 1 and environ.get("CONFSTREAM_REPLICA"):
        asked.places.insert(0, environ["CONFSTREAM_REPLICA"])
    if len(asked.places) != 2 or not all(asked.places):  # noqa: PLR2004 - a replica and a tree
        return None
    import confstream  # noqa: PLC0415 - only for this

    tree = asked.places[1]
    guards = confstream.plain_guards(tree, asked.profile, asked.guards or [])
    if guards is None:
        return None
    try:
        found = confstream.is_missing(tree, guards)
    except confstream.ConfstreamError:
        # The ordinary way comes to the same, and has the words and the exit code for it.
        return None
    return None if found.missing else present(found.why)


class _Asked:
    """What the arguments and variables ask for, as far as it is of the plain kind."""

    def __init__(self) -> None:
        self.flags: dict[str, bool | None] = dict.fromkeys(_FLAGS)
        self.guards: list[str] | None = None
        self.profile: str | None = None
        self.places: list[str] = []

    def take(self, arguments: "Sequence[str]") -> bool:
        """Return whether all of *arguments* are of the plain kind."""
        waiting = ""
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if waiting:
                self._set(waiting, argument)
                waiting = ""
            elif argument in _FLAGS:
                self.flags[argument] = True
            elif name in {"--guard", "--profile"}:
                if equals:
                    self._set(name, value)
                else:
                    waiting = name
            elif argument.startswith("-"):
                return False
            else:
                self.places.append(argument)
        return not waiting

    def take_variables(self, environ: "Mapping[str, str]") -> bool:
        """Return whether the variables are of the plain kind; arguments come before them."""
        for name in environ:
            if not name.startswith(environment.PREFIX) or name in environment.OF_OTHERS:
                continue
            if name not in _HANDLED and not environment.is_service_link(name):
                return False
        for flag, name in _FLAGS.items():
            value = environ.get(name, "0")
            if value not in _TRUE | _FALSE:
                return False
            if self.flags[flag] is None:
                self.flags[flag] = value in _TRUE
        if self.guards is None:
            self.guards = environ.get("CONFSTREAM_GUARD", "").split()
        if self.profile is None:
            self.profile = environ.get("CONFSTREAM_PROFILE")
        return True

    def _set(self, name: str, value: str) -> None:
        if name == "--profile":
            self.profile = value
        else:
            self.guards = [*(self.guards or []), value]
