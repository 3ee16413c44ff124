"""Points at which a process is killed: every call that changes a file, by a name that is the same in every run.

A point is *before* its call; a write has a second one, when half of it is
done. They come from a run that is watched, so a new call is a new point
without anybody's doing.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.torture.calls import REAL, Call

_RANDOM = re.compile(r"(?<![0-9a-f])(?!00)[0-9a-f]{12,}|\d{8}T\d{6}Z")
_TORN = " torn"


class Names:
    """Names calls: what kind, which file below *base* (without what is random in it), and the how manyeth."""

    def __init__(self, base: bytes) -> None:
        self._base = base.rstrip(b"/") + b"/"
        self._seen: Counter[str] = Counter()

    def name(self, call: Call) -> str:
        """Return the name of *call*, which is made now."""
        path = _RANDOM.sub("*", os.fsdecode(call.path.removeprefix(self._base)))
        said = f"{call.kind}:{path}"
        self._seen[said] += 1
        return f"{said}#{self._seen[said]}"


class Enumerator:
    """Lists the points of a run, in order."""

    def __init__(self, base: bytes) -> None:
        self._names = Names(base)
        self.points: list[str] = []

    def around(self, call: Call, perform: Callable[[], Any]) -> Any:
        """Take note of the points of *call*, and make it."""
        name = self._names.name(call)
        self.points.append(name)
        if call.kind == "write" and len(call.content) > 1:
            self.points.append(name + _TORN)
        return perform()

    def acknowledge(self, what: str) -> None:
        """Take note of nothing."""


class Killer:
    """Kills this process, as the kernel would for want of memory, at one *point*; acknowledgements go to *pipe*."""

    def __init__(self, base: bytes, point: str, pipe: int) -> None:
        self._names = Names(base)
        self._point = point
        self._pipe = pipe

    def around(self, call: Call, perform: Callable[[], Any]) -> Any:
        """Make *call*, unless this is where it ends."""
        name = self._names.name(call)
        if name == self._point:
            os.kill(os.getpid(), signal.SIGKILL)
        if name + _TORN == self._point:
            half = call.content[: len(call.content) // 2]
            if call.offset is None:
                REAL["write"](call.descriptor, half)
            else:
                REAL["pwrite"](call.descriptor, half, call.offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return perform()

    def acknowledge(self, what: str) -> None:
        """Tell the parent, in a write that is whole or not made at all."""
        REAL["write"](self._pipe, what.encode() + b"\n")
