"""A small HTTP proxy in front of a server, that counts requests and fails as told.

Real sockets and threads: what a client library does when a connection breaks
shows only when a connection breaks.
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

_TIMEOUT_SECONDS = 30.0


@dataclass
class Rule:
    """What to do to the requests of *method* whose path contains *path*: the next *times* after *skip*.

    ``cut`` lets the server apply the request and drops the answer, ``reset``
    breaks the connection before the server sees anything, ``blackhole`` never
    answers, ``status`` answers with *status* and *body* itself; ``truncate``
    ends the answer's body in the middle. ``delay`` waits for *seconds* first,
    ``late`` breaks the connection and lets the server apply the request after
    that, ``half`` gives the server half of its body. ``duplicate`` sends it twice and
    gives the second answer. ``long`` and ``short`` say that the answer's body
    is longer, or shorter, than it is.

    ``reached`` is called with ``asked`` when the whole request has come, with
    ``applied`` when the server has answered, and with ``answered`` when the
    client has been sent that, as far as it comes to it; with ``pass`` nothing else is done.
    """

    action: str
    method: str = "PUT"
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    body: bytes = b""
    seconds: float = 0.0
    reached: Callable[[str], None] = lambda _stage: None


_PASS = Rule("pass")


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)


class CuttingProxy:
    """Forwards to *host*:*port*; ``endpoint`` is what the client is given."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._sockets: set[socket.socket] = set()
        self._closed = threading.Event()
        self.seen: list[Seen] = []
        self.weather: Callable[[Seen], Rule | None] | None = None
        """What decides where no rule does; asked by one thread at a time."""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """Return the URL of this proxy."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def counts(self) -> Counter[str]:
        """Return how many requests of each method arrived."""
        with self._lock:
            return Counter(seen.method for seen in self.seen)

    def fail(self, action: str, **details: object) -> Rule:
        """Add a rule, see ``Rule``; the first that matches a request decides."""
        rule = Rule(action, **details)  # type: ignore[arg-type]
        with self._lock:
            self._rules.append(rule)
        return rule

    def reset(self) -> None:
        """Forget all rules and all requests."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()

    def refuse(self) -> None:
        """Stop listening, so that every new connection is refused, and break those there are."""
        self._stop_listening()
        self._break_all()

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self._stop_listening()
        self._break_all()

    def _stop_listening(self) -> None:
        # Closing alone does not wake the thread in accept(), and the port would stay open with it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _break_all(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for broken in sockets:
            _reset(broken)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError), client.makefile("rb") as reader, contextlib.ExitStack() as stack:
            server: tuple[socket.socket, BinaryIO] | None = None
            while (head := _read_head(reader)) is not None:
                rule = self._judge(head)
                action = "" if rule is None else rule.action
                if action in ("blackhole", "delay"):
                    self._closed.wait(_TIMEOUT_SECONDS if rule is None or action == "blackhole" else rule.seconds)
                if action in ("blackhole", "reset"):
                    break
                if _header(head, "expect") == "100-continue":
                    client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = _read_body(reader, head)
                reached = _PASS.reached if rule is None else rule.reached
                reached("asked")
                if rule is not None and action == "status":
                    client.sendall(_answer(rule))
                    continue
                if rule is not None and action == "late":
                    # Whoever asked gives up now; the server hears of it when nobody expects that any more.
                    _reset(client)
                    self._closed.wait(rule.seconds)
                if server is None:
                    target = stack.enter_context(socket.create_connection(self._target, _TIMEOUT_SECONDS))
                    server = (target, stack.enter_context(target.makefile("rb")))
                if not _forward(client, server, _without(head, b"expect") + body, action, reached):
                    break
        with self._lock:
            self._sockets.discard(client)
        _reset(client)

    def _judge(self, head: bytes) -> Rule | None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        with self._lock:
            self.seen.append(Seen(method, path, headers))
            for rule in self._rules:
                if rule.method in ("*", method) and rule.path in path:
                    if rule.skip > 0:
                        rule.skip -= 1
                    elif rule.times > 0:
                        rule.times -= 1
                        return rule
            return self.weather(self.seen[-1]) if self.weather is not None else None


def _forward(
    client: socket.socket,
    server: tuple[socket.socket, BinaryIO],
    request: bytes,
    action: str,
    reached: Callable[[str], None],
) -> bool:
    """Let the server apply *request*; return whether the client got its whole answer."""
    target, answers = server
    if action == "half":
        # Not of the head: what comes after a cut head some servers take for granted, and create an empty object.
        head_size = request.index(b"\r\n\r\n") + 4
        target.sendall(request[: (head_size + len(request)) // 2])
        return False
    target.sendall(request)
    if action == "duplicate":
        _read_answer(answers, request)
        target.sendall(request)
    head, body = _read_answer(answers, request)
    reached("applied")
    if action == "truncate":
        client.sendall(head + body[: len(body) // 2])
    if action in ("long", "short"):
        client.sendall(_lying(head, len(body) // 2 if action == "short" else len(body) + 100) + body)
    if not head or action in ("cut", "late", "truncate", "long", "short"):
        return False
    client.sendall(head + body)
    reached("answered")
    return True


def _read_answer(answers: BinaryIO, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of the server's answer to *request*; nothing if there is none."""
    head = _read_head(answers)
    if head is None:
        return b"", b""
    has_body = not request.startswith(b"HEAD ") and b" 204 " not in head[:16] and b" 304 " not in head[:16]
    return head, _read_body(answers, head) if has_body else b""


def _read_head(reader: BinaryIO) -> bytes | None:
    lines = []
    while True:
        line = reader.readline()
        if not line:
            return None
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)


def _read_body(reader: BinaryIO, head: bytes) -> bytes:
    """Return the body as it is on the wire, chunk sizes included."""
    if "chunked" in _header(head, "transfer-encoding"):
        parts = []
        while True:
            line = reader.readline()
            size = int(line.split(b";")[0], 16)
            parts += [line, reader.read(size + 2)]
            if size == 0:
                return b"".join(parts)
    length = int(_header(head, "content-length") or 0)
    return reader.read(length)


def _header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip().lower()
    return ""


def _without(head: bytes, name: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(name + b":"))


def _lying(head: bytes, length: int) -> bytes:
    """Return *head* with another *length* of the body, unless that comes in chunks, which have their own."""
    lines = [
        b"Content-Length: %d" % length if line.lower().startswith(b"content-length:") else line
        for line in head.split(b"\r\n")
    ]
    return b"\r\n".join(lines)


def _answer(rule: Rule) -> bytes:
    head = f"HTTP/1.1 {rule.status} Canned\r\nContent-Type: application/xml\r\nContent-Length: {len(rule.body)}\r\n\r\n"
    return head.encode() + rule.body


def _reset(broken: socket.socket) -> None:
    """Close with RST instead of FIN: a peer that died says no goodbye."""
    with contextlib.suppress(OSError):
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.shutdown(socket.SHUT_RDWR)
    broken.close()


def error_body(code: str, extra: str = "") -> bytes:
    """Return the body with which S3 says *code*."""
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>canned</Message>{extra}</Error>".encode()
