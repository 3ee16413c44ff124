"""``confstream.yml`` read: strict (P13), with ``${VARIABLE}`` from a mapping that the caller gives.

Pure. Reader and JSON Schema follow the declaration in ``settings_keys``. Errors
repeat no value that came from a variable or may be secret (P12).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from confstream.errors import UsageError
from confstream.settings_document import Node, every, read, together
from confstream.settings_keys import KEYS, OF_PROCESS, Key
from confstream.settings_kinds import Found
from confstream.stream import FILE, Settings, Stream

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


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
            lambda: _check_keys(document, ("streams", *_names(OF_PROCESS)), ("streams",), KEYS, _TO_A_STREAM),
            lambda: process.update(_values(document, OF_PROCESS, environ)),
            read_streams,
        )
    except UsageError as error:
        raise UsageError("\n".join(sorted(str(error).splitlines(), key=lambda line: _place(line, source)))) from error
    shown = MappingProxyType({name: each.shown for name, each in process.items()})
    values = {key.field: process[key.name].value for key in OF_PROCESS if key.name in process}
    return Settings(MappingProxyType(streams), source, **values, _shown=shown)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors; made of the same declaration that ``parse`` follows."""
    keys = {key.name: {"description": key.description, **key.kind.schema} for key in KEYS}
    required = [key.name for key in KEYS if key.required]
    stream = {"type": "object", "additionalProperties": False, "required": required, "properties": keys}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "confstream settings",
        "type": "object",
        "additionalProperties": False,
        "required": ["streams"],
        "properties": {
            **{key.name: {"description": key.description, **key.kind.schema} for key in OF_PROCESS},
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


def _place(line: str, source: str) -> list[int]:
    """Return line and column that a message begins with: who mends a file goes from its top to its end."""
    found = re.match(r":(\d+):(\d+): ", line.removeprefix(source))
    return [*map(int, found.groups())] if found else []


_TO_A_STREAM = "to a stream, below streams"
_TO_THE_PROCESS = "to the whole process, at the top of the file"


def _names(keys: Iterable[Key]) -> list[str]:
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
        lambda: _check_keys(node, _names(KEYS), _names(key for key in KEYS if key.required), OF_PROCESS),
        lambda: found.update(_values(node, KEYS, environ)),
    )
    shown = MappingProxyType({name: each.shown for name, each in found.items()})
    try:
        return Stream(name, **{key.field: found[key.name].value for key in KEYS if key.name in found}, _shown=shown)
    except UsageError as error:
        raise UsageError(f"{node.place}: {error}") from error


def _values(node: Node, keys: Iterable[Key], environ: Mapping[str, str]) -> dict[str, Found]:
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
    elsewhere: Iterable[Key],
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
