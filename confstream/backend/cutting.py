"""A connection that breaks after the server has answered and before we hear of it.

A small TCP proxy on loopback: bytes go through as they are, until it is told
to cut; then the answer to a large enough request is thrown away, and the
connection with it. It never looks into what it forwards, so TLS stays TLS: for
``https`` the client is told to use it as its HTTP proxy, and asks for a tunnel.
"""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16
_HEAD_BYTES_MAX = 1 << 14
_PORTS = {"http": 80, "https": 443}


class CuttingProxy:
    """Forwards to *endpoint*; ``options`` sends a client here. ``arm`` it before what is to be cut."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{endpoint} is no http or https endpoint")
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._is_tunnel = parts.scheme == "https"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._size_bytes = 0
        self._left = 0
        self.cuts = 0
        """How many answers were cut so far."""
        threading.Thread(target=self._accept, daemon=True, name="confstream-cutting").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def options(self, storage_options: dict[str, object]) -> dict[str, object]:
        """Return *storage_options* of an S3 store with their way to the server through here."""
        if self._is_tunnel:
            config = _mapping(storage_options.get("config_kwargs"))
            return {**storage_options, "config_kwargs": {**config, "proxies": {"https": self.url}}}
        client = _mapping(storage_options.get("client_kwargs"))
        client.pop("endpoint_url", None)
        return {**storage_options, "client_kwargs": client, "endpoint_url": self.url}

    def arm(self, size_bytes: int, times: int) -> None:
        """Cut the next *times* answers to requests that are at least *size_bytes* long."""
        with self._lock:
            self._size_bytes, self._left = size_bytes, times
            for pair in self._pairs:
                pair.sent_bytes = 0

    def disarm(self) -> None:
        """Let everything through again."""
        self.arm(0, 0)

    def close(self) -> None:
        """End every connection, and listen no more."""
        # Closing alone does not wake the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.end()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="confstream-cutting").start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_TIMEOUT_SECONDS)
        try:
            host, port = self._asked(client) if self._is_tunnel else (self._host, self._port)
            server = socket.create_connection((host, port), _TIMEOUT_SECONDS)
            if self._is_tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        with self._lock:
            self._pairs.add(pair)
        threading.Thread(target=self._answer, args=(pair,), daemon=True, name="confstream-cutting").start()
        with contextlib.suppress(OSError):
            while part := client.recv(_CHUNK_BYTES):
                with self._lock:
                    pair.sent_bytes += len(part)
                server.sendall(part)
        self._end(pair)

    def _answer(self, pair: "_Pair") -> None:
        with contextlib.suppress(OSError):
            while part := pair.server.recv(_CHUNK_BYTES):
                if self._cuts(pair):
                    break
                pair.client.sendall(part)
        self._end(pair)

    def _cuts(self, pair: "_Pair") -> bool:
        with self._lock:
            if not self._left or pair.sent_bytes < self._size_bytes:
                return False
            self._left -= 1
            self.cuts += 1
            return True

    def _end(self, pair: "_Pair") -> None:
        with self._lock:
            self._pairs.discard(pair)
        pair.end()

    def _asked(self, client: socket.socket) -> tuple[str, int]:
        """Return where a tunnel is asked to; only to the endpoint, or to a bucket's name below it."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = client.recv(1)
            if not part or len(head) > _HEAD_BYTES_MAX:
                raise ConnectionError("no request for a tunnel")
            head += part
        method, _, rest = head.partition(b" ")
        host, _, port = rest.split(b" ")[0].decode("ascii", "replace").rpartition(":")
        host = host.strip("[]")
        if method != b"CONNECT" or not port.isdigit() or not (host == self._host or host.endswith(f".{self._host}")):
            raise ConnectionError("not a tunnel to the endpoint")
        return host, int(port)


class _Pair:
    """The two halves of one connection; *sent_bytes* went to the server since the proxy was armed."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.sent_bytes = 0

    def end(self) -> None:
        """Break both halves, whoever waits for them."""
        for half in (self.client, self.server):
            with contextlib.suppress(OSError):
                half.shutdown(socket.SHUT_RDWR)
            half.close()


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
