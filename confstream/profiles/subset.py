"""The part of YAML that the profiles here are written in, read without PyYAML.

An image without that module must go on protecting what it protected: which
files are tracked may not depend on it (P6); and nobody has to wait for it. Mappings and lists by indentation,
lists in brackets on one line, quotes, comments on lines of their own; nothing
else. The tests hold every profile against PyYAML's reading of it.
"""

import re
from typing import NoReturn

from confstream.errors import UsageError
from confstream.settings_document import Node, shown_path

_KEY = re.compile(r"(\"[^\"\\]*\"|'[^']*'|[^\s\"'\[\]{}#&*!|>%@`,-][^\"'#]*?):(?: +(.*))?")
_FLOW = re.compile(r" *(\"[^\"\\]*\"|'[^']*'|[^\s\"',\[\]{}][^,\[\]{}]*?) *(,|\])")
_FORBIDDEN = re.compile(r"[&*!|>%@`{}]")

_Line = tuple[int, int, str]


def read(text: str, source: str) -> Node:
    """Return the document in *text*, as ``settings_document.read`` does; refuse what is not of this part of YAML."""
    lines = [
        (number, len(line) - len(line.lstrip(" ")), line.strip())
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.lstrip(" ").startswith("#")
    ]
    reader = _Reader(source, lines)
    found = reader.block("", 0)
    reader.end()
    return found


class _Reader:
    """Lines, taken one after the other: their number, their indentation, and what they say."""

    def __init__(self, source: str, lines: list[_Line]) -> None:
        self._source = source
        self._lines = lines
        self._next = 0

    def block(self, path: str, indent: int) -> Node:
        """Return the mapping or list whose lines are indented by *indent*."""
        if self._next == len(self._lines):
            return Node("", self._source, 1, 1, path, plain=True)
        number, _, text = self._lines[self._next]
        if text.startswith("- "):
            return self._list(path, indent)
        found: dict[str, Node] = {}
        keys: dict[str, Node] = {}
        while (line := self._at(indent)) is not None:
            match = _KEY.fullmatch(line[2])
            if match is None:
                self._fail(line)
            key = self._value(match[1], line[0], indent + 1, path)
            name = key.text()
            below = shown_path(path, name)
            rest = match[2]
            if rest:
                found[name] = self._value(rest, line[0], indent + 1 + match.start(2), below)
            else:
                found[name] = self.block(below, self._deeper(indent, line))
            keys[name] = key
        return Node(found, self._source, number, indent + 1, path, keys=keys)

    def end(self) -> None:
        """Refuse lines that belong to nothing."""
        if self._next < len(self._lines):
            self._fail(self._lines[self._next])

    def _list(self, path: str, indent: int) -> Node:
        number = self._lines[self._next][0]
        found: list[Node] = []
        while (line := self._at(indent)) is not None:
            if not line[2].startswith("- "):
                self._fail(line)
            found.append(self._value(line[2][2:], line[0], indent + 3, f"{path}[{len(found)}]"))
        return Node(found, self._source, number, indent + 1, path)

    def _at(self, indent: int) -> _Line | None:
        """Return the next line if it stands at *indent*, and take it."""
        if self._next == len(self._lines) or self._lines[self._next][1] < indent:
            return None
        line = self._lines[self._next]
        if line[1] != indent:
            self._fail(line)
        self._next += 1
        return line

    def _deeper(self, indent: int, line: _Line) -> int:
        if self._next == len(self._lines) or self._lines[self._next][1] <= indent:
            self._fail(line)
        return self._lines[self._next][1]

    def _value(self, text: str, number: int, column: int, path: str) -> Node:
        if text.startswith("["):
            return self._flow(text, number, column, path)
        if text[0] in "\"'" and text[0] == text[-1] and len(text) > 1:
            return Node(text[1:-1], self._source, number, column, path)
        if _FORBIDDEN.match(text) or " #" in text or ": " in text:
            self._fail((number, column, text))
        return Node(text, self._source, number, column, path, plain=True)

    def _flow(self, text: str, number: int, column: int, path: str) -> Node:
        found: list[Node] = []
        at = 1
        while at < len(text):
            match = _FLOW.match(text, at)
            if match is None:
                self._fail((number, column, text))
            found.append(self._value(match[1], number, column + match.start(1), f"{path}[{len(found)}]"))
            at = match.end()
        return Node(found, self._source, number, column, path)

    def _fail(self, line: _Line) -> NoReturn:
        raise UsageError(f"{self._source}:{line[0]}: not of the part of YAML that can be read without PyYAML")
