"""What a validator says about one file, and how that reads in a verdict.

A finding says where and what kind, never what the file holds there: reasons
end up in logs and on terminals (P12).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from confstream.naming import quote_path

FINDINGS_MAX = 5
"""A file that is wrong in one place is invalid; more places help nobody to mend it."""

MESSAGE_LENGTH_MAX = 160
PATH_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at a place of a file; lines and columns count from 1, and 0 means the whole line or file."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Samples:
    """What a validator proves itself on: a *good* and a *bad* content for a file called *path*."""

    path: bytes
    good: bytes
    bad: bytes


class NotCheckedError(Exception):
    """A validator's answer to a file that it cannot judge: that makes the file neither valid nor invalid (P6)."""


class Validator(Protocol):
    """Judges the content of one file, and nothing else: it reads no disk and keeps no state."""

    @property
    def name(self) -> str:
        """Return what it is called in reasons, metrics and rules; unique within ``Validators``."""

    @property
    def samples(self) -> Samples:
        """Return what tells a working validator from a broken one."""

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return what is wrong with *content*; raise ``NotCheckedError`` where that cannot be told.

        Any other exception is taken for ``NotCheckedError``, too: a validator
        that fails says nothing about the file.
        """


def findings_to_reasons(path: bytes, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return *findings* about *path* as lines such as ``config.yml:12:3: mapping values are not allowed here``.

    Each is one printable line of bounded length; past ``FINDINGS_MAX`` they are counted.
    """
    shown = _shortened(quote_path(path), PATH_LENGTH_MAX)
    reasons = [f"{shown}{_place(finding)}: {_one_line(finding.message)}" for finding in findings[:FINDINGS_MAX]]
    if len(findings) > FINDINGS_MAX:
        reasons.append(f"{shown}: and {len(findings) - FINDINGS_MAX} more")
    return tuple(reasons)


def _place(finding: Finding) -> str:
    if not finding.line:
        return ""
    return f":{finding.line}:{finding.column}" if finding.column else f":{finding.line}"


def _one_line(message: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in message[: MESSAGE_LENGTH_MAX * 4])
    return _shortened(" ".join(printable.split()), MESSAGE_LENGTH_MAX)


def _shortened(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
