"""File contents that say whether they are whole: a torn one cannot pass for a version that was written."""

import hashlib
import random

_HEAD = b"# %s version %d sha256 "


def certified(name: str, version: int, size_bytes: int = 300) -> bytes:
    """Return the content of *name* at *version*: YAML of about *size_bytes* under a line that certifies it."""
    chance = random.Random(f"{name} {version}")  # noqa: S311 - a workload, no secret.
    body = b""
    while len(body) < size_bytes:
        body += b"key_%d: %d\n" % (chance.randrange(10**6), chance.randrange(10**9))
    return _HEAD % (name.encode(), version) + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def is_whole(content: bytes) -> bool:
    """Return whether *content* is what ``certified`` made, to the last byte."""
    head, newline, body = content.partition(b"\n")
    return newline == b"\n" and head.endswith(b" sha256 " + hashlib.sha256(body).hexdigest().encode())


def version_of(content: bytes) -> int:
    """Return the version of a whole content."""
    assert is_whole(content), content[:200]
    return int(content.split(b" ", 4)[3])
