"""Structured text as values that can be compared: tables, rows and leaves.

Nothing is interpreted: an unknown tag belongs to its value, an alias or a merge
key is a value like any other, a key that stands there twice is two keys. Every
node knows its own hash, so that what is equal is passed over at once.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confstream.validate.finding import Finding
from confstream.validate.text import decode
from confstream.validate.yaml import events

DEPTH_MAX = 100
"""What nests deeper is not looked into, only said to have changed."""

_YAML_SIZE_MAX = 256 << 10
_YAML_SIZE_WITHOUT_LIBYAML_MAX = 32 << 10
_SIZE_MAX = 2 << 20
_CORE_TAG = "tag:yaml.org,2002:"


class UnreadableError(Exception):
    """A content that is no document of its format, or too much of one."""


class Leaf:
    """A value without parts: its *text*, and whether it is a string that would be something else without quotes.

    Its *note* is an anchor: a name for it. Its *tag* is part of what it means.
    """

    __slots__ = ("count", "mark", "note", "string", "tag", "text")

    def __init__(self, text: str, *, string: bool = False, tag: str = "", note: str = "") -> None:
        self.text = text
        self.string = string
        self.tag = tag
        self.note = note
        self.count = 1
        self.mark = hash((text, string, tag, note))


class Table:
    """Values by key, in any order. Its *note* is its anchor and its tag."""

    __slots__ = ("count", "entries", "mark", "note")

    count: int
    mark: int

    def __init__(self, pairs: Iterable[tuple[str, "Node"]], note: str = "") -> None:
        self.entries: dict[str, Node] = {}
        repeated: dict[str, int] = {}
        for key, node in pairs:
            unique = key
            while unique in self.entries:
                # The second one of a name is "name (2)", whatever else is called that.
                repeated[key] = repeated.get(key, 1) + 1
                unique = f"{key} ({repeated[key]})"
            self.entries[unique] = node
        self.note = note
        self.count = sum(node.count for node in self.entries.values())
        self.mark = hash((note, frozenset((key, node.mark) for key, node in self.entries.items())))


class Row:
    """Values in order, or the *documents* of a file. Its *note* is its anchor and its tag."""

    __slots__ = ("count", "documents", "elements", "mark", "note")

    count: int
    mark: int

    def __init__(self, elements: list["Node"], note: str = "", *, documents: bool = False) -> None:
        self.elements = elements
        self.documents = documents
        self.note = note
        self.count = sum(node.count for node in elements)
        self.mark = hash((note, *(node.mark for node in elements)))


Node = Leaf | Table | Row


def read(path: bytes, content: bytes) -> Node:
    """Return the document that the file at *path* holds; a file of several is a row of them.

    Raise ``UnreadableError`` if its name and its beginning say nothing of a known format,
    or if it is none. Any other exception means the same.
    """
    if len(content) > _SIZE_MAX:
        raise UnreadableError
    reader = _reader(path, content)
    if reader is _xml:
        return _xml(content)
    text = decode(content)
    if isinstance(text, Finding):
        raise UnreadableError
    return reader(text) if text.strip() else Table(())


def has_comments(path: bytes) -> bool:
    """Return whether ``#`` begins a comment in the file at *path*."""
    return path.lower().endswith((b".yaml", b".yml", b".toml", b".ini", b".cfg", b".conf", b".properties"))


def _reader(path: bytes, content: bytes) -> Callable[[Any], Node]:
    name = path.rpartition(b"/")[2].lower()
    suffix = name.rpartition(b".")[2] if b"." in name else b""
    found = _READERS.get(suffix)
    if found is not None:
        return found
    # Home Assistant's storage has no suffixes, and databases of JSON lines have any.
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return _json
    raise UnreadableError


def _yaml(text: str) -> Node:
    import yaml  # noqa: PLC0415 - one that is missing costs only the words

    limit = _YAML_SIZE_MAX if hasattr(yaml, "CSafeLoader") else _YAML_SIZE_WITHOUT_LIBYAML_MAX
    if len(text) > limit:
        raise UnreadableError
    stream = events(text)
    builder = _Builder(stream, yaml.SafeLoader.yaml_implicit_resolvers)
    documents = [
        builder.build(event, 0)
        for event in stream
        if isinstance(event, Finding) or not type(event).__name__.startswith(("Stream", "Document"))
    ]
    return documents[0] if len(documents) == 1 else Row(documents, documents=True)


class _Builder:
    """Makes nodes of PyYAML's events."""

    def __init__(self, stream: Iterator[Any], resolvers: dict[str, list[tuple[str, re.Pattern[str]]]]) -> None:
        self._stream = stream
        self._resolvers = resolvers

    def build(self, event: Any, depth: int) -> Node:  # noqa: ANN401 - PyYAML's events have no common type
        """Return the node that begins with *event*, and take the rest of it from the stream."""
        if isinstance(event, Finding) or depth > DEPTH_MAX:
            raise UnreadableError
        kind = type(event).__name__
        if kind == "AliasEvent":
            return Leaf(f"*{event.anchor}")
        tag = "" if event.tag is None or event.tag.startswith(_CORE_TAG) else event.tag
        anchor = f"&{event.anchor}" if event.anchor else ""
        if kind == "ScalarEvent":
            string = not event.implicit[0] and event.tag is None and self._means_other(event.value)
            return Leaf(event.value, string=string, tag=tag, note=anchor)
        note = f"{anchor} {tag}".strip()
        parts = self._parts(depth)
        if kind == "SequenceStartEvent":
            return Row(list(parts), note)
        return Table([(key.text if isinstance(key, Leaf) else "?", next(parts)) for key in parts], note)

    def _parts(self, depth: int) -> Iterator[Node]:
        while not type(event := next(self._stream)).__name__.endswith("EndEvent"):
            yield self.build(event, depth + 1)

    def _means_other(self, text: str) -> bool:
        """Return whether *text* without quotes would be no string."""
        return not text or any(pattern.match(text) for _, pattern in self._resolvers.get(text[0], ()))


class _Object(list[tuple[str, Any]]):
    """What JSON calls an object: pairs, for a key may stand there twice."""


def _json(text: str) -> Node:
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_Literal, parse_float=_Literal)
    try:
        return _node(decoder.decode(text), 0)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
    lines = [line for line in text.split("\n") if line.strip()]
    return Row([_node(decoder.decode(line), 0) for line in lines], documents=True)


def _toml(text: str) -> Node:
    import tomllib  # noqa: PLC0415 - only for TOML

    if len(text) > _YAML_SIZE_MAX or max(line.count(".") for line in text.split("\n")) > DEPTH_MAX:
        raise UnreadableError
    return _node(tomllib.loads(text, parse_float=_Literal), 0)


class _Literal(str):
    """A number as it is written."""

    __slots__ = ()


def _node(value: Any, depth: int) -> Node:  # noqa: ANN401 - what a parser made
    if depth > DEPTH_MAX:
        raise UnreadableError
    if isinstance(value, _Object):
        return Table((key, _node(part, depth + 1)) for key, part in value)
    if isinstance(value, dict):
        return Table((key, _node(part, depth + 1)) for key, part in value.items())
    if isinstance(value, list):
        return Row([_node(part, depth + 1) for part in value])
    if value is None or isinstance(value, bool):
        return Leaf({None: "null", True: "true", False: "false"}[value])
    if isinstance(value, str) and not isinstance(value, _Literal):
        return Leaf(value, string=not value or value in {"null", "true", "false"} or value[0] in "-.0123456789")
    return Leaf(str(value))


def _ini(text: str) -> Node:
    sections: dict[str, list[tuple[str, Node]]] = {"": []}
    current, key, value = sections[""], "", ""
    for line in [*text.split("\n"), "[]"]:
        stripped = line.strip()
        if key and line[:1] in {" ", "\t"} and stripped:
            value += "\n" + stripped
            continue
        if key:
            current.append((key, Leaf(value)))
            key = ""
        if stripped.startswith("[") and stripped.endswith("]"):
            current = sections.setdefault(stripped[1:-1], [])
        elif stripped and stripped[0] not in "#;":
            end = min((at for at in map(stripped.find, "=:") if at > 0), default=-1)
            if end < 0:
                # A key alone is one in some dialects; in others the file is no INI at all, and may hold anything.
                raise UnreadableError
            key, value = stripped[:end].strip(), stripped[end + 1 :].strip()
    own = sections.pop("")
    return Table([*own, *((name, Table(pairs)) for name, pairs in sections.items())])


def _xml(content: bytes) -> Node:
    from xml.parsers import expat  # noqa: PLC0415 - only for XML, and no entity is ever declared

    parser = expat.ParserCreate()
    open_parts: list[tuple[str, list[tuple[str, Node]], list[str]]] = [("", [], [])]

    def refuse(*_: object) -> None:
        raise UnreadableError

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(open_parts) > DEPTH_MAX:
            raise UnreadableError
        open_parts.append((name, [(key, Leaf(value)) for key, value in attributes.items()], []))

    def end(_: str) -> None:
        name, pairs, texts = open_parts.pop()
        text = "".join(texts).strip()
        node: Node = Leaf(text)
        if pairs:
            node = Table(_grouped([*pairs, ("text", Leaf(text))] if text else pairs))
        open_parts[-1][1].append((name, node))

    def say(text: str) -> None:
        open_parts[-1][2].append(text)

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, say
    parser.Parse(content, True)
    return Table(open_parts[0][1])


def _grouped(pairs: list[tuple[str, Node]]) -> Iterator[tuple[str, Node]]:
    """Yield *pairs*, those of one name as one row."""
    by_name: dict[str, list[Node]] = {}
    for name, node in pairs:
        by_name.setdefault(name, []).append(node)
    for name, nodes in by_name.items():
        yield name, nodes[0] if len(nodes) == 1 else Row(nodes)


_READERS: dict[bytes, Callable[[Any], Node]] = {
    b"yaml": _yaml,
    b"yml": _yaml,
    b"json": _json,
    b"jsonl": _json,
    b"ndjson": _json,
    b"toml": _toml,
    b"ini": _ini,
    b"cfg": _ini,
    b"properties": _ini,
    b"xml": _xml,
}
