"""A profile as a value: what of an application's directory is tracked, checked, masked, restored together.

The files beside this module are read as strictly as a user's own settings.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from confstream.errors import UsageError
from confstream.profiles import signs
from confstream.selection import PROFILES, Selection
from confstream.settings_document import Node, read, unknown
from confstream.values import dataclass

AUTO = "auto"
VALIDATORS = ("ini", "json", "jsonl", "none", "toml", "xml", "yaml")
_ORDER = ("frigate", "home-assistant", "zigbee2mqtt", "node-red", "esphome", "adguardhome", "arr", "traefik")
_ENDING = ".yml"
_KEYS = (
    "description",
    "base",
    "include",
    "exclude",
    "sqlite",
    "validators",
    "required",
    "secret_files",
    "secret_keys",
    "groups",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Built-in rules for one application; patterns are gitignore's, key paths are joined by dots, ``*`` is any key.

    *base* is the list of ``selection`` that *exclude* adds to. *guards* are the
    files without which the configuration is missing, each with its other names.
    *sqlite* says whether files that begin as SQLite databases are tracked.
    *validators* have, by validator, the patterns of what it checks besides what
    suffixes say; what is named under ``none`` nothing checks. *required* are
    the keys that a YAML file has at its top. *secret_files* and *secret_keys*
    are masked besides what looks secret by itself. The paths of one of *groups*
    are restored together or not at all. *signs* say how it is recognised.
    """

    name: str
    description: str
    base: str = "generic"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    guards: tuple[tuple[str, ...], ...] = ()
    sqlite: bool = False
    validators: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    required: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    secret_files: tuple[str, ...] = ()
    secret_keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    groups: tuple[tuple[str, ...], ...] = ()
    signs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse patterns that cannot be meant."""
        self.selection()
        for pattern in (*self.required, *self.secret_files, *self.secret_keys):
            _only(pattern)
        for patterns in (*self.validators.values(), *self.groups):
            Selection(patterns, (), "none")

    @property
    def excluded(self) -> tuple[str, ...]:
        """Return every pattern that is excluded, those of *base* first."""
        return (*PROFILES[self.base], *self.exclude)

    def selection(self, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Selection:
        """Return what is tracked; *include* replaces the profile's, *exclude* comes after it and can take back."""
        return Selection(include or self.include, (*self.exclude, *exclude), self.base, self.sqlite)

    def guards_in(self, root: str | bytes | os.PathLike[str]) -> tuple[str, ...]:
        """Return the guards as they are called in the directory *root*, for ``is_missing``."""
        return signs.called_in(root, self.guards)

    def required_in(self, path: bytes) -> tuple[str, ...]:
        """Return the keys that the file at *path* must have at its top."""
        return _of_path(self.required, path)

    def secrets_in(self, path: bytes) -> tuple[str, ...]:
        """Return the key paths whose values in the file at *path* are secret; ``**`` if all of it is."""
        if any(_only(pattern).tracks(path, False) for pattern in self.secret_files):
            return ("**",)
        return _of_path(self.secret_keys, path)

    def group(self, path: bytes) -> tuple[str, ...]:
        """Return the patterns of what is restored with the file at *path*; nothing if it stands alone."""
        return next((group for group in self.groups if any(_only(each).tracks(path, False) for each in group)), ())

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form that ``profile show --json`` prints."""
        return {
            "name": self.name,
            "description": self.description,
            "recognised_by": list(self.signs),
            "include": list(self.include),
            "exclude": list(self.excluded),
            "guards": [list(names) for names in self.guards],
            "sqlite": self.sqlite,
            "validators": {name: list(patterns) for name, patterns in self.validators.items()},
            "required": {pattern: list(keys) for pattern, keys in self.required.items()},
            "secret_files": list(self.secret_files),
            "secret_keys": {pattern: list(keys) for pattern, keys in self.secret_keys.items()},
            "groups": [list(group) for group in self.groups],
        }


@dataclass(frozen=True, slots=True)
class Recognised:
    """The profile of a directory, and *why* it is this one."""

    profile: Profile
    why: str


def names() -> tuple[str, ...]:
    """Return the names of all profiles: those of applications, ``generic`` and ``none``."""
    return (*_ORDER, "generic", "none")


@cache
def load(name: str) -> Profile:
    """Return the profile called *name*; ``UsageError`` with the nearest name if there is none."""
    if name not in names():
        raise UsageError(unknown("profile", name, (*names(), AUTO)))
    import pkgutil  # noqa: PLC0415 - only for who reads a profile

    from confstream.profiles import subset  # noqa: PLC0415 - likewise

    text = pkgutil.get_data("confstream.profiles", f"{name}{_ENDING}") or b""
    # P6: what is protected may not depend on a module; and that of YAML takes ten times as long.
    return parse(text.decode(), name, subset.read)


def secrets_in(path: bytes) -> tuple[str, ...]:
    """Return the key paths that any application keeps secret in a file at *path*, whichever application it is."""
    return tuple(dict.fromkeys(key for name in _ORDER for key in load(name).secrets_in(path)))


def recognise(root: str | bytes | os.PathLike[str]) -> Recognised:
    """Return the profile that fits the directory *root*, for ``--profile auto``; ``generic`` when in doubt."""
    found = signs.guess(root)
    return Recognised(load(found.name), found.why)


def parse(text: str, name: str, reader: Callable[[str, str], Node] = read) -> Profile:
    """Return the profile *name* that *text* describes; ``UsageError`` says where it breaks a rule."""
    document = reader(text, f"{name}{_ENDING}")
    found = document.mapping(_KEYS, required=("description",))
    base = found["base"].text() if "base" in found else "generic"
    if base not in PROFILES:
        found["base"].fail(unknown("list", base, PROFILES))
    if "validators" in found:
        found["validators"].mapping(VALIDATORS)
    try:
        return Profile(
            name=name,
            description=found["description"].text(),
            base=base,
            include=_texts(found.get("include")),
            exclude=_texts(found.get("exclude")),
            guards=signs.GUARDS.get(name, ()),
            sqlite=found["sqlite"].boolean() if "sqlite" in found else False,
            validators=_lists(found.get("validators")),
            required=_lists(found.get("required")),
            secret_files=_texts(found.get("secret_files")),
            secret_keys=_lists(found.get("secret_keys")),
            groups=tuple(_texts(node) for node in found["groups"].sequence()) if "groups" in found else (),
            signs=signs.signs(name),
        )
    except UsageError as error:
        raise UsageError(f"{name}{_ENDING}: {error}") from error


def _texts(node: Node | None) -> tuple[str, ...]:
    return () if node is None else tuple(each.text() for each in node.sequence())


def _lists(node: Node | None) -> Mapping[str, tuple[str, ...]]:
    below = {} if node is None else node.mapping()
    return MappingProxyType({pattern: _texts(each) for pattern, each in below.items()})


@lru_cache(maxsize=256)
def _only(pattern: str) -> Selection:
    """Return what asks whether *pattern* names a path."""
    return Selection((pattern,), (), "none")


def _of_path(rules: Mapping[str, tuple[str, ...]], path: bytes) -> tuple[str, ...]:
    return tuple(key for pattern, keys in rules.items() if _only(pattern).tracks(path, False) for key in keys)
