"""HTTP as far as probes and scrapers speak it: one GET or HEAD for each connection, and its answer.

A thread for each connection, bounded in number, size and time: whatever comes
in cannot hold up the rest of the process. Nothing wakes up while nobody asks.
The library's server would be four times as large in memory as all of this.
"""

import contextlib
import logging
import select
import socket
import threading
from collections.abc import Callable

from confstream.clock import Clock, SystemClock
from confstream.events import about
from confstream.observe.address import Address

logger = logging.getLogger("confstream.observe")

CONNECTIONS_MAX = 16
HEAD_SIZE_MAX = 1 << 16
TEXT = "text/plain; charset=utf-8"
_TIMEOUT_SECONDS = 5.0
_CHUNK_SIZE = 1 << 14
_PAUSE_SECONDS = 1.0
_IN_VAIN_SIZE_MAX = 1 << 20
_END = b"\r\n\r\n"
_METHODS = ("GET", "HEAD")
_WORDS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}

Answer = Callable[[str], tuple[int, str, bytes]]
"""From a path to a status, a content type and a body."""


class Listener:
    """Answers on *address* with *answer*, from ``start`` to ``close``; ``OSError`` if the address is not to be had."""

    def __init__(self, address: Address, answer: Answer, clock: Clock | None = None) -> None:
        self._answer = answer
        self._clock = clock or SystemClock()
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._socket = _bound(address)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(str(host), int(port))
        self._ender, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="confstream-listen", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Free the address; answers that are on their way are not waited for."""
        self._ender.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._ended.close()
        self._socket.close()

    def _serve(self) -> None:
        both, end = select.poll(), select.poll()
        both.register(self._socket, select.POLLIN)
        for one in (both, end):
            one.register(self._ended, select.POLLIN)
        while self._ended.fileno() not in dict(both.poll()):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                continue
            except OSError:
                # No descriptor is left, most likely: asking again at once would not help.
                end.poll(_PAUSE_SECONDS * 1000)
                continue
            if not self._free.acquire(blocking=False):
                connection.close()
                continue
            try:
                threading.Thread(target=self._talk, args=(connection,), daemon=True, name="confstream-answer").start()
            except RuntimeError:
                # No thread is left either.
                connection.close()
                self._free.release()

    def _talk(self, connection: socket.socket) -> None:
        """Read a request and answer it, in a time that no client can make longer."""
        conversation = _Conversation(connection, self._clock)
        try:
            with connection, contextlib.suppress(OSError):
                # Of a client that went away or never spoke, nothing is said.
                self._respond(conversation)
        finally:
            self._free.release()

    def _respond(self, conversation: "_Conversation") -> None:
        head = conversation.head()
        line, _, _ = head.partition(b"\r\n")
        method, _, rest = line.decode("latin-1").partition(" ")
        target, _, version = rest.rpartition(" ")
        refused = 0
        if len(head) > HEAD_SIZE_MAX:
            refused = 414 if len(line) > HEAD_SIZE_MAX else 431
        elif not head:
            return
        elif not target or not version.startswith("HTTP/"):
            refused = 400
        elif method not in _METHODS:
            refused = 501
        if refused:
            conversation.say(refused, TEXT, f"{_WORDS[refused]}\n".encode())
            conversation.hear_out()
            return
        try:
            status, content_type, body = self._answer(target.partition("?")[0])
        except Exception:
            logger.exception("a request could not be answered; this is a bug in confstream", extra=about("bug"))
            status, content_type, body = 500, TEXT, b"see the log\n"
        conversation.say(status, content_type, body, with_body=method != "HEAD")


class _Conversation:
    """One request and one answer over *connection*."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._until = clock.elapsed_seconds() + _TIMEOUT_SECONDS

    def head(self) -> bytes:
        """Return the request up to the empty line; more than ``HEAD_SIZE_MAX`` bytes if that is longer."""
        found = b""
        while _END not in found and len(found) <= HEAD_SIZE_MAX:
            part = self._receive()
            if not part:
                return b""
            found += part
        return found.partition(_END)[0] if _END in found[: HEAD_SIZE_MAX + len(_END)] else found

    def say(self, status: int, content_type: str, body: bytes, *, with_body: bool = True) -> None:
        """Send the answer."""
        head = (
            f"HTTP/1.1 {status} {_WORDS.get(status, 'Unknown')}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self._allow()
        self._connection.sendall(head.encode("latin-1") + (body if with_body else b""))

    def hear_out(self) -> None:
        """Read what else comes, in vain: who still sends would never see the answer."""
        self._connection.shutdown(socket.SHUT_WR)
        left = _IN_VAIN_SIZE_MAX
        while left > 0 and (part := self._receive()):
            left -= len(part)

    def _receive(self) -> bytes:
        self._allow()
        return self._connection.recv(_CHUNK_SIZE)

    def _allow(self) -> None:
        left = self._until - self._clock.elapsed_seconds()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _bound(address: Address) -> socket.socket:
    """Return a socket that listens on *address*; without a host on every one, old and new."""
    both = not address.host and socket.has_dualstack_ipv6()
    is_new = both or ":" in address.host
    made = socket.socket(socket.AF_INET6 if is_new else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if both:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # In use means in use: no other process may take the port beside us.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address.host or ("::" if both else "0.0.0.0"), address.port))  # noqa: S104 - asked for: every interface
        made.listen(CONNECTIONS_MAX)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
