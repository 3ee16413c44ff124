"""Record what a restore is about to replace, so that it can be undone (P1).

Durable in the tree's journal first, whatever the replica does. Published only
by a journal that belongs to the replica's stream: a copy of the tree somewhere
else must not become the newest revision of a log that another writer keeps.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confstream import checkout
from confstream.clock import Clock, SystemClock
from confstream.errors import ConfstreamError, PartialError, RefusedError
from confstream.scan import Selection
from confstream.values import dataclass

PUBLISH_SECONDS = 10.0


def recording(
    *,
    selection: Selection | None = None,
    storage_options: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    actor: str = "",
    clock: Clock | None = None,
) -> Callable[[Path, str, str], str]:
    """Return a function of root, replica URL and message that records the present state and says where it is.

    It raises ``PartialError`` if a file cannot be read, for that one could
    not be brought back, and what the disk says if it cannot be written.
    """
    recorder = _Recorder(selection, dict(storage_options or {}), state_dir, actor, clock or SystemClock())
    return recorder.record


@dataclass(frozen=True)
class _Recorder:
    selection: Selection | None
    storage_options: Mapping[str, Any]
    state_dir: Path | None
    actor: str
    clock: Clock

    def record(self, root: Path, replica: str, message: str) -> str:
        stream, pending = self._capture(root, message)
        if not pending:
            return "what is replaced is on the replica already"
        if stream is None:
            return "what is replaced is kept in the local journal; the next writer publishes it"
        try:
            return f"what is replaced is revision {self._publish(root, replica)}"
        except ConfstreamError as error:
            return f"what is replaced is kept in the local journal, for it could not be published: {error}"

    def _capture(self, root: Path, message: str) -> tuple[str | None, int]:
        """Record the present state; return the journal's stream, and how much of it is not published."""
        # Most restores replace nothing, and need no journal.
        import secrets  # noqa: PLC0415

        from confstream.journal.contents import ContentCache  # noqa: PLC0415
        from confstream.journal.ledger import Ledger  # noqa: PLC0415
        from confstream.journal.recorder import Recorder  # noqa: PLC0415
        from confstream.revision import Authorship  # noqa: PLC0415

        state = checkout.prepare_state_dir(root, self.state_dir)
        owner = checkout.state_owner(root)
        with Ledger.open(state, clock=self.clock, new_id=secrets.token_bytes, owner=owner) as ledger:
            cache = ContentCache(state / "content")
            recorder = Recorder(root, ledger, cache, self.clock, self.selection, guards=False)
            recorder.recover(restore=False)
            captured = recorder.capture(None, (), Authorship("replicate", self.actor, message))
            if captured.held:
                raise RefusedError(f"what is to be replaced in {root} cannot be recorded: {captured.held}")
            for path in sorted([*captured.unreadable, *captured.unstable])[:1]:
                shown = path.decode("utf-8", "backslashreplace")
                raise PartialError(
                    f"{root}: {shown} cannot be read, so it could not be brought back; nothing is changed"
                )
            return ledger.stream, len(ledger.pending)

    def _publish(self, root: Path, replica: str) -> int:
        from confstream.journal.journal import Journal  # noqa: PLC0415 - as above

        with Journal.open(
            root,
            replica,
            storage_options=self.storage_options,
            selection=self.selection,
            state_dir=self.state_dir,
            heartbeat_seconds=0,
            clock=self.clock,
            capture=False,
            finish_restore=False,
            timeout_seconds=PUBLISH_SECONDS,
        ) as journal:
            journal.sync(PUBLISH_SECONDS)
            return journal.status().position.number
