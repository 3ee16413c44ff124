"""Leave an orphan that ends at once, and say whether somebody buries it: what daemons and shells do all day."""

import os
import sys
import threading

from confstream import SystemClock
from tests.servers import wait_until

_PATIENCE_SECONDS = 20


def main(code: str) -> None:
    """Say "buried" when the orphan is gone for good, end with *code*; without a code, wait for a signal first."""
    reader, writer = os.pipe()
    parent = os.fork()
    if not parent:
        orphan = os.fork()
        if orphan:
            os.write(writer, str(orphan).encode())
        os._exit(0)
    os.waitpid(parent, 0)
    orphan = int(os.read(reader, 16))
    wait_until(lambda: not _exists(orphan), _PATIENCE_SECONDS, "somebody to bury the orphan")
    print("buried", flush=True)  # noqa: T201 - for the test.
    if not code:
        SystemClock().wait(threading.Event(), _PATIENCE_SECONDS)
    sys.exit(int(code or 1))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1])
