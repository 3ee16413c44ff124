"""What a service of ``Type=notify`` tells its service manager: one datagram for each change."""

import contextlib
import socket
from collections.abc import Mapping


class Service:
    """Tells whoever listens at ``NOTIFY_SOCKET`` of *environ*; nothing where that is not set.

    A manager that does not listen is no reason to stop protecting files.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte in front of a name that is in no file system.
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def ready(self, status: str) -> None:
        """Say that the service is up."""
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Say that the end has begun."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(self._address)
            manager.send("\n".join(lines).encode())
