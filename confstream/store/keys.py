"""What every store demands of keys, bodies and ranges before it looks at anything.

A key that passes cannot leave the prefix on any backend (P12), and cannot be
taken for the temporary file of a ``LocalStore``.
"""

from confstream.codec.envelope import OBJECT_SIZE_MAX
from confstream.errors import IntegrityError, UsageError

Keys = list[str]
"""The type of several keys; inside a class that has a method ``list``, the only way to write it."""

TEMPORARY = ".confstream-tmp-"
"""How the last part of the name of an unfinished local object begins."""

_PART_SIZE_MAX = 200
_KEY_SIZE_MAX = 800


def check_key(key: str) -> None:
    """Raise ``UsageError`` unless *key* may name an object."""
    flaw = _flaw(key)
    if not key:
        flaw = "it is empty"
    elif key.endswith("/"):
        flaw = "it ends with a slash"
    if flaw:
        raise UsageError(f"not a key: {key!r}: {flaw}; expected printable ASCII parts joined by single slashes")


def check_prefix(prefix: str) -> None:
    """Raise ``UsageError`` unless some key may start with *prefix*."""
    flaw = _flaw(prefix)
    if flaw:
        raise UsageError(f"not a prefix of keys: {prefix!r}: {flaw}; expected the beginning of a key, or nothing")


def is_key(text: str) -> bool:
    """Return whether *text* may name an object: foreign files beside ours may not."""
    return bool(text) and not text.endswith("/") and _flaw(text) is None


def check_body(key: str, body: bytes) -> None:
    """Raise ``UsageError`` for an empty *body*: some backends create those unconditionally."""
    if not body:
        raise UsageError(f"an object is never empty: {key}")


def check_range(key: str, first: int, size: int | None) -> None:
    """Raise ``UsageError`` unless *first* and *size* are a range of bytes."""
    if first < 0 or (size is not None and size < 1):
        raise UsageError(f"not a range of {key}: {size} bytes from byte {first}; expected first >= 0 and size >= 1")


def check_size(name: str, size: int) -> None:
    """Raise ``IntegrityError`` if *size* bytes cannot be an object, before anybody makes room for them (P14)."""
    if size > OBJECT_SIZE_MAX:
        raise IntegrityError(f"{name}: {size} bytes, no object has more than {OBJECT_SIZE_MAX}; it is not confstream's")


def _flaw(text: str) -> str | None:
    if any(not " " <= letter <= "~" or letter == "\\" for letter in text):
        return "it has a character that is not printable ASCII, or a backslash"
    if len(text) > _KEY_SIZE_MAX:
        return f"it is longer than {_KEY_SIZE_MAX} characters"
    parts = text.removesuffix("/").split("/") if text else []
    for part in parts:
        if part in ("", ".", ".."):
            return f"it has the part {part!r}"
        if part.startswith(TEMPORARY):
            return f"it has a part that begins with {TEMPORARY}"
        if len(part) > _PART_SIZE_MAX:
            return f"it has a part longer than {_PART_SIZE_MAX} characters"
    return None
