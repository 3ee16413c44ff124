"""The kinds of values that ``confstream.yml`` has: how each is read, shown, and described to an editor.

Pure. Variables are put in after YAML was read, so a value can hold any text
and begin no key; what came from a variable is in no error (P12).
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from confstream.errors import UsageError
from confstream.masking import mask_line
from confstream.moments import parse_duration
from confstream.profiles import names
from confstream.secrecy import MASK, is_secret_key
from confstream.selection import Selection
from confstream.settings_document import Node, every, unknown
from confstream.sizes import parse_size, show_size

AUTO = "auto"
LOG_FORMATS = ("text", "json")
S3_CLIENTS = ("auto", "lean", "s3fs")
DURATION_SECONDS_MAX = 366 * 86400.0

_REFERENCE = re.compile(r"(\$\$|\$)\{([^{}]*)(\}?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER_INFO = re.compile(r"(://)[^/@]*:.*@", re.DOTALL)
_SECRET_ENDINGS = ("key", "keys", "sig", "sas")
_HAS_VARIABLE = r"(^|[^$])\$\{"
_DURATION = r"^ *(0|([0-9]{1,12}(\.[0-9]{1,9})? ?[A-Za-z]+ ?)+) *$|" + _HAS_VARIABLE

_SIZE = r"^ *[0-9]{1,12}(\.[0-9]{1,3})? ?[A-Za-z]* *$|" + _HAS_VARIABLE
_SIZE_BYTES_MIN = 1 << 20

_T = TypeVar("_T")


class Found(NamedTuple):
    """A value that was read, and the form in which it may be shown: as the file would have it."""

    value: Any
    shown: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: *schema* for editors, *read* from a node and the variables, *show* where no file was read."""

    schema: Mapping[str, Any]
    read: Callable[[Node, Mapping[str, str]], Found]
    show: Callable[[Any], Any]


class _Text(NamedTuple):
    """A text with its variables put in; *shown* is what may be shown of it."""

    text: str
    shown: str
    variables: tuple[str, ...]


def checked_text(check: Callable[[str], object], schema: Mapping[str, Any] | None = None) -> Kind:
    """Return the kind of one text that is not blank and that *check* does not refuse."""

    def read(node: Node, environ: Mapping[str, str]) -> Found:
        found = _text(node, environ)
        _convert(node, found, check)
        return Found(found.text, found.shown)

    return Kind({"type": "string", "minLength": 1, **(schema or {})}, read, show_text)


def checked_texts(check: Callable[[str], object]) -> Kind:
    """Return the kind of several texts, of which *check* refuses none; one alone needs no list."""

    def read(node: Node, environ: Mapping[str, str]) -> Found:
        def read_one(_number: int, each: Node) -> _Text:
            text = _text(each, environ)
            _convert(each, text, check)
            return text

        found = every(dict(enumerate(node.sequence())), read_one).values()
        return Found(tuple(text.text for text in found), [text.shown for text in found])

    text = {"type": "string", "minLength": 1}
    return Kind({"oneOf": [text, {"type": "array", "items": text}]}, read, lambda value: [*map(show_text, value)])


def duration(least_seconds: float) -> Kind:
    """Return the kind of a length of time, of *least_seconds* or more, as in ``90s``."""

    def check(text: str) -> float:
        found = parse_duration(text)
        if not least_seconds <= found <= DURATION_SECONDS_MAX:
            raise UsageError(f"{text} is out of bounds; expected {least_seconds:g} s to 366 days")
        return found

    def read(node: Node, environ: Mapping[str, str]) -> Found:
        text = _text(node, environ)
        found = _convert(node, text, check)
        return Found(found, show_duration(found))

    return Kind({"oneOf": [{"type": "string", "pattern": _DURATION}, {"const": 0}]}, read, show_duration)


def _read_size(node: Node, environ: Mapping[str, str]) -> Found:
    found = _convert(node, _text(node, environ), _size)
    return Found(found, show_size(found))


def _size(text: str) -> int:
    found = parse_size(text)
    if found < _SIZE_BYTES_MIN:
        raise UsageError(f"{text} is too little; expected at least 1MiB")
    return found


def _read_secret(node: Node, environ: Mapping[str, str]) -> Found:
    found = _text(node, environ)
    # The variable's name says more than a mask, and gives nothing away.
    only_variable = found.variables and isinstance(node.value, str) and _REFERENCE.fullmatch(node.value)
    return Found(found.text, node.value if only_variable else MASK)


def _read_boolean(node: Node, environ: Mapping[str, str]) -> Found:
    text = _text(node, environ)
    if text.text not in {"true", "false"}:
        node.fail("expected true or false")
    return Found(text.text == "true", text.text == "true")


def _read_options(node: Node, environ: Mapping[str, str]) -> Found:
    found = every(node.mapping(), lambda key, each: _read_any(each, environ, key))
    return Found(
        MappingProxyType({key: each.value for key, each in found.items()}),
        {key: each.shown for key, each in found.items()},
    )


def _read_any(node: Node, environ: Mapping[str, str], key: str) -> Found:
    if isinstance(node.value, dict):
        below = {name: _read_any(each, environ, name) for name, each in node.value.items()}
        shown = {name: each.shown for name, each in below.items()}
        return Found({name: each.value for name, each in below.items()}, MASK if _is_secret(key) else shown)
    if isinstance(node.value, list):
        listed = [_read_any(each, environ, key) for each in node.value]
        return Found([each.value for each in listed], MASK if _is_secret(key) else [each.shown for each in listed])
    value = node.scalar()
    if not isinstance(value, str):
        return Found(value, MASK if _is_secret(key) and not isinstance(value, bool) else value)
    text = _expand(node, environ)
    if text.variables and _REFERENCE.fullmatch(node.value):
        # The variable's name says more than a mask, and gives nothing away.
        return Found(text.text, node.value)
    return Found(text.text, MASK if text.variables or _is_secret(key) else show_text(text.text))


def show_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* for a file system as they may be shown: masked under keys that look secret."""
    return {key: _show_option(key, value) for key, value in options.items()}


def _show_option(key: str, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can be.
    if isinstance(value, bool) or value is None:
        return value
    if _is_secret(key):
        return MASK
    if isinstance(value, Mapping):
        return show_options(value)
    if isinstance(value, list | tuple):
        return [_show_option(key, each) for each in value]
    return value if isinstance(value, int | float) else show_text(str(value))


def show_text(text: str) -> str:
    """Return *text* as a file would have it, what looks secret in it masked."""
    return _masked(text).replace("${", "$${")


def show_duration(seconds: float) -> str:
    """Return *seconds* as ``parse_duration`` reads them, to the nanosecond."""
    whole, fraction = divmod(round(seconds * 1_000_000_000), 1_000_000_000)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".") + "s"


def flow(shown: Any) -> str:  # noqa: ANN401 - whatever JSON can be.
    """Return *shown* as YAML on one line."""
    if isinstance(shown, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(value)}" for key, value in shown.items()) + "}"
    if isinstance(shown, Sequence) and not isinstance(shown, str):
        return "[" + ", ".join(map(flow, shown)) + "]"
    if not isinstance(shown, str):
        return json.dumps(shown)
    return '"' + "".join(map(_escaped, shown)) + '"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return "\\" + sign
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}"


def _text(node: Node, environ: Mapping[str, str]) -> _Text:
    node.text()
    found = _expand(node, environ)
    if not found.text.strip():
        node.fail("is blank" + (f": {_listed(found)} set to nothing" if found.variables else ""))
    if "\0" in found.text:
        node.fail("has a NUL in it")
    return found


def _expand(node: Node, environ: Mapping[str, str]) -> _Text:
    """Put in the variables; ``$${`` stands for ``${``."""
    written = node.value if isinstance(node.value, str) else ""
    variables: list[str] = []

    def put_in(match: re.Match[str]) -> str:
        dollars, name, end = match.groups()
        if dollars == "$$":
            return match[0][1:]
        if not end or not _VARIABLE.fullmatch(name):
            node.fail("expected ${NAME}, a variable's name and no more, after a $; write $${ for ${ itself")
        if name not in environ:
            near = difflib.get_close_matches(name, environ, 1)
            meant = f"; did you mean ${{{near[0]}}}?" if near else "; set it"
            node.fail(f"the variable {name} is not set{meant}, or write $${{ for ${{ itself")
        variables.append(name)
        return environ[name]

    text = _REFERENCE.sub(put_in, written)
    hidden = any(map(is_secret_key, variables))
    return _Text(text, _masked(written) if hidden else show_text(text), tuple(variables))


def _convert(node: Node, found: _Text, check: Callable[[str], _T]) -> _T:
    try:
        return check(found.text)
    except UsageError as error:
        if found.variables:
            # P12: the message would quote a value that was not meant to be seen.
            raise UsageError(f"{node.place}: {_listed(found)} set to what cannot stand here") from None
        raise UsageError(f"{node.place}: {error}") from error


def _listed(found: _Text) -> str:
    return " and ".join(dict.fromkeys(found.variables)) + (" is" if len(set(found.variables)) == 1 else " are")


def _masked(text: str) -> str:
    return _USER_INFO.sub(rf"\1{MASK}@", mask_line(text))


def _is_secret(key: str) -> bool:
    return is_secret_key(key) or key.lower().endswith(_SECRET_ENDINGS)


def _check_profile(name: str) -> None:
    if name not in names() and name != AUTO:
        raise UsageError(unknown("profile", name, (AUTO, *names())))


def _check_guard(path: str) -> None:
    if path.startswith("/") or ".." in path.split("/") or path.strip("./") == "":
        raise UsageError(f"the guard {path!r} is not the path of a file, relative to the tree")


def _check_log_format(name: str) -> None:
    if name not in LOG_FORMATS:
        raise UsageError(unknown("log format", name, LOG_FORMATS))


def _check_s3_client(name: str) -> None:
    if name not in S3_CLIENTS:
        raise UsageError(unknown("S3 client", name, S3_CLIENTS))


TEXT = checked_text(lambda _text: None)
SECRET = Kind({"type": "string", "minLength": 1}, _read_secret, lambda _text: MASK)
PROFILE = checked_text(_check_profile, {"anyOf": [{"enum": [AUTO, *names()]}, {"pattern": _HAS_VARIABLE}]})
LOG_FORMAT = checked_text(_check_log_format, {"anyOf": [{"enum": [*LOG_FORMATS]}, {"pattern": _HAS_VARIABLE}]})
S3_CLIENT = checked_text(_check_s3_client, {"anyOf": [{"enum": [*S3_CLIENTS]}, {"pattern": _HAS_VARIABLE}]})
PATTERNS = checked_texts(lambda pattern: Selection((), (pattern,), "none"))
PATHS = checked_texts(_check_guard)
SIZE = Kind({"oneOf": [{"type": "string", "pattern": _SIZE}, {"type": "integer"}]}, _read_size, show_size)
BOOLEAN = Kind({"oneOf": [{"type": "boolean"}, {"type": "string", "pattern": _HAS_VARIABLE}]}, _read_boolean, bool)
OPTIONS = Kind({"type": "object"}, _read_options, show_options)
