"""A process between clients and an S3 server: it counts, delays and limits, and costs little.

Started by ``benchmarks.links``. Each line on stdin is a request in JSON, each
line on stdout its answer: ``open`` a link and get its port, ``take`` what went
over a link since the last time.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

_HEAD_END = b"\r\n\r\n"
_BODILESS = {"204", "304"}


@dataclass
class Seen:
    """One request: when it began and when its client saw the answer begin, on the monotonic clock of the machine."""

    began: float
    method: str
    target: str
    answered: float = 0.0
    status: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass
class Link:
    """A way to the server at *port*, with its own costs."""

    port: int
    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    free_at: dict[str, float] = field(default_factory=dict)

    def due(self, way: str, size: int, now: float) -> float:
        """Return when *size* bytes that arrive *now* are through: the limit holds for all connections together."""
        if self.bytes_per_second:
            now = max(now, self.free_at.get(way, 0.0)) + size / self.bytes_per_second
            self.free_at[way] = now
        return now + (self.latency_seconds if way == "down" else 0.0)


class Messages:
    """Finds where HTTP messages begin and end in a stream, and keeps none of it."""

    def __init__(self, on_head: Callable[[bytes], bool]) -> None:
        """*on_head* is told of each head, and says whether a body may follow."""
        self._on_head = on_head
        self._buffer = b""
        self._left = 0
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
            elif self._chunked:
                data = self._next_chunk(self._buffer + data)
            else:
                data = self._next_head(self._buffer + data)

    def _next_head(self, data: bytes) -> bytes:
        head, end, rest = data.partition(_HEAD_END)
        self._buffer = b"" if end else data
        if not end:
            return b""
        fields = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if self._on_head(head):
            self._chunked = fields.get(b"transfer-encoding", b"").endswith(b"chunked")
            self._left = 0 if self._chunked else int(fields.get(b"content-length", b"0"))
        return rest

    def _next_chunk(self, data: bytes) -> bytes:
        line, end, rest = data.partition(b"\r\n")
        self._buffer = b"" if end else data
        if not end:
            return b""
        size = int(line.split(b";")[0] or b"0", 16)
        self._left = size + 2
        self._chunked = size > 0
        return rest


class Side(asyncio.Protocol):
    """One of the two connections; what it receives goes to *other* when it is due."""

    def __init__(self, way: str, link: Link, on_data: Callable[[bytes], None]) -> None:
        self.other: Side | None = None
        self._way = way
        self._link = link
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._waiting: deque[tuple[float, bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on what came before the connection stood."""
        self._transport = cast("asyncio.Transport", transport)
        for data in self._early:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Count, and send on now or later; the order stays."""
        self._on_data(data)
        now = self._loop.time()
        due = self._link.due(self._way, len(data), now)
        if due <= now and not self._waiting:
            self._pass_on(data)
            return
        self._waiting.append((due, data))
        if len(self._waiting) == 1:
            self._loop.call_at(due, self._release)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side, once it has everything."""
        del exc  # However it ended, it did.
        if self._waiting:
            self._waiting.append((0.0, b""))
        elif self.other is not None:
            self.other.end()

    def write(self, data: bytes) -> None:
        """Send *data* to the peer of this side."""
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def end(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()

    def _release(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self._pass_on(self._waiting.popleft()[1])
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._release)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            return
        if data:
            self.other.write(data)
        else:
            self.other.end()


class Exchange:
    """The requests and answers of one connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._open: deque[Seen] = deque()
        self._sending: Seen | None = None
        self._receiving: Seen | None = None
        self._requests = Messages(self._request)
        self._answers = Messages(self._answer)

    def sent(self, data: bytes) -> None:
        """Look at what the client sent."""
        self._requests.feed(data)
        if self._sending is not None:
            self._sending.sent_bytes += len(data)

    def received(self, data: bytes) -> None:
        """Look at what the server answered."""
        self._answers.feed(data)
        if self._receiving is not None:
            self._receiving.received_bytes += len(data)

    def _request(self, head: bytes) -> bool:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self._sending = Seen(self._loop.time(), method, target)
        self._open.append(self._sending)
        self._link.seen.append(self._sending)
        return True

    def _answer(self, head: bytes) -> bool:
        status = head.split(b" ", 2)[1].decode("latin-1")
        if status.startswith("1") or not self._open:
            return False
        self._receiving = self._open.popleft()
        self._receiving.status = int(status)
        self._receiving.answered = self._loop.time() + self._link.latency_seconds
        return self._receiving.method != "HEAD" and status not in _BODILESS


def connect(link: Link) -> Side:
    """Return the side of a new client, with the server's side on its way."""
    exchange = Exchange(link)
    client = Side("up", link, exchange.sent)
    server = Side("down", link, exchange.received)
    client.other, server.other = server, client
    loop = asyncio.get_running_loop()
    task = loop.create_task(loop.create_connection(lambda: server, "127.0.0.1", link.port))
    task.add_done_callback(lambda done: client.end() if done.exception() else None)
    return client


async def answer(links: dict[int, Link], asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is *asked*, and return the answer."""
    if "open" in asked:
        link = Link(**asked["open"])
        listener = await asyncio.get_running_loop().create_server(lambda: connect(link), "127.0.0.1", 0, backlog=512)
        port = listener.sockets[0].getsockname()[1]
        links[port] = link
        return {"port": port}
    link = links[asked["take"]]
    # What has no answer yet is told the next time.
    done = [seen for seen in link.seen if seen.status]
    link.seen = [seen for seen in link.seen if not seen.status]
    return {"requests": [asdict(seen) for seen in done]}


async def serve() -> None:
    """Answer until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    links: dict[int, Link] = {}
    while line := await reader.readline():
        print(json.dumps(await answer(links, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
