"""Is it JSON, JSON lines, TOML, XML, INI at all? Syntax only, and when in doubt it is.

Parsers are imported when first needed: one that is missing breaks its own
validator and nothing else. Hostile contents cost linear time, and what is
nested too deeply for a parser is not checked.
"""

import json
import re

from confstream.guards import is_blank
from confstream.validate.finding import FINDINGS_MAX, Finding, NotCheckedError, Samples
from confstream.validate.text import decode, place, without_content

TOML_SIZE_MAX = 1 << 20
"""The standard library's TOML parser is written in Python: larger files would hold up everything else."""

LINES_MAX = 250_000
"""More JSON lines than that take seconds, and nobody configured them by hand."""

_TOML_WORK_MAX = 10_000_000
_TOO_DEEP = "is nested too deeply to be parsed"
_JSON_MESSAGES = (
    "Expecting value",
    "Expecting property name enclosed in double quotes",
    "Expecting ':' delimiter",
    "Expecting ',' delimiter",
    "Illegal trailing comma",
    "Unterminated string",
    "Invalid control character",
    "Invalid \\escape",
    "Invalid \\uXXXX escape",
    "Extra data",
)
# Numbers stay text and objects become their size: nothing is built that could be large, and no digit is too many.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, object_pairs_hook=len)
_TOML_MESSAGES = {"Cannot declare": "a table is declared twice", "Cannot overwrite": "a key is there twice"}
_INI_WRONG = re.compile(r"^\[[^\]\n]*+$|\0", re.MULTILINE)
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class JsonSyntax:
    """JSON as RFC 8259 has it, and Python's ``NaN`` and ``Infinity``; comments are not."""

    name = "json"
    samples = Samples(b"sample.json", b'{"port": [1, 2.5e3, null]}\n', b'{"port": [1, 2.5e3\n')

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return where *content* stops being one JSON value."""
        del path
        text = decode(content)
        if isinstance(text, Finding):
            return [text]
        return [] if is_blank(content) else _json_findings(text)


class JsonLinesSyntax:
    """One JSON value in each line that is not blank."""

    name = "jsonl"
    samples = Samples(b"sample.jsonl", b'{"id": 1}\n\n{"id": 2}\n', b'{"id": 1}\n{"id"\n')

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return the first lines that are no JSON value."""
        del path
        text = decode(content)
        if isinstance(text, Finding):
            return [text]
        if is_blank(content):
            return []
        found: list[Finding] = []
        lines = text.split("\n")
        if len(lines) > LINES_MAX:
            raise NotCheckedError(f"has {len(lines)} lines, more than the {LINES_MAX} that are checked")
        for number, line in enumerate(lines, start=1):
            if line.strip():
                found += [Finding(number, one.column, one.message) for one in _json_findings(line)]
            if len(found) >= FINDINGS_MAX:
                break
        return found


class TomlSyntax:
    """TOML as the standard library of this Python knows it: 1.0 up to Python 3.14."""

    name = "toml"
    samples = Samples(b"sample.toml", b"[server]\nport = 1\n", b"[server\nport = 1\n")

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return where *content* stops being TOML."""
        import tomllib  # noqa: PLC0415 - one that is missing breaks this validator only

        del path
        if len(content) > TOML_SIZE_MAX:
            raise NotCheckedError(f"has {len(content)} bytes, more than the {TOML_SIZE_MAX} that are read as TOML")
        text = decode(content)
        if isinstance(text, Finding):
            return [text]
        if is_blank(content):
            return []
        _refuse_slow_toml(text)
        try:
            tomllib.loads(text, parse_float=str)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            match = _TOML_PLACE.search(message)
            line, column = (int(match[1]), int(match[2])) if match and match[1] else (text.count("\n") + 1, 0)
            kept = without_content(message[: match.start()] if match else message)
            return [Finding(line, column, _TOML_MESSAGES.get(kept, kept))]
        except RecursionError as error:
            raise NotCheckedError(_TOO_DEEP) from error
        return []


class XmlSyntax:
    """Well-formed XML, optionally with a *root* element of a certain name; entities are never expanded."""

    name = "xml"
    samples = Samples(b"sample.xml", b"<?xml version='1.0'?>\n<Config><Port>1</Port></Config>\n", b"<Config><Port>")

    def __init__(self, root: str = "") -> None:
        self._root = root
        if root:
            self.name = f"xml-root-{root}"
            self.samples = Samples(b"sample.xml", f"<{root}><a/></{root}>".encode(), f"<not{root}/>".encode())

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return where *content* stops being well-formed, and whether its root is another one."""
        from xml.parsers import expat  # noqa: PLC0415 - no entity is ever declared, see below

        del path
        if is_blank(content):
            return []
        parser = expat.ParserCreate()
        roots: list[str] = []
        parser.EntityDeclHandler = _refuse_entities
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

        def begin(name: str, _: dict[str, str]) -> None:
            roots.append(name)
            parser.StartElementHandler = None

        parser.StartElementHandler = begin
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            message = expat.errors.messages.get(error.code, "cannot be parsed")
            if message in {expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_NO_MEMORY}:
                raise NotCheckedError(message) from error
            return [Finding(error.lineno, error.offset + 1, message)]
        except LookupError as error:
            raise NotCheckedError("has an encoding that is unknown here") from error
        # A namespace's prefix is the writer's choice, the name behind it is not.
        if self._root and roots[0].rpartition(":")[2] != self._root:
            return [Finding(0, 0, f"the root element is not {self._root}")]
        return []


class IniSyntax:
    """INI in any of its dialects: all that is wrong in each of them is a section that is not closed, and NUL bytes.

    ``configparser`` is stricter than the programs whose files these are: it
    refuses keys before the first section (Grafana has them) and, depending on
    Python's version, indented lines.
    """

    name = "ini"
    samples = Samples(b"sample.ini", b"mode = a\n[server]\nport = 1\n", b"[server\nport = 1\n")

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return the first place that no dialect allows."""
        del path
        if is_blank(content):
            return []
        text = decode(content)
        # Without a mark the encoding is anybody's guess, and Latin-1 reads all of them.
        text = content.decode("latin-1") if isinstance(text, Finding) else text
        quotes = '"""' in text or "'''" in text
        for match in _INI_WRONG.finditer(text):
            if match.group() == "\0":
                return [Finding(*place(text, match.start()), "NUL bytes are not allowed here")]
            if not quotes:
                return [Finding(*place(text, match.start()), "the name of a section is not closed with ]")]
        return []


def _json_findings(text: str) -> list[Finding]:
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        known = (message for message in _JSON_MESSAGES if error.msg.startswith(message))
        return [Finding(error.lineno, error.colno, next(known, "cannot be parsed"))]
    except RecursionError as error:
        raise NotCheckedError(_TOO_DEEP) from error
    return []


def _refuse_slow_toml(text: str) -> None:
    # The parser walks all parts of a key and of its table for every line: quadratic in the parts.
    dots = [line.count(".") for line in text.split("\n")]
    if max(dots) * (len(dots) + sum(dots)) > _TOML_WORK_MAX:
        raise NotCheckedError("has keys of too many parts")


def _refuse_entities(name: str, *_: object) -> None:
    # Billion laughs: an entity that is not expanded cannot grow, and a file that is not checked is not invalid.
    del name
    raise NotCheckedError("declares entities, which are not expanded here")
