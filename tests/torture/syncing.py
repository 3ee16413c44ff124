"""Write through a journal, ask now and then for the replica to have it, and print what was acknowledged.

Arguments: tree, replica, first version, last version, client for S3. Prints ``wrote N`` once
a write returned and ``synced N`` once a sync did; with a last version it
ends after that, synced, else it runs until it is killed.
"""

import sys

from confstream import IntegrityError, Journal, UnavailableError

_SYNC_EVERY = 3
_PATIENCE_SECONDS = 3.0


def main(tree: str, replica: str, first: int, last: int, client: str) -> None:
    """Write the versions from *first* on."""
    options = {"s3_client": client}
    with Journal.open(tree, replica, storage_options=options, heartbeat_seconds=0, timeout_seconds=2.0) as journal:
        version = first
        while not last or version <= last:
            journal.write(f"file-{version % 5}.yml", f"version: {version}\n", message=str(version))
            print("wrote", version, flush=True)  # noqa: T201 - the test reads it.
            if version % _SYNC_EVERY == 0:
                try:
                    journal.sync(_PATIENCE_SECONDS)
                except (UnavailableError, IntegrityError):
                    # Written is written: what the replica does not have yet is in the journal. In such weather two
                    # answers in a row can be garbled, and then damage is what it looks like.
                    pass
                else:
                    print("synced", version, flush=True)  # noqa: T201 - likewise.
            version += 1
        journal.sync(_PATIENCE_SECONDS * 20)
        print("synced", version - 1, flush=True)  # noqa: T201 - likewise.


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
