"""JSON Schema on what people write: tags, aliases and includes are never held against a file."""

import importlib.util
import sys

import pytest

from confstream.validate import Finding, NotCheckedError, Samples, SchemaValidator, prove

SAMPLES = Samples(b"a.yml", b"port: 1\n", b"port: x\n")
SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": {"type": "integer"}, "hosts": {"items": {"type": "string"}}, "on": {"type": "boolean"}},
}

needs_jsonschema = pytest.mark.skipif(
    importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed"
)


def validator(schema: dict[str, object] = SCHEMA) -> SchemaValidator:
    return SchemaValidator("schema", schema, SAMPLES)


@needs_jsonschema
def test_a_file_that_breaks_the_schema_is_invalid_with_place_and_rule_but_without_its_value() -> None:
    assert prove(validator()).ok
    assert validator().check(b"a.yml", b"on: yes\nhosts:\n  - a\n  - 2\nport: hunter2\n") == [
        Finding(5, 7, "does not satisfy properties/port/type of the schema"),
        Finding(4, 5, "does not satisfy properties/hosts/items/type of the schema"),
    ]
    assert validator().check(b"a.json", b'{"port": "x"}') == [
        Finding(0, 0, "does not satisfy properties/port/type of the schema")
    ]


@needs_jsonschema
@pytest.mark.parametrize(
    "content",
    [
        b"port: !secret port\n",
        b"<<: *base\n",
        b"!include all.yml\n",
        b"port: 0x10\n---\nport: 1_000\n",
        b"port: 1\nhosts: [!secret a, *b]\n",
        b"port: 1\nhosts: ['1', !!str 2]\n",
        b"port: 1\n? [a]\n: 2\n",
        b"",
    ],
)
def test_what_the_application_alone_knows_breaks_no_schema(content: bytes) -> None:
    assert validator().check(b"a.yml", content) == []


@needs_jsonschema
def test_a_schema_elsewhere_is_never_fetched() -> None:
    elsewhere = validator({"$ref": "http://127.0.0.1:9/schema.json"})

    assert not prove(elsewhere).ok
    with pytest.raises(Exception, match=r"Unresolvable|unresolvable"):
        elsewhere.check(b"a.yml", b"a: 1\n")


@needs_jsonschema
def test_a_schema_that_is_none_breaks_the_validator_and_no_file() -> None:
    assert prove(validator({"type": 7})).why == "the schema is none: type"


def test_p6_without_the_package_nothing_is_invalid_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(NotCheckedError, match=r"confstream\[schema\]"):
        validator().check(b"a.yml", b"port: x\n")
