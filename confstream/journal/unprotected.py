"""What is there and cannot be recorded, said when it begins, now and then while it lasts, and when it is over (P6, P7).

A file of another user that this process may not read is the gap that nobody
notices until the day of the restore: it is an error that names the file and
what to do.
"""

import logging
import os
from collections.abc import Callable, Container, Iterable, Mapping

from confstream.checkout import shown
from confstream.clock import Clock
from confstream.complaint import REPEAT_SECONDS
from confstream.events import about

_log = logging.getLogger("confstream.journal")
_NAMED_MAX = 3


class Unprotected:
    """The paths that could not be read at the last look."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said_at = 0.0
        self._paths: frozenset[bytes] = frozenset()

    def note(
        self, unreadable: Mapping[bytes, str], too_large: Container[bytes], is_there: Callable[[bytes], bool]
    ) -> None:
        """Say what of *unreadable* is new, and what of it is over: whether by being read or by going away."""
        before, self._paths = self._paths, frozenset(unreadable)
        new, now = sorted(self._paths - before), self._clock.elapsed_seconds()
        if not new and now - self._said_at >= REPEAT_SECONDS:
            new = sorted(self._paths)
        if new:
            self._said_at = now
        self._say_new(
            {path: unreadable[path] for path in new if path not in too_large},
            f"uid {os.geteuid()} may not read it",
            "run confstream as the owner of the files, or let that uid read them",
        )
        self._say_new(
            {path: unreadable[path] for path in new if path in too_large},
            "it is too large for a configuration",
            "exclude it, or keep it elsewhere",
        )
        over = sorted(before - self._paths)
        there = [path for path in over if is_there(path)]
        self._say_over(there, "can be read again")
        self._say_over([path for path in over if path not in there], "is gone")

    def _say_new(self, paths: Mapping[bytes, str], why: str, what_to_do: str) -> None:
        if paths:
            said = about("unreadable", files=len(paths), path=next(iter(paths)))
            named = _named(f"{shown(path)} ({reason})" for path, reason in paths.items())
            _log.error("not protected, because %s: %s; %s", why, named, what_to_do, extra=said)

    def _say_over(self, paths: list[bytes], how: str) -> None:
        if paths:
            said = about("recovered", what="reading", files=len(paths), path=paths[0])
            _log.info("recovered: %s, which could not be read, %s", _named(map(shown, paths)), how, extra=said)


def _named(texts: Iterable[str]) -> str:
    named = list(texts)
    more = f" and {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
    return ", ".join(named[:_NAMED_MAX]) + more
