"""What is wrong is said when it begins, again every five minutes while it lasts, and once when it is over (P7).

Nothing is said every minute for days, and nothing that lasts is silent.
"""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from confstream.clock import Clock

REPEAT_SECONDS = 300.0
"""How often a problem that does not change is said."""

_OFTEN_MAX = 3
"""How often in that time one that comes and goes is said."""

_KINDS_MAX = 8
_VARIABLE = re.compile(r"[0-9a-f]{8,}|\d+")
"""What differs from one attempt to the next in what is otherwise the same message."""


class Complaint:
    """One thing that can go wrong, and what was said about it. Any thread may call any method."""

    def __init__(self, logger: logging.Logger, clock: Clock, *, repeat_seconds: float = REPEAT_SECONDS) -> None:
        self._logger = logger
        self._clock = clock
        self._repeat_seconds = repeat_seconds
        self._lock = threading.Lock()
        self._since: float | None = None
        self._is_said = False
        # For each kind of message when it was said lately, the kind that was said last at the end.
        self._said: OrderedDict[str, list[float]] = OrderedDict()

    @property
    def lasts_seconds(self) -> float | None:
        """Return for how long it has been wrong; None if it is not."""
        since = self._since
        return None if since is None else self._clock.elapsed_seconds() - since

    def say(self, message: str, *, level: int = logging.ERROR, extra: Mapping[str, Any] | None = None) -> bool:
        """Log *message*, with *extra* of ``events.about``, unless the same was said lately; return whether it was.

        Messages that differ only in numbers are the same.
        """
        now = self._clock.elapsed_seconds()
        with self._lock:
            begins = self._since is None
            if begins:
                self._since, self._is_said = now, False
            if not self._is_due(_VARIABLE.sub("", message), now, begins=begins):
                return False
            self._is_said = True
        self._logger.log(level, "%s", message, extra=extra)
        return True

    def over(self, message: str, *, extra: Mapping[str, Any] | None = None) -> bool:
        """Note that nothing is wrong any more; log *message* if something had been said, and return whether it was."""
        with self._lock:
            said = self._since is not None and self._is_said
            self._since, self._is_said = None, False
        if said:
            self._logger.info("%s", message, extra=extra)
        return said

    def _is_due(self, kind: str, now: float, *, begins: bool) -> bool:
        lately = [at for at in self._said.get(kind, ()) if now - at < self._repeat_seconds]
        if len(lately) >= (_OFTEN_MAX if begins else 1):
            return False
        self._said[kind] = [*lately, now]
        self._said.move_to_end(kind)
        while len(self._said) > _KINDS_MAX:
            self._said.popitem(last=False)
        return True
