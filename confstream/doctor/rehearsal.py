"""The whole life of a configuration in a temporary directory: written, published, lost, restored, verified."""

import os
import stat
import tempfile
from pathlib import Path

from confstream.check import Check
from confstream.clock import Clock
from confstream.doctor.looking import fine, wrong
from confstream.errors import ConfstreamError
from confstream.journal.journal import Journal
from confstream.restorer import RestoreOptions, restore
from confstream.store.local import LocalStore
from confstream.verifier import verify

_PATH, _MODE = "config.yml", 0o640
_FIRST, _SECOND = b"mqtt:\n  host: broker\n", b"mqtt:\n  host: other\n" * 500
_SYNC_SECONDS = 30.0


def round_trip(clock: Clock) -> Check:
    """Return whether what is written comes back, byte for byte and with its mode."""
    name = "round trip"
    try:
        with tempfile.TemporaryDirectory(prefix="confstream-doctor-") as directory:
            return _rehearse(name, Path(directory), clock)
    except FileNotFoundError as error:
        advice = "set TMPDIR to a directory that can be written to, such as a tmpfs"
        return wrong(name, f"no temporary directory: {error.strerror or error}", advice, ConfstreamError)


def _rehearse(name: str, place: Path, clock: Clock) -> Check:
    tree, replica, restored = place / "tree", place / "replica", place / "restored"
    tree.mkdir()
    with Journal.open(tree, str(replica), author="doctor", heartbeat_seconds=0, clock=clock) as journal:
        journal.write(_PATH, _FIRST)
        (tree / _PATH).chmod(_MODE)
        journal.write(_PATH, _SECOND)
        journal.sync(timeout_seconds=_SYNC_SECONDS)
    restored.mkdir()
    for target, revision in ((restored, "1"), (tree, "latest")):
        (tree / _PATH).unlink(missing_ok=True)
        restore(str(replica), target, RestoreOptions(revision=revision))
    found = ((restored / _PATH).read_bytes(), (tree / _PATH).read_bytes())
    report = verify(LocalStore(replica))
    if found != (_FIRST, _SECOND) or stat.S_IMODE(os.stat(tree / _PATH).st_mode) != _MODE or not report.ok:  # noqa: PTH116
        return wrong(
            name, "what was restored is not what was written", "report it as a fault of confstream", ConfstreamError
        )
    return fine(name, "written, published, lost, restored and verified on a local replica")
