"""The outline of a YAML text: all that decides whether it is YAML, without the words.

Most edits give a key another value. Runs of ASCII letters, digits and underscores may be
exchanged for others of any length without a difference to a parser, but for
the few places that ``outline`` refuses.
"""

import hashlib

_WORDS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_IS_WORD = bytes(byte in _WORDS for byte in range(256))
_TO_X = bytes.maketrans(_WORDS, b"x" * len(_WORDS))
_NEXT = b"\xf8"
"""An x with the highest bit set: a byte that UTF-8 never has."""

_BREAKS = ("\x85", "\u2028", "\u2029")
_TO_ZERO = bytes.maketrans(b"0123456789", b"0" * 10)
_INDENTATIONS = (b"|0", b">0", b"|-0", b">-0", b"|+0", b">+0")
_KEY_MAX = 1024
_KEPT = 256


class Outlines:
    """Remembers the outlines of the last texts that were read to their end. Any thread may call any method."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def knows(self, digest: bytes) -> bool:
        """Return whether a text whose outline has the hash *digest* was added, and not too many others since."""
        return digest in self._known

    def add(self, digest: bytes) -> None:
        """Remember the outline with the hash *digest*."""
        self._known[digest] = None
        for oldest in list(self._known)[:-_KEPT]:
            self._known.pop(oldest, None)


def outline(text: str) -> bytes | None:
    """Return the hash of *text* with every word replaced by one x; None if the words may matter.

    Texts with the same one are YAML together or not at all. Words matter in a
    directive, in an escape, and where a block announces its indentation. A key
    must end within 1024 letters, so lines are shorter here.
    """
    encoded = text.encode()
    if "\\" in text or "\r" in text or _announces_indentation(encoded):
        return None
    if not text.isascii() and any(mark in text for mark in _BREAKS):
        return None
    if "%" in text and (text.startswith("%") or "\n%" in text or "!" in text):
        return None
    if _has_long_line(encoded):
        return None
    # As numbers, so that C does it for all bytes at once: every letter that follows one is marked, then dropped.
    words = int.from_bytes(encoded.translate(_IS_WORD))
    marked = int.from_bytes(encoded.translate(_TO_X)) | ((words & words >> 8) << 7)
    return hashlib.blake2b(marked.to_bytes(len(encoded)).translate(None, _NEXT), digest_size=32).digest()


def _has_long_line(encoded: bytes) -> bool:
    start = 0
    while len(encoded) - start > _KEY_MAX:
        end = encoded.rfind(b"\n", start, start + _KEY_MAX)
        if end < 0:
            return True
        start = end + 1
    return False


def _announces_indentation(encoded: bytes) -> bool:
    if b"|" not in encoded and b">" not in encoded:
        return False
    zeros = encoded.translate(_TO_ZERO)
    return any(one in zeros for one in _INDENTATIONS)
