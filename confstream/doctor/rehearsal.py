"""What an installation can do by itself: the whole life of a configuration in a temporary directory, a client of S3."""

import os
import stat
import tempfile
from pathlib import Path

from confstream.check import Check
from confstream.clock import Clock
from confstream.doctor.looking import fine, wrong
from confstream.errors import ConfstreamError, UnavailableError
from confstream.journal.journal import Journal
from confstream.requirements import LEAN
from confstream.restorer import RestoreOptions, restore
from confstream.store import Store
from confstream.store.fallback import CannotServeError
from confstream.store.lean import LeanStore
from confstream.store.local import LocalStore
from confstream.store.s3 import S3Store
from confstream.store.s3_choice import LeanSettings, has_certificates
from confstream.verifier import verify

_PATH, _MODE = "config.yml", 0o640
_FIRST, _SECOND = b"mqtt:\n  host: broker\n", b"mqtt:\n  host: other\n" * 500
_SYNC_SECONDS = 30.0
_NOWHERE = "http://127.0.0.1:1"
_ADVICE = "install s3fs and botocore again, with their data"


def round_trip(clock: Clock) -> Check:
    """Return whether what is written comes back, byte for byte and with its mode."""
    name = "round trip"
    try:
        with tempfile.TemporaryDirectory(prefix="confstream-doctor-") as directory:
            return _rehearse(name, Path(directory), clock)
    except FileNotFoundError as error:
        advice = "set TMPDIR to a directory that can be written to, such as a tmpfs"
        return wrong(name, f"no temporary directory: {error.strerror or error}", advice, ConfstreamError)


def s3_client() -> Check:
    """Return whether each client of S3 that is installed can be made, with all it needs; nobody is asked anything."""
    name = "S3 client"
    options = {"key": "none", "secret": "none", "endpoint_url": _NOWHERE, "config_kwargs": {"proxies": {}}}
    clients: dict[str, Store] = {"s3fs": S3Store("nowhere", storage_options=options, timeout_seconds=_SYNC_SECONDS)}
    if LEAN.is_installed:
        settings = LeanSettings(_NOWHERE, "us-east-1", "none", "none")
        clients["lean"] = LeanStore("nowhere", settings=settings, timeout_seconds=_SYNC_SECONDS)
    for client, store in clients.items():
        try:
            store.list()
        except (UnavailableError, CannotServeError) as error:
            # It has come as far as to knock at a port where nobody is: all that belongs to it is there.
            if f"cannot reach {_NOWHERE}" not in str(error):
                advice = _ADVICE if client == "s3fs" else _advice_for_lean()
                return wrong(name, str(error), advice, ConfstreamError)
        else:
            return wrong(name, f"something answers at {_NOWHERE}", "nothing should: try it elsewhere", ConfstreamError)
        finally:
            store.close()
    return fine(name, f"made, with all that belongs to it: {', '.join(clients)}")


def _advice_for_lean() -> str:
    if has_certificates(os.environ):
        return LEAN.advice
    return "install the system's certificates (the package ca-certificates); without them s3fs is used instead"


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
