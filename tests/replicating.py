"""Replicators for tests: one that runs in a thread, is quick, and tells how it ended."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confstream.replicator import ReplicateOptions, ReplicateReport, Replicator
from tests.journals import PATIENCE_SECONDS, Replica, eventually


class Running:
    """A replicator in a thread."""

    def __init__(self, root: Path, replica: Replica, selection: Any = None, **options: Any) -> None:
        quick = {
            "settle_seconds": 0.2, "close_seconds": 0.01, "settle_seconds_max": 2.0, "quiet_seconds": 0.1,
            "scan_seconds": 30.0, "poll_seconds": 0.05, "shutdown_seconds": 5.0, "heartbeat_seconds": 0.0,
        }  # fmt: skip
        self.replica = replica
        self.replicator = Replicator(root, replica.url, ReplicateOptions(**{**quick, **options}), selection=selection)
        self.report: ReplicateReport | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.report = self.replicator.run()
        except BaseException as error:  # noqa: BLE001 - told to the test.
            self.error = error

    def until(self, files: dict[str, bytes]) -> None:
        eventually(
            lambda: self.error is not None or (self.replica.head > 0 and self.replica.files() == files),
            f"{sorted(files)} on the replica",
        )
        assert self.error is None, self.error

    def watching(self) -> "Running":
        """Wait until it has taken its first look."""
        eventually(lambda: self.error is not None or self.replicator._scan_at > 0, "the first look")
        return self

    def join(self) -> None:
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "it does not end"

    def stop(self) -> ReplicateReport:
        self.replicator.signal(signal.SIGTERM)
        self.join()
        assert self.report is not None, self.error
        return self.report


Run = Callable[..., Running]
