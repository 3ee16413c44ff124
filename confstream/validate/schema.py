"""JSON Schema for YAML and JSON files; needs the extra ``confstream[schema]``.

YAML is read from its events: what a tag, an alias or a merge key stands for is
known to the application alone, and a mapping that holds one lacks nothing.
References to other schemas are never fetched.
"""

import importlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from confstream.guards import is_blank
from confstream.validate.finding import FINDINGS_MAX, Finding, NotCheckedError, Samples
from confstream.validate.text import decode
from confstream.validate.yaml import events

_MISSING = "needs the package jsonschema; install confstream[schema]"
_VALUES = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null"))
_MERGE = "<<"


class _Unknown:
    """What only the application knows: the value behind a tag or an alias."""


_UNKNOWN = _Unknown()


class SchemaValidator:
    """A file whose every document satisfies *schema*; *samples* show that the schema can tell good from bad."""

    def __init__(self, name: str, schema: Mapping[str, object], samples: Samples) -> None:
        self.name = name
        self.samples = samples
        self._schema = schema

    @cached_property
    def _validator(self) -> Any:  # noqa: ANN401 - the package is optional, so are its types
        try:
            jsonschema = importlib.import_module("jsonschema")
            registry = importlib.import_module("referencing").Registry()
        except ImportError as error:
            raise NotCheckedError(_MISSING) from error
        kind = jsonschema.validators.validator_for(self._schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(self._schema)
        except jsonschema.SchemaError as error:
            raise NotCheckedError(
                f"the schema is none: {'/'.join(map(str, error.absolute_path)) or 'its root'}"
            ) from error
        # A registry of its own fetches nothing.
        return kind(self._schema, registry=registry)

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return where *content* does not satisfy the schema, named by the schema's own keywords."""
        validator = self._validator
        text = decode(content)
        if isinstance(text, Finding):
            raise NotCheckedError(text.message)
        found: list[Finding] = []
        for document, places in [] if is_blank(content) else _documents(path, text):
            for error in validator.iter_errors(document):
                route = tuple(error.absolute_path)
                if _knows_all(error.instance):
                    # The message of the package quotes the value; the rule that is broken does not (P12).
                    rule = "/".join(map(str, error.absolute_schema_path))
                    found.append(Finding(*places.get(route, (0, 0)), f"does not satisfy {rule} of the schema"))
                if len(found) > FINDINGS_MAX:
                    return found
        return found


_Places = dict[tuple[str | int, ...], tuple[int, int]]


def _documents(path: bytes, text: str) -> Iterator[tuple[Any, _Places]]:
    if path.lower().endswith(b".json"):
        try:
            yield json.loads(text), {}
        except (ValueError, RecursionError) as error:
            raise NotCheckedError("is not JSON that can be read") from error
        return
    stream = events(text)
    for event in stream:
        if isinstance(event, Finding):
            raise NotCheckedError(event.message)
        if not type(event).__name__.startswith(("Stream", "Document")):
            places: _Places = {}
            yield _value(event, stream, (), places), places


def _value(event: Any, stream: Iterator[Any], route: tuple[str | int, ...], places: _Places) -> Any:  # noqa: ANN401
    if isinstance(event, Finding):
        raise NotCheckedError(event.message)
    name = type(event).__name__
    places[route] = (event.start_mark.line + 1, event.start_mark.column + 1)
    foreign = name == "AliasEvent" or (event.tag is not None and not event.tag.startswith("tag:yaml.org,2002:"))
    value: Any = None
    if name == "SequenceStartEvent":
        value = []
        while type(part := next(stream)).__name__ != "SequenceEndEvent":
            value.append(_value(part, stream, (*route, len(value)), places))
    elif name == "MappingStartEvent":
        value = {}
        while type(part := next(stream)).__name__ != "MappingEndEvent":
            key = _MERGE
            if type(part).__name__ == "ScalarEvent":
                key = part.value
            else:
                # A key that is no scalar is no JSON: whatever it is, the application knows.
                _value(part, stream, (), {})
            value[key] = _value(next(stream), stream, (*route, key), places)
    elif name == "ScalarEvent":
        value = _scalar(event)
    return _UNKNOWN if foreign else value


def _scalar(event: Any) -> Any:  # noqa: ANN401 - PyYAML's events have no common type
    import yaml  # noqa: PLC0415 - it is loaded already: the event comes from it

    text: str = event.value
    tag = event.tag
    if tag is None and event.implicit[0]:
        resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
        tag = next((tag for tag, pattern in resolvers if pattern.match(text)), None)
    if tag not in _VALUES or not event.implicit[0]:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def _knows_all(instance: Any) -> bool:  # noqa: ANN401 - any JSON value
    waiting = [instance]
    while waiting:
        value = waiting.pop()
        if value is _UNKNOWN or (isinstance(value, dict) and _MERGE in value):
            return False
        waiting.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    return True
