"""Bytes to text the way lenient readers do it, and places in a text.

Pure. The messages of parsers may quote what they read: ``without_content``
keeps what the parser's author wrote and drops what the file's author did (P12).
"""

import codecs
import re

from confstream.validate.finding import Finding

# The longer marks first: UTF-32's little-endian one begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A quoted part that is only punctuation belongs to the message: expected "=" after a key.
_UNQUOTED = re.compile(r"(?:[^'\"(\[{:]|([\"'])[=\[\].,:{}]{1,3}\1)*")


def decode(content: bytes) -> str | Finding:
    """Return *content* as text without its byte order mark, or where it stops being any."""
    encoding = "utf-8"
    for mark, marked in _MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], marked
            break
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = place(content[: error.start].decode(encoding, "replace"), -1)
        return Finding(line, column, f"is not {encoding.upper().removesuffix('-LE').removesuffix('-BE')} from here on")


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of the letter at *offset* of *text*; -1 is the end."""
    offset = len(text) if offset < 0 else offset
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def without_content(message: str) -> str:
    """Return *message* up to where it begins to quote."""
    match = _UNQUOTED.match(message)
    kept = match.group().strip() if match else ""
    return kept or "cannot be parsed"
