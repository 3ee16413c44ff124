"""YAML by its events, so that whatever any application may read is valid.

Nothing is constructed: unknown tags, anchors used twice, aliases of another
file's anchor, duplicate keys and several documents are all fine. Time is linear:
libyaml's is quadratic in the depth of brackets, so what nests deeper is not checked.
"""

import re
from collections.abc import Iterator
from typing import Any

from confstream.guards import is_blank
from confstream.validate.finding import Finding, NotCheckedError, Samples
from confstream.validate.outline import Outlines, outline
from confstream.validate.text import decode, place, without_content

NESTING_MAX = 200
EVENTS_MAX = 500_000
SIZE_WITHOUT_LIBYAML_MAX = 1 << 19
"""PyYAML without libyaml is thirty times slower: larger files would hold up everything else."""

_ENTERING = frozenset(["SequenceStartEvent", "MappingStartEvent"])
_LEAVING = frozenset(["SequenceEndEvent", "MappingEndEvent"])
_ELSEWHERE = "<<"
_DEEP = re.compile(f"^[ ?:-]{{{NESTING_MAX}}}", re.MULTILINE)
# Brackets, and what may hide one: a quote, a comment, a tag.
_MARKS = b"[]{}'\"#!\n"
_OTHERS = bytes(sorted({*range(256)} - {*_MARKS}))
_INNERMOST = (b"[]", b"{}") * 4
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class YamlSyntax:
    """YAML that parses, with every document of the file, whatever it means."""

    name = "yaml"
    samples = Samples(
        b"sample.yml",
        b"host: !secret host\ncameras: &c {a: [1, *other]}\n---\n<<: !include x.yml\nb: &c 1\nb: *c\n",
        b"mqtt:\n  host: a\n port: 1\n",
    )

    def __init__(self) -> None:
        self._outlines = Outlines()

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return where *content* stops being YAML."""
        del path
        text = decode(content)
        if isinstance(text, Finding):
            return [text]
        if is_blank(content) or _is_read_through(text, self._outlines):
            return []
        for event in events(text):
            if isinstance(event, Finding):
                return [event]
        return []


class RequiredKeys:
    """Each of *keys* is in a document of the file; a dot leads into a mapping (``mqtt.host``).

    For YAML and JSON. A mapping that merges or includes others may get a key
    from there, and lacks none.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys or any(not part for key in keys for part in key.split(".")):
            raise ValueError(f"the required keys {', '.join(keys) or '()'} cannot be meant; name some, parts by dots")
        self._keys = keys

    @property
    def name(self) -> str:
        """Return what it is called: by its keys."""
        return f"keys-{'+'.join(self._keys)}"

    @property
    def samples(self) -> Samples:
        """Return a document with the keys, and one without them."""
        documents = []
        for key in self._keys:
            *above, last = key.split(".")
            lines = [f"{'  ' * depth}? '{part}'\n{'  ' * depth}:" for depth, part in enumerate(above)]
            documents.append("\n".join(["---", *lines, f"{'  ' * len(above)}'{last}': 1"]))
        return Samples(b"sample.yml", "\n".join(documents).encode(), b"---\nno such key: 1\n")

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return which keys *content* lacks; what does not parse is for ``YamlSyntax`` to say."""
        del path
        text = decode(content)
        if isinstance(text, Finding):
            raise NotCheckedError(text.message)
        if is_blank(content):
            # That a file became blank is suspicious by itself, and said there.
            return []
        found = set(_keys(text))
        return [Finding(0, 0, f"the required key {key} is missing") for key in self._keys if not _has(found, key)]


def events(text: str) -> Iterator[Any]:
    """Yield PyYAML's events of *text*, and at the end a ``Finding`` if it stops being YAML.

    Raise ``NotCheckedError`` where going on would take more than linear time.
    """
    import yaml  # noqa: PLC0415 - one that is missing breaks these validators only

    loader = getattr(yaml, "CSafeLoader", None)
    if loader is None and len(text) > SIZE_WITHOUT_LIBYAML_MAX:
        raise NotCheckedError(f"is larger than {SIZE_WITHOUT_LIBYAML_MAX} bytes, and PyYAML has no libyaml here")
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, loader or yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > NESTING_MAX or count >= EVENTS_MAX:
                raise NotCheckedError("is nested too deeply" if depth > NESTING_MAX else "has too many nodes")
            yield event
    except yaml.reader.ReaderError:
        match = _FORBIDDEN.search(text)
        line, column = place(text, match.start()) if match else (0, 0)
        yield Finding(line, column, "control characters are not allowed")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        # Without libyaml messages quote: a tag, an alias, a letter.
        yield Finding(line, column, without_content(error.problem or "cannot be parsed"))


def _is_read_through(text: str, known: Outlines) -> bool:
    """Return whether libyaml reads the plain *text* to its end, or did so with one of a *known* outline.

    False decides nothing. Nearly every file is plain, and every write of one
    waits for this: without an object for each event it takes a seventh of the
    time, and a seventh of that where only words changed.
    """
    import yaml  # noqa: PLC0415 - as above

    # What could nest too deeply or have too many nodes is for ``events`` to count.
    if 3 * len(text) > EVENTS_MAX:
        return False
    digest = outline(text)
    if digest is not None and known.knows(digest):
        return True
    if _is_deep(text) or _may_open_deeply(text):
        return False
    try:
        yaml.CSafeLoader(text).raw_parse()
    except (AttributeError, yaml.YAMLError):
        return False
    if digest is not None:
        known.add(digest)
    return True


def _may_open_deeply(text: str) -> bool:
    """Return whether more brackets than are checked may be open at the same time."""
    marks = text.encode("utf-8", "surrogatepass").translate(None, _OTHERS)
    for level, pair in enumerate(_INNERMOST):
        if marks.count(b"[") + marks.count(b"{") <= NESTING_MAX - level:
            return False
        # Of those that close at once, however many there are, one is open at a time.
        marks = marks.replace(pair, b"")
    return True


def _is_deep(text: str) -> bool:
    # Lines are short nearly always, and to find that out takes a tenth of the time of the search.
    return len(max(text.split("\n"), key=len)) >= NESTING_MAX and _DEEP.search(text) is not None


def _keys(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key of mappings in mappings; one that ends in ``<<`` leads to keys from elsewhere."""
    stream = events(text)
    for event in stream:
        if not type(event).__name__.startswith(("Stream", "Document")):
            yield from _keys_of(event, stream, ())


def _keys_of(event: Any, stream: Iterator[Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:  # noqa: ANN401
    """Yield the keys of the node that begins with *event*, and take it from *stream*."""
    if isinstance(event, Finding):
        raise NotCheckedError(event.message)
    name = type(event).__name__
    if name == "AliasEvent" or (event.tag is not None and not event.tag.startswith("tag:yaml.org,2002:")):
        yield (*path, _ELSEWHERE)
    if name != "MappingStartEvent":
        _skip(event, stream)
        return
    for key in stream:
        if type(key).__name__ == "MappingEndEvent":
            return
        if type(key).__name__ != "ScalarEvent":
            _skip(key, stream)
            _skip(next(stream), stream)
            continue
        yield (*path, key.value)
        yield from _keys_of(next(stream), stream, (*path, key.value))


def _skip(event: Any, stream: Iterator[Any]) -> None:  # noqa: ANN401 - PyYAML's events have no common type
    depth = 0
    while True:
        if isinstance(event, Finding):
            raise NotCheckedError(event.message)
        name = type(event).__name__
        depth += (name in _ENTERING) - (name in _LEAVING)
        if not depth:
            return
        event = next(stream)


def _has(found: set[tuple[str, ...]], key: str) -> bool:
    parts = tuple(key.split("."))
    elsewhere = ((*parts[:length], _ELSEWHERE) in found for length in range(len(parts)))
    return (key,) in found or parts in found or any(elsewhere)
