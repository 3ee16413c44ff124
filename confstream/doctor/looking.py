"""How a look ends: with a finding, whatever happens in it. One that fails says so, and the next one goes on."""

import os
from collections.abc import Callable, Iterator

from confstream.check import Check, Level
from confstream.errors import AccessDeniedError, ConfstreamError, StaleError

Look = Callable[[], Check | list[Check]]
"""Finds out about one thing, or several that are seen at once."""


def fine(name: str, found: str) -> Check:
    """Return that *name* is as it should be."""
    return Check(name, Level.OK, found)


def doubtful(name: str, found: str, advice: str) -> Check:
    """Return that somebody should look at *name*; nothing is lost by it."""
    return Check(name, Level.WARN, found, advice)


def wrong(name: str, found: str, advice: str, error: type[ConfstreamError] = StaleError) -> Check:
    """Return that *name* is not as it has to be."""
    return Check(name, Level.FAIL, found, advice, error)


def skipped(name: str, why: str) -> Check:
    """Return that *name* was not looked at."""
    return Check(name, Level.SKIP, why)


def look(name: str, one: Look) -> Iterator[Check]:
    """Yield what *one* finds about *name*; what it raises is a finding, too."""
    try:
        found = one()
    except ImportError as error:
        yield wrong(name, f"the module {error.name or 'it needs'} cannot be imported", "see the modules above")
    except ConfstreamError as error:
        yield wrong(name, str(error), "mend what it says, and ask again", type(error))
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        kind = AccessDeniedError if isinstance(error, PermissionError) else StaleError
        yield wrong(name, f"{where}{error.strerror or error}", "mend what it says, and ask again", kind)
    except Exception as error:  # noqa: BLE001 - a look that fails must not end the others
        # The message may quote what was looked at (P12).
        yield wrong(name, f"the look itself failed with {type(error).__name__}", "report it as a fault of confstream")
    else:
        yield from found if isinstance(found, list) else [found]


def plural(count: int, noun: str) -> str:
    """Return *count* of *noun*."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def size(count: int) -> str:
    """Return *count* bytes for a person."""
    shown = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if shown < 1024:  # noqa: PLR2004 - where the next unit begins
            return f"{shown:.0f} {unit}"
        shown /= 1024
    return f"{shown:.0f} TiB"


def length(seconds: float) -> str:
    """Return a length of time for a person, rounded down."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"
