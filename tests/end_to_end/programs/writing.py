"""Write through a journal and print each version once its write has returned: what is printed is acknowledged.

Arguments: tree, replica, first version. Runs until it is killed. Odd versions
are one file; even ones two files in a transaction, which belong together.
"""

import sys

from confstream import Journal
from tests.end_to_end.content import certified

FILES = 5


def main(tree: str, replica: str, first: int) -> None:
    """Write versions from *first* on."""
    with Journal.open(tree, replica, heartbeat_seconds=0) as journal:
        print("open", flush=True)  # noqa: T201 - the test reads it.
        version = first
        while True:
            if version % 2:
                name = f"file-{version % FILES}.yml"
                journal.write(name, certified(name, version), message=str(version))
            else:
                with journal.transaction(message=str(version)) as transaction:
                    transaction.write("pair-a.yml", certified("pair-a.yml", version))
                    transaction.write("pair-b.yml", certified("pair-b.yml", version))
            print(version, flush=True)  # noqa: T201 - likewise.
            version += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
