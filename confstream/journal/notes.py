"""Notes of a journal, read back: what cannot be understood is told as damage, never as a fault of the program. Pure."""

import contextlib
from collections.abc import Iterator
from typing import Any

from confstream.errors import IntegrityError


@contextlib.contextmanager
def understood(name: str) -> Iterator[None]:
    """Raise ``IntegrityError`` where what is read of the note *name* is not what was ever written."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"the journal's note {name!r} cannot be understood ({type(error).__name__}); use a newer confstream if one "
            "wrote it, else remove 'state' and 'wal-*' from the state directory: the tree and the replica remain"
        ) from error


def number(value: Any) -> int:  # noqa: ANN401 - unchecked input
    """Return *value*, or raise ``TypeError`` unless it is a number."""
    if type(value) is not int:
        raise TypeError(f"a {type(value).__name__}, expected a number")
    return value


def text(value: Any) -> str:  # noqa: ANN401 - unchecked input
    """Return *value*, or raise ``TypeError`` unless it is a text."""
    if type(value) is not str:
        raise TypeError(f"a {type(value).__name__}, expected a text")
    return value
