"""How a directory is replicated, and how a run ended, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confstream.journal.phase import HEARTBEAT_SECONDS, SPOOL_BYTES_MAX, UplinkSettings
from confstream.journal.views import JournalStatus

SCAN_SECONDS = 60.0
SHUTDOWN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ReplicateOptions:
    """How to replicate; times in seconds.

    *settle_seconds* is how long a file must be unchanged where no close is
    told, *close_seconds* where one is; after *settle_seconds_max* it is
    captured anyway, marked. *quiet_seconds* is how long the directory must be
    quiet before the last look at the end, within *shutdown_seconds* for all.
    *once* captures, publishes and ends. *command* is a child to run. With
    *fail_after_seconds* the run ends when the replica took nothing for so long
    while something was due; 0 is never. Past *spool_bytes_max* the oldest
    revisions that wait for the replica are merged. *labels* come with every one.
    """

    settle_seconds: float = 2.0
    close_seconds: float = 0.01
    settle_seconds_max: float = 60.0
    scan_seconds: float = SCAN_SECONDS
    poll_seconds: float = 1.0
    polling: bool | None = None
    quiet_seconds: float = 0.5
    shutdown_seconds: float = SHUTDOWN_SECONDS
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    fail_after_seconds: float = 0.0
    spool_bytes_max: int = SPOOL_BYTES_MAX
    guards: bool = True
    takeover: bool = False
    unsafe_single_writer: bool = False
    once: bool = False
    command: Sequence[str] = ()
    state_dir: Path | None = None
    author: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30.0

    @property
    def uplink(self) -> UplinkSettings:
        """Return what they say of publishing."""
        return UplinkSettings(
            heartbeat_seconds=self.heartbeat_seconds,
            fail_after_seconds=self.fail_after_seconds,
            spool_bytes_max=self.spool_bytes_max,
            labels=self.labels,
        )


@dataclass(frozen=True, slots=True)
class ReplicateReport:
    """How a run ended: the journal's last word, the child's exit code if there was one, the signal that ended it."""

    status: JournalStatus
    child: int | None = None
    signal: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
