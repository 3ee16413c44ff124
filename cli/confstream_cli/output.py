"""What a person sees: colours, columns and ages on a terminal, plain lines everywhere else.

Whatever comes from a replica is shown on one line and without control
characters: nobody's file name may drive somebody's terminal.
"""

import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import confstream

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_AGES = ((86_400 * 7, "w", 9), (86_400, "d", 2), (3600, "h", 2), (60, "m", 2))
_WIDTH_MIN = 40
_SIZES = ("kB", "MB", "GB", "TB")


class PipeClosedError(Exception):
    """Whoever read what we print has gone away."""


class Page:
    """Where a command prints: stdout for results, stderr for the rest.

    *width* is None where there is no terminal, so nothing is cut.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.is_terminal = self.stream.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.colour = self.is_terminal and not plain
        self.width = _columns() if self.is_terminal else None

    def paint(self, text: str, *styles: str) -> str:
        """Return *text* in *styles*, as it is where there are no colours."""
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Print *text* as a line."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Print *text*; raise ``PipeClosedError`` if nobody reads it any more."""
        try:
            self.stream.write(text)
        except BrokenPipeError as error:
            raise PipeClosedError from error

    def binary(self, content: bytes) -> None:
        """Print *content*, byte for byte."""
        try:
            self.stream.flush()
            self.stream.buffer.write(content)
            self.stream.buffer.flush()
        except BrokenPipeError as error:
            raise PipeClosedError from error

    def json(self, document: dict[str, Any]) -> None:
        """Print *document* on one line, as JSON."""
        self.line(plain_json(document))

    def columns(self, rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = "  ") -> None:
        """Print *rows* of plain text with their columns aligned; *right* ones to the right."""
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                pad(cell, widths[index], right=index in right) if index + 1 < len(row) or index in right else cell
                for index, cell in enumerate(row)
            ]
            self.line(self.cut(indent + "  ".join(cells)).rstrip())

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print names and what they are, aligned."""
        shown = [(name, value) for name, value in rows if value]
        longest = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.line(f"{self.paint(name.ljust(longest), 'dim')}  {value}")

    def cut(self, text: str, used: int = 0) -> str:
        """Return *text* as far as it fits on the line behind *used* columns."""
        if self.width is None or width(text) <= self.width - used:
            return text
        room = max(1, self.width - used - 1)
        while width(text) > room:
            text = text[:-1]
        return text + "…"

    def paragraph(self, text: str, indent: str, *styles: str) -> None:
        """Print *text* behind *indent*, on as many lines as it takes on a terminal."""
        import re  # noqa: PLC0415 - only what does not fit
        import textwrap  # noqa: PLC0415 - likewise

        room = max(_WIDTH_MIN, self.width or len(text)) - len(indent)
        # A sign stays with what it is the sign of.
        bound = re.sub(r"(?<![^ :;,])([+-]) ", "\\1\N{NO-BREAK SPACE}", text)
        for line in textwrap.wrap(bound, room, break_on_hyphens=False):
            self.line(indent + self.paint(line.replace("\N{NO-BREAK SPACE}", " "), *styles))

    def diff(self, text: str) -> None:
        """Print a unified diff."""
        if not self.colour:
            self.write(text[: text.rfind("\n") + 1])
            return
        for line in text.split("\n")[:-1]:
            self.line(self.paint(line, *_diff_styles(line)))


def note(text: str) -> None:
    """Print *text* on stderr: what is no result."""
    Page(sys.stderr).line(f"confstream: {clean(text)}")


def prepare() -> None:
    """Let no character that the terminal's encoding lacks end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def clean(text: str) -> str:
    """Return *text* on one line without anything that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def plain_json(document: Any) -> str:  # noqa: ANN401 - whatever JSON can be
    """Return *document* as JSON on one line, what a terminal would obey as JSON's own escapes: it reads the same."""
    import json  # noqa: PLC0415 - only where it is asked for

    text = json.dumps(document, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def path(name: bytes) -> str:
    """Return the path *name* on one line."""
    return confstream.quote_path(name)


def local(time_ns: int) -> str:
    """Return *time_ns* on the wall here, to the second, without the zone."""
    return confstream.format_local(time_ns)[:19]


def instant(time_ns: int, now_ns: int) -> str:
    """Return *time_ns* to the second: here, how long ago, and in UTC."""
    here, utc = confstream.format_local(time_ns), seconds_of(confstream.format_utc(time_ns))
    if here[19:25] == "+00:00":
        return f"{here[:19]} UTC, {ago(time_ns, now_ns)}"
    return f"{here}, {ago(time_ns, now_ns)} ({utc})"


def seconds_of(utc: str) -> str:
    """Return the time *utc* as documents have it without what is less than a second."""
    return utc if len(utc) <= 20 else f"{utc[:19]}Z"  # noqa: PLR2004 - the length of it


def ago(time_ns: int, now_ns: int) -> str:
    """Return how long *time_ns* is past."""
    seconds = (now_ns - time_ns) / 1e9
    return f"{length(seconds)} ago" if seconds >= 0 else f"in {length(-seconds)}"


def length(seconds: float) -> str:
    """Return a length of time in one short word, rounded down."""
    for unit, name, least in _AGES:
        if seconds >= unit * least:
            return f"{int(seconds // unit)}{name}"
    return f"{int(seconds)}s"


def size(count: int) -> str:
    """Return *count* bytes for a person."""
    if count < 1000:  # noqa: PLR2004 - where kilo begins
        return f"{count} B"
    shown = float(count)
    for unit in _SIZES:
        shown /= 1000
        if shown < 999.5:  # noqa: PLR2004 - what still rounds to three digits
            return f"{shown:.1f} {unit}" if shown < 99.95 else f"{shown:.0f} {unit}"  # noqa: PLR2004 - likewise
    return f"{shown:.0f} {_SIZES[-1]}"


def plural(count: int, noun: str) -> str:
    """Return *count* of *noun*."""
    ending = "ies" if noun.endswith("y") else f"{noun[-1]}s"
    return f"{count} {noun}" if count == 1 else f"{count} {noun[:-1]}{ending}"


def width(text: str) -> int:
    """Return how many columns *text* takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415 - a megabyte that most text does not need

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return *text* filled up with blanks to *columns*."""
    blanks = " " * max(0, columns - width(text))
    return blanks + text if right else text + blanks


def _columns() -> int:
    import shutil  # noqa: PLC0415 - only on a terminal

    return max(_WIDTH_MIN, shutil.get_terminal_size().columns)


def _diff_styles(line: str) -> tuple[str, ...]:
    if line.startswith(("diff ", "--- ", "+++ ", "new ", "deleted ", "old ")):
        return ("bold",)
    return {"+": ("green",), "-": ("red",), "@": ("cyan",), "\\": ("dim",)}.get(line[:1], ())
