"""What a restore leaves for the next writer: who restored what, so that the revision that records it says so."""

import json
import logging
from pathlib import Path

from confstream.errors import UsageError
from confstream.events import about
from confstream.journal.writes import check_authorship
from confstream.revision import Authorship

logger = logging.getLogger("confstream.journal")

RESTORED = Path(".confstream") / "restored"
"""Where a restore leaves a note for the next writer, below the tree."""


def restored_note(root: Path) -> Authorship | None:
    """Return who restored what, if a restore left its note for the next writer."""
    path = root / RESTORED
    try:
        note = json.loads(path.read_bytes())
        what = note.get("path") or "the tree"
        where = f"revision {note['revision']}" + (f" of the fork {note['fork']}" if note.get("fork") else "")
        made = Authorship("restore", str(note.get("by", "")), f"restored {what} to {where}")
        return check_authorship(made)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, UsageError) as error:
        said = about("note_unreadable", error=error)
        logger.warning("%s cannot be read, who restored what is not recorded: %s", path, error, extra=said)
        return Authorship("restore", "", "restored; the note of it could not be read")
