"""Keys and values as they may be shown: short, on one line, and never a secret (P12).

When in doubt a value is ``***``: what looks like a token, a hash or a password
somewhere is not shown, whatever its key is called.
"""

import json
import re

from confstream.masking import mask_line
from confstream.secrecy import MASK
from confstream.words.document import Leaf, Node, Row, Table

VALUE_LENGTH_MAX = 40
KEY_LENGTH_MAX = 48
_READ_LENGTH_MAX = 1000

_PLAIN = re.compile(r"[\w.:/@%+*!?&<>=~^$|-]+(?:\[\])?")
_SUSPECT = re.compile(
    # A key, a hash with its method, user info, options of curl and mosquitto, tokens with a known beginning.
    r"-----BEGIN|\$[0-9A-Za-z-]{1,16}\$|://[^\s/]*@|\w:[^\s@]+@\w|(?<!\S)-[uPp] ?\S"
    r"|\beyJ[\w-]|\b(?:sk|pk|rk|gh[a-z]|xox[a-z]|glpat)[-_]\w"
)
_PIECE = re.compile(r"[A-Za-z0-9+]+")
_HEXADECIMAL = re.compile(r"(?:0[xX])?[0-9a-fA-F]+")
_DEVICE = re.compile(r"0x[0-9a-fA-F]{16}")
"""How Zigbee2MQTT writes an address."""

_PIECE_LENGTH_MIN = 10
_LETTERS_LENGTH_MIN = 16
_TURNS_MIN = 2
_CASES = re.compile(r"[0-9]+|[A-Z]+|[a-z]+")


def key_label(key: str) -> str:
    """Return *key* as a part of a key path."""
    if _is_secret(key) or (looks_random(key) and not _DEVICE.fullmatch(key)):
        return MASK
    if re.fullmatch(r"[\w$%*<-]+", key) and len(key) <= KEY_LENGTH_MAX and key.isprintable():
        return key
    return _quoted(key, KEY_LENGTH_MAX)


def name_label(text: str) -> str:
    """Return *text*, which identifies an element, as it is shown in brackets; empty if it had better not be."""
    if len(text) > KEY_LENGTH_MAX or not text.isprintable() or _is_secret(text) or set(text) & set("[]"):
        return ""
    return "" if looks_random(text) and not _DEVICE.fullmatch(text) else text


def shown(key: str, node: Node, *, secret: bool) -> str:
    """Return *node*, the value of *key*, in a word or two; a *secret* only where it cannot be one."""
    if isinstance(node, Leaf):
        return _secret(node) if secret else _open(key, node)
    if secret:
        return MASK
    if isinstance(node, Row) and len(node.elements) == 1 and isinstance(node.elements[0], Leaf):
        return f"[{_open(key, node.elements[0])}]"
    return f"({values(node.count)})" if node.count else "{}" if isinstance(node, Table) else "[]"


def both(key: str, old: Node, new: Node, *, secret: bool) -> tuple[str, str]:
    """Return *old* and *new* as ``shown`` does, or, where that would look the same, from where they differ."""
    before, after = (shown(key, node, secret=secret) for node in (old, new))
    alike = before == after and MASK not in before and isinstance(old, Leaf) and isinstance(new, Leaf)
    if not alike or not isinstance(old, Leaf) or not isinstance(new, Leaf) or "\n" in old.text + new.text:
        return before, after
    shorter = min(len(old.text), len(new.text))
    first = next((at for at in range(shorter) if old.text[at] != new.text[at]), shorter)
    start = max(0, first - VALUE_LENGTH_MAX // 3)
    return _quoted("…" + old.text[start:], VALUE_LENGTH_MAX), _quoted("…" + new.text[start:], VALUE_LENGTH_MAX)


def _secret(leaf: Leaf) -> str:
    """Return a reference to a secret, or a value that can be none, as masking tells them."""
    meant = f"{leaf.tag} {leaf.text}".strip()
    line = f"password: {meant}"
    harmless = len(line) < _READ_LENGTH_MAX and line.isprintable() and mask_line(line) == line
    return (meant or '""') if harmless else MASK


def _open(key: str, leaf: Leaf) -> str:
    text = leaf.text.strip() if "\n" in leaf.text else leaf.text
    if "\n" in text:
        return f"({text.count(chr(10)) + 1} lines)"
    line = f"{key[:200]}: {text}"
    if len(text) > _READ_LENGTH_MAX or _is_secret(text) or looks_random(text) or mask_line(line) != line:
        return MASK
    plain = not leaf.string and _PLAIN.fullmatch(text) and len(text) <= VALUE_LENGTH_MAX
    value = text if plain else _quoted(text, VALUE_LENGTH_MAX)
    if not leaf.tag:
        return value
    tag = (
        MASK if _is_secret(leaf.tag) else leaf.tag if _PLAIN.fullmatch(leaf.tag) else _quoted(leaf.tag, KEY_LENGTH_MAX)
    )
    return f"{tag[:KEY_LENGTH_MAX]} {value}"


def values(count: int) -> str:
    """Return *count* of values."""
    return "1 value" if count == 1 else f"{count} values"


def looks_random(text: str) -> bool:
    """Return whether a part of *text* looks as if nobody had chosen its letters."""
    return any(_is_random(piece) for piece in _PIECE.findall(text[:_READ_LENGTH_MAX]))


def _is_random(piece: str) -> bool:
    if len(piece) < _PIECE_LENGTH_MIN or piece.isdigit():
        return False
    if _HEXADECIMAL.fullmatch(piece) and any(map(str.isdigit, piece)):
        return True
    # A word is one run of letters; a date, a version or a name with a number has one turn.
    runs = _CASES.findall(piece)
    words = [run for run in runs if not run[0].isupper() or len(run) > 1]
    if any(map(str.isdigit, piece)):
        return len(words) > _TURNS_MIN
    # Letters alone: no language changes between small and large ones that often.
    return len(piece) >= _LETTERS_LENGTH_MIN and len(runs) > len(piece) * 2 / 5


def _is_secret(text: str) -> bool:
    text = text[:_READ_LENGTH_MAX]
    return _SUSPECT.search(text) is not None or mask_line(text) != text


def _quoted(text: str, length_max: int) -> str:
    cut = text if len(text) <= length_max else text[: length_max - 1] + "…"
    return json.dumps(
        "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut), ensure_ascii=False
    )


def size(count: int) -> str:
    """Return *count* bytes for a person."""
    if count < 1000:  # noqa: PLR2004 - where kilo begins
        return f"{count} B"
    for unit, power in (("kB", 1000), ("MB", 1000**2), ("GB", 1000**3)):
        if count < power * 999.5:
            return f"{count / power:.3g} {unit}"
    return f"{count / 1000**4:.3g} TB"
