"""How an uplink is set up and how it is, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from confstream.errors import ConfstreamError
from confstream.log.publisher import GRACE_SECONDS
from confstream.revision import Position
from confstream.scan import Selection

HEARTBEAT_SECONDS = 300.0
SPOOL_BYTES_MAX = 1 << 28
"""256 MiB: weeks of edits of a configuration."""


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """How to publish.

    *heartbeat_seconds* 0 writes no heartbeat; *snapshot_every* and *pack_size*
    count revisions. *takeover* overrules a writer that fenced this one;
    *guards* keeps an empty directory from being believed (P10). With
    *fail_after_seconds* publishing ends for good when the replica took nothing
    for so long; 0 is never. Past *spool_bytes_max* the oldest revisions that
    are not published are merged (P14). *selection* is what the tree has of its
    directory; *labels* come with every revision.
    """

    heartbeat_seconds: float = HEARTBEAT_SECONDS
    snapshot_every: int = 50
    pack_size: int = 1000
    grace_seconds: float = GRACE_SECONDS
    fail_after_seconds: float = 0.0
    spool_bytes_max: int = SPOOL_BYTES_MAX
    takeover: bool = False
    unsafe_single_writer: bool = False
    guards: bool = True
    version: str = ""
    host: str = ""
    selection: Selection | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def overruled(self, *, takeover: bool, unsafe_single_writer: bool, guards: bool) -> Self:
        """Return these settings with what else was asked for."""
        return replace(
            self,
            takeover=takeover or self.takeover,
            unsafe_single_writer=unsafe_single_writer or self.unsafe_single_writer,
            guards=guards and self.guards,
        )


class Phase(StrEnum):
    """What the uplink is doing."""

    CONNECTING = "connecting"
    PUBLISHING = "publishing"
    BEHIND = "behind"
    HELD = "held"
    STANDBY = "standby"
    FENCED = "fenced"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class UplinkState:
    """How the uplink is, as one consistent value.

    *error* is what stands in the way now, since *failing_ns*; *confirmed_ns*
    the wall clock of the last round trip that the replica answered, 0 if there was none.
    """

    phase: Phase = Phase.CONNECTING
    error: ConfstreamError | None = None
    connected: bool = False
    epoch: int = 0
    position: Position = field(default_factory=Position)
    confirmed_ns: int = 0
    failing_ns: int = 0
    detail: str = ""
