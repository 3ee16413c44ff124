"""What one restore is asked to do, and what makes it look at everything again."""

from collections.abc import Callable
from pathlib import Path

from confstream.clock import Clock
from confstream.restorer import record
from confstream.restorer.options import RestoreOptions
from confstream.values import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be restored, where, and with whose help."""

    replica_url: str
    root: Path
    options: RestoreOptions
    clock: Clock
    record_before: record.RecordBefore | None
    warn: Callable[[str], None]
    checkpoint: Callable[[str], None]


class AgainError(Exception):
    """Something happened between the look and the switch, so that both have to be repeated.

    It says what; *ours* is true if nobody else did it.
    """

    def __init__(self, what: str, *, ours: bool = False) -> None:
        super().__init__(what)
        self.ours = ours
