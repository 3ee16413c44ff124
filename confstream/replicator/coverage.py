"""What of its directory a replicator tracks, and what judges it: given, or by a profile that may be recognised."""

import logging
import os
from pathlib import Path

from confstream.checkout import state_owner
from confstream.errors import UsageError
from confstream.events import about
from confstream.scan import STATE_NAME, Selection
from confstream.tracking import Tracking, TrackOptions, track
from confstream.validate import Validators

logger = logging.getLogger("confstream.replicate")


class Coverage:
    """*selection* and *validators*; with *asked*, both come from the profile that it names or has recognised."""

    def __init__(
        self,
        root: Path,
        state_dir: Path | None,
        asked: TrackOptions | None,
        selection: Selection | None,
        validators: Validators | None,
    ) -> None:
        self.selection = selection
        self.validators = validators or Validators.default()
        self._root = root
        self._state_dir = state_dir
        self._asked = asked
        self._tracking: Tracking | None = None

    @property
    def is_outdated(self) -> bool:
        """Return whether the directory, which looked like no application's, looks like one's by now."""
        return self._tracking is not None and self._tracking.is_outdated(self._root)

    def decide(self) -> None:
        """Find out what is tracked, and say it; ``UsageError`` if there is no such directory."""
        if not self._root.is_dir():
            raise UsageError(f"{self._root} is not a directory: give the directory to protect, or create it first")
        if self._asked is None:
            return
        tracking = self._tracking = track(self._root, self._asked, self._state_dir, writes=True)
        self.selection, self.validators = tracking.selection, tracking.validators()
        name = tracking.profile.name
        logger.info("profile %s: %s", name, tracking.why, extra=about("profile", profile=name))
        if tracking.doubt:
            logger.warning("profile %s, but %s", name, tracking.doubt, extra=about("profile", profile=name))

    def remember(self) -> None:
        """Keep it beside the journal, whose directory is there by now."""
        if self._tracking is not None:
            state_dir = self._state_dir or self._root / os.fsdecode(STATE_NAME)
            self._tracking.remember(state_dir, state_owner(self._root))
