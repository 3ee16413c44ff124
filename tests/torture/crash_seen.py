"""Do a little of everything below a directory, and print last, as JSON, how many calls of each kind were seen.

``python -m tests.torture.crash_seen DIRECTORY``, which strace watches.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture import calls

SAME = {"exchange": "rename", "rmdir": "unlink"}


class Counting:
    """Counts calls that succeed."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def around(self, call: calls.Call, perform: Callable[[], Any]) -> Any:
        """Count *call*, unless it fails."""
        done = perform()
        self.seen[SAME.get(call.kind, call.kind)] += 1
        return done

    def acknowledge(self, what: str) -> None:
        """Count nothing."""


def main(base: Path) -> None:
    """Write, publish, restore and pack below *base*."""
    calls.install()
    # Only now: whoever imports it earlier keeps the functions as they were.
    from tests.torture.crash_place import Place  # noqa: PLC0415
    from tests.torture.crash_scenarios import SCENARIOS  # noqa: PLC0415

    counting = Counting()
    calls.watch(bytes(base), counting)
    for name in ("restore-older", "journal", "compact"):
        place = Place(base / name, base / f"{name}.notes")
        place.base.mkdir()
        SCENARIOS[name].prepare(place)
        SCENARIOS[name].act(place)
    sys.stdout.write(json.dumps(counting.seen) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
