"""Whether changes can be recorded in the journal, and what is said while they cannot (P7)."""

import logging

from confstream.clock import Clock
from confstream.complaint import Complaint
from confstream.errors import UnavailableError
from confstream.events import about

logger = logging.getLogger("confstream.replicate")


class Recording:
    """How the journal's disk takes what is given to it; a full one, most likely, if it does not."""

    def __init__(self, clock: Clock) -> None:
        self.trouble = ""
        """Why changes cannot be recorded now; empty if they can."""
        self._complaint = Complaint(logger, clock)

    def failed(self, error: UnavailableError) -> None:
        """Note that something could not be recorded: it is tried again until it can."""
        self.trouble = str(error)
        self._complaint.say(
            f"changes cannot be recorded, trying again: {error}", extra=about("unrecorded", error=error)
        )

    def works(self) -> None:
        """Note that nothing waits to be recorded any more, or that something was."""
        self.trouble = ""
        self._complaint.over("recovered: changes are recorded again", extra=about("recovered", what="recording"))
