"""A YAML document as nodes that know where they stand: what strict readers are made of.

Pure. Keeps to the part of YAML that cannot surprise: one document, no aliases,
no tags, no key twice, bounded size and depth. No message repeats a value (P12):
a password that begins with ``*`` or ``!`` is found here first.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field
from typing import Any, NoReturn, TypeVar

from confstream.errors import UsageError
from confstream.secrecy import is_secret_key
from confstream.values import dataclass

SIZE_MAX = 1 << 20
DEPTH_MAX = 20

Key = TypeVar("Key")
Given = TypeVar("Given")
Made = TypeVar("Made")

_QUOTED = re.compile(r"(['\"]).{2,}\1", re.DOTALL)
_HARMLESS_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place: *line* and *column* count from 1, *path* is the keys above it, joined by dots.

    *value* is a text, a list of nodes, or a mapping to nodes; *keys* then has
    the place of each key. *plain* tells a text that had no quotes.
    """

    value: "str | list[Node] | dict[str, Node]"
    source: str
    line: int
    column: int
    path: str = ""
    plain: bool = False
    keys: "dict[str, Node]" = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return what it is, in words for a message."""
        if isinstance(self.value, str):
            return "a value" if self.value or not self.plain else "nothing"
        return "a list" if isinstance(self.value, list) else "a mapping"

    def fail(self, problem: str) -> NoReturn:
        """Raise ``UsageError`` that says where the node stands and what the *problem* is."""
        raise UsageError(f"{self.place}: {problem}")

    @property
    def place(self) -> str:
        """Return file, line, column and path."""
        at = f"{self.source}:{self.line}:{self.column}"
        return f"{at}: {self.path}" if self.path else at

    def mapping(self, allowed: Collection[str] = (), required: Collection[str] = ()) -> "dict[str, Node]":
        """Return what the mapping holds.

        Refuse any other kind, a key not in *allowed* (if that is given), and a *required* one missing.
        """
        if not isinstance(self.value, dict):
            self.fail(f"expected a mapping{_listed(allowed)}, found {self.kind}")
        unknowns = {key: node for key, node in self.keys.items() if allowed and key not in allowed}
        missing = dict.fromkeys(key for key in required if key not in self.value)
        together(
            lambda: every(unknowns, lambda key, node: node.fail(unknown("key", key, allowed))),
            lambda: every(missing, lambda key, _: self.fail(f"has no {key!r}, which it needs")),
        )
        return self.value

    def sequence(self) -> "list[Node]":
        """Return what the list holds; a single value counts as a list of one."""
        if isinstance(self.value, str):
            return [self]
        if not isinstance(self.value, list):
            self.fail(f"expected a list, found {self.kind}")
        return self.value

    def text(self) -> str:
        """Return the value as it is written; refuse lists, mappings and a value left out."""
        if not isinstance(self.value, str):
            self.fail(f"expected one value, found {self.kind}")
        if self.plain and self.value in {"", "~", "null", "Null", "NULL"}:
            self.fail("has no value; give one, or leave the key out")
        return self.value

    def boolean(self) -> bool:
        """Return whether the value is ``true``; refuse all but ``true`` and ``false``."""
        text = self.text()
        if text not in {"true", "false"}:
            self.fail("expected true or false")
        return text == "true"

    def scalar(self) -> Any:  # noqa: ANN401 - whatever JSON can be.
        """Return the value as a number, boolean or null where it is written as JSON writes one, else as text."""
        if not isinstance(self.value, str):
            self.fail(f"expected one value, found {self.kind}")
        if not self.plain or not self.value:
            return self.value if self.value or not self.plain else None
        import json  # noqa: PLC0415 - few documents have one

        try:
            found = json.loads(self.value)
        except ValueError:
            return self.value
        # A key id of digits is a name, not a number: what does not come back the same is text.
        same = isinstance(found, bool) or found is None or (isinstance(found, int | float) and str(found) == self.value)
        return found if same else self.value


def every(items: Mapping[Key, Given], read: Callable[[Key, Given], Made]) -> dict[Key, Made]:
    """Return what *read* makes of each of *items*; if it refuses some, one ``UsageError`` tells of every one."""
    made, mistakes = {}, []
    for key, given in items.items():
        try:
            made[key] = read(key, given)
        except UsageError as error:
            mistakes.append(error)
    if mistakes:
        # Who has to mend a file wants to open it once. A mistake in what several keys share is told once.
        raise UsageError("\n".join(dict.fromkeys(map(str, mistakes)))) from mistakes[0]
    return made


def together(*parts: Callable[[], Made]) -> list[Made]:
    """Return what each of *parts* returns; if some refuse, one ``UsageError`` tells of every one."""
    return [*every(dict(enumerate(parts)), lambda _, part: part()).values()]


def unknown(what: str, found: str, known: Collection[str]) -> str:
    """Return the message for *found*, which is no *what* of *known*, with the nearest that is one (P13)."""
    if not _HARMLESS_KEY.fullmatch(found):
        # A misplaced quote or colon can turn any text into a key.
        return f"unknown {what}, expected one of {', '.join(sorted(known))}"
    import difflib  # noqa: PLC0415 - only for a mistake

    near = difflib.get_close_matches(found, known, 1, 0) or difflib.get_close_matches(found.lower(), known, 1, 0)
    meant = f"did you mean {near[0]!r}? Expected" if near else "expected"
    return f"unknown {what} {found!r}; {meant} one of {', '.join(sorted(known))}"


def read(text: str, source: str) -> Node:
    """Return the one document in *text*, which messages call *source*.

    Raise ``UsageError`` for what is not YAML, or not of its plain part.
    """
    import yaml  # noqa: PLC0415 - takes longer to import than most commands need without it

    if len(text) > SIZE_MAX:
        raise UsageError(f"{source} has {len(text)} characters, more than {SIZE_MAX}; is it the right file?")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(source, yaml.parse(text, Loader=loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise UsageError(f"{place}: not YAML: {_QUOTED.sub('…', error.problem or 'cannot be read')}") from None
    except (yaml.YAMLError, UnicodeEncodeError):
        raise UsageError(f"{source}: has a character that YAML does not allow; is it UTF-8 text?") from None


class _Builder:
    """Nodes out of the events of a parser."""

    def __init__(self, source: str, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events

    def document(self) -> Node:
        found: Node | None = None
        for event in self._events:
            name = type(event).__name__
            if name in {"StreamStartEvent", "DocumentEndEvent", "StreamEndEvent"}:
                continue
            if name == "DocumentStartEvent":
                if found is not None:
                    self._fail(event, "a second document begins here; expected one")
                found = self._node(next(self._events), "", 0)
        return found or Node("", self._source, 1, 1, plain=True)

    def _node(self, event: Any, path: str, depth: int) -> Node:  # noqa: ANN401 - yaml has no types for events.
        name = type(event).__name__
        if name == "AliasEvent":
            self._fail(
                event, "a value that begins with * is an alias, which is not supported; write it out, or quote it"
            )
        if event.tag is not None:
            self._fail(event, "a value that begins with ! has a tag, which is not supported; quote it")
        if event.anchor is not None:
            self._fail(event, "a value that begins with & has an anchor, which is not supported; quote it")
        if depth > DEPTH_MAX:
            self._fail(event, f"is nested deeper than {DEPTH_MAX} levels")
        value: str | list[Node] | dict[str, Node]
        keys: dict[str, Node] = {}
        if name == "ScalarEvent":
            value = str(event.value)
        elif name == "SequenceStartEvent":
            value = []
            while type(below := next(self._events)).__name__ != "SequenceEndEvent":
                value.append(self._node(below, f"{path}[{len(value)}]", depth + 1))
        else:
            value, keys = self._mapping(path, depth)
        mark = event.start_mark
        plain = name == "ScalarEvent" and event.style in {None, ""}
        return Node(value, self._source, mark.line + 1, mark.column + 1, path, plain, keys)

    def _mapping(self, path: str, depth: int) -> tuple[dict[str, Node], dict[str, Node]]:
        found: dict[str, Node] = {}
        keys: dict[str, Node] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            key = self._node(event, path, depth + 1)
            if not isinstance(key.value, str):
                key.fail(f"expected a key, found {key.kind}")
            value = self._node(next(self._events), shown_path(path, key.value), depth + 1)
            if key.value in found:
                key.fail("this key stands here for the second time; keep one")
            found[key.value], keys[key.value] = value, key
        return found, keys

    def _fail(self, event: Any, problem: str) -> NoReturn:  # noqa: ANN401 - yaml has no types for events.
        mark = event.start_mark
        raise UsageError(f"{self._source}:{mark.line + 1}:{mark.column + 1}: {problem}")


def shown_path(path: str, key: str) -> str:
    """Return the path of *key* below *path* as messages show it."""
    # P12: an unquoted brace or colon turns a part of a secret into a key.
    shown = key if _HARMLESS_KEY.fullmatch(key) and not is_secret_key(path.rpartition(".")[2]) else "…"
    return f"{path}.{shown}" if path else shown


def _listed(names: Collection[str]) -> str:
    return f" with {', '.join(sorted(names))}" if names else ""
