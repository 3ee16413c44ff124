"""The validators that ``confstream.yml`` names: built-in ones for more files, commands, and JSON Schemas.

Pure: values only. What they become is up to ``validate``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from confstream.errors import UsageError
from confstream.profiles.profile import VALIDATORS
from confstream.secrecy import MASK, is_secret_key
from confstream.settings_document import Node, every, together
from confstream.settings_kinds import BOOLEAN, PATTERNS, TEXT, Found, Kind, checked_texts, duration, show_text

_GLOB = frozenset("*?[!\\")


@dataclass(frozen=True, slots=True)
class Check:
    """A validator for the files that *patterns* name: a *command*, the file of a *schema*, or the built-in *name*.

    *good* and *bad* are what it proves itself on, as a file called *sample*.
    The command may take *timeout_seconds*, finds *environment*, and says by
    its exit code whether a file is valid: those in *accepts* mean yes. What it
    prints is shown only with *shows_output*, because it may quote the file.
    """

    name: str
    patterns: tuple[str, ...]
    command: tuple[str, ...] = ()
    schema: str = ""
    good: str = ""
    bad: str = ""
    sample: str = ""
    timeout_seconds: float = 10.0
    accepts: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    shows_output: bool = False

    @property
    def sample_path(self) -> bytes:
        """Return the name of the file that the samples stand for: programs may go by it."""
        plain = (pattern.strip("/") for pattern in self.patterns if not _GLOB.intersection(pattern))
        return (self.sample or next(plain, "sample")).encode("utf-8", "surrogateescape")


def _read_sample(node: Node, environ: Mapping[str, str]) -> Found:
    # Several lines, of which each may show a secret.
    found = TEXT.read(node, environ)
    return Found(found.value, "\n".join(map(show_text, str(found.value).split("\n"))))


def _read_codes(node: Node, environ: Mapping[str, str]) -> Found:
    found = checked_texts(_check_code).read(node, environ)
    return Found(tuple(map(int, found.value)), list(map(int, found.value)))


def _check_code(text: str) -> None:
    if not (text.isascii() and text.isdecimal() and int(text) <= 255):  # noqa: PLR2004 - what a process can say
        raise UsageError(f"{text!r} is no exit code; expected 0 to 255")


def _read_texts(node: Node, environ: Mapping[str, str]) -> Found:
    found = every(node.mapping(), lambda _, each: TEXT.read(each, environ))
    return Found(
        MappingProxyType({key: each.value for key, each in found.items()}),
        {key: MASK if is_secret_key(key) else each.shown for key, each in found.items()},
    )


def _read_keys(node: Node, environ: Mapping[str, str]) -> Found:
    def read(pattern: str, each: Node) -> Found:
        PATTERNS.read(Node(pattern, each.source, each.line, each.column, each.path), {})
        return _KEY_PATHS.read(each, environ)

    found = every(node.mapping(), read)
    return Found(
        MappingProxyType({key: each.value for key, each in found.items()}),
        {key: each.shown for key, each in found.items()},
    )


def _check_key(key: str) -> None:
    if any(not part for part in key.split(".")):
        raise UsageError(f"{key!r} is no key; join the parts of one by dots, as in mqtt.host")


def _read_checks(node: Node, environ: Mapping[str, str]) -> Found:
    found = every(node.mapping(), lambda name, each: _read_check(name, each, node, environ))
    return Found(tuple(each.value for each in found.values()), {name: each.shown for name, each in found.items()})


def _read_check(name: str, node: Node, above: Node, environ: Mapping[str, str]) -> Found:
    if name in VALIDATORS:
        patterns = PATTERNS.read(node, environ)
        return Found(Check(name, patterns.value), patterns.shown)
    if not isinstance(node.value, dict):
        above.keys[name].fail(
            f"there is no validator {name!r} built in, those are {', '.join(VALIDATORS)}; one of your own is a mapping"
            " with command or schema, patterns, good and bad"
        )
    given = {key: each for key, each in node.value.items() if key in _KEYS}
    found: dict[str, Found] = {}
    together(
        lambda: node.mapping(_KEYS, ("patterns", "good", "bad")),
        lambda: found.update(every(given, lambda key, each: _KEYS[key][1].read(each, environ))),
    )
    if ("command" in found) == ("schema" in found):
        node.fail("needs a command or the file of a schema, one of them")
    if "schema" in found:
        for key in _ONLY_COMMAND & given.keys():
            node.keys[key].fail("says something about a command, and this is a schema")
    values: dict[str, Any] = {_KEYS[key][0]: each.value for key, each in found.items()}
    return Found(Check(name, **values), {key: each.shown for key, each in found.items()})


_KEY_PATHS = checked_texts(_check_key)
_SAMPLE = Kind({"type": "string", "minLength": 1}, _read_sample, show_text)
_CODE = {"type": "integer", "minimum": 0, "maximum": 255}
_TEXTS = Kind({"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}, _read_texts, dict)
_KEYS: Mapping[str, tuple[str, Kind]] = {
    "command": ("command", checked_texts(lambda _text: None)),
    "schema": ("schema", TEXT),
    "patterns": ("patterns", PATTERNS),
    "good": ("good", _SAMPLE),
    "bad": ("bad", _SAMPLE),
    "sample": ("sample", TEXT),
    "timeout": ("timeout_seconds", duration(0.1)),
    "accepts": ("accepts", Kind({"oneOf": [_CODE, {"type": "array", "items": _CODE}]}, _read_codes, list)),
    "environment": ("environment", _TEXTS),
    "shows_output": ("shows_output", BOOLEAN),
}
_ONLY_COMMAND = {"timeout", "accepts", "environment", "shows_output"}
_OWN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["patterns", "good", "bad"],
    "oneOf": [{"required": ["command"]}, {"required": ["schema"]}],
    "properties": {name: kind.schema for name, (_, kind) in _KEYS.items()},
}

LABELS = _TEXTS
REQUIRED = Kind({"type": "object", "additionalProperties": _KEY_PATHS.schema}, _read_keys, dict)
CHECKS = Kind(
    {
        "type": "object",
        "properties": dict.fromkeys(VALIDATORS, PATTERNS.schema),
        "additionalProperties": _OWN,
    },
    _read_checks,
    lambda checks: {each.name: list(each.patterns) for each in checks},
)
