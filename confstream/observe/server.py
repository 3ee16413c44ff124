"""The HTTP server on ``--listen``: a few answers for probes, scrapers and people. GET and HEAD, nothing else.

Threads of its own, bounded in number, size and time: whatever comes in cannot
hold up replication or the end of the process.
"""

import http.server
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from confstream.errors import UsageError
from confstream.events import about
from confstream.meter import Meter
from confstream.observe import metrics
from confstream.observe.address import Address
from confstream.observe.health import Level, asleep, health_of, unstarted
from confstream.observe.metrics import Observed

logger = logging.getLogger("confstream.observe")

CONNECTIONS_MAX = 16
_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_TEXT = "text/plain; charset=utf-8"
_NO_METRICS = b"the module prometheus_client cannot be imported: pip install prometheus-client\n"
_INDEX = b"confstream: /livez /startz /readyz /healthz /metrics\n"


class HealthServer:
    """Answers on *address* for *streams*, which may be others at each request. Use it in a ``with``.

    ``/livez``: the loops turn. ``/startz`` and ``/readyz``: the first look at
    the directory is done; a replica that does not answer changes neither.
    ``/healthz``: is everything protected, as JSON (see ``health``), 503 if
    not. ``/metrics``: for Prometheus. *process* counts what is no stream's.
    Raise ``UsageError`` if the address cannot be listened on.
    """

    def __init__(self, address: Address, streams: Callable[[], Sequence[Observed]], process: Meter) -> None:
        self._streams = streams
        self._metrics = _exposition(streams, process)
        try:
            self._server = _Server(address, self.answer)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen on {address}: {why}; give another address with --listen, or end what has it"
            ) from error
        host, port = self._server.server_address[:2]
        self.address = Address(str(host), int(port))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="confstream-listen", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        logger.info("listening on %s", self.address, extra=about("listening", address=str(self.address)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, accepted: str) -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body for *path*."""
        if path == "/metrics" and self._metrics is None:
            return HTTPStatus.NOT_IMPLEMENTED, _TEXT, _NO_METRICS
        if path == "/metrics" and self._metrics is not None:
            body, content_type = self._metrics(accepted)
            return HTTPStatus.OK, content_type, body
        if path == "/":
            return HTTPStatus.OK, _TEXT, _INDEX
        if path not in {"/livez", "/startz", "/readyz", "/healthz"}:
            return HTTPStatus.NOT_FOUND, _TEXT, _INDEX
        vitals = [stream.vitals() for stream in self._streams()]
        if path == "/healthz":
            health = health_of(vitals)
            body = json.dumps(health.document(), indent=1).encode() + b"\n"
            failing = health.status is Level.FAILING
            return HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK, "application/json", body
        wrong = asleep(vitals) if path == "/livez" else unstarted(vitals)
        body = "".join(f"{line}\n" for line in wrong or ["ok"]).encode("utf-8", "backslashreplace")
        return HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK, _TEXT, body


def _exposition(streams: Callable[[], Sequence[Observed]], process: Meter) -> Callable[[str], tuple[bytes, str]] | None:
    try:
        return metrics.exposition(streams, process)
    except ImportError as error:
        # P6: who cannot be scraped can still protect files, and says on the other paths how that is going.
        why = f"the module {error.name} cannot be imported: pip install prometheus-client"
        logger.error("/metrics answers 501: %s", why, extra=about("metrics_missing", error=why))  # noqa: TRY400 - nobody is helped by a trace
        return None


_Answer = Callable[[str, str], tuple[HTTPStatus, str, bytes]]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # In use means in use: no other process may take the port beside us.
    allow_reuse_address = True

    def __init__(self, address: Address, answer: _Answer) -> None:
        self.answer = answer
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._both = not address.host and socket.has_dualstack_ipv6()
        if self._both or ":" in address.host:
            self.address_family = socket.AF_INET6
        host = address.host or ("::" if self._both else "0.0.0.0")  # noqa: S104 - asked for: every interface
        super().__init__((host, address.port), _Handler)

    def server_bind(self) -> None:
        if self._both:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's own: it asks the name server who we are.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's own
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's own
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's own
        """Say nothing of a client that went away or never spoke."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_SECONDS
    server_version, sys_version = "confstream", ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own
        """Say nothing of requests: probes come every few seconds."""

    def _answer(self, *, with_body: bool) -> None:
        try:
            status, content_type, body = self.server.answer(
                self.path.partition("?")[0], self.headers.get("Accept") or ""
            )
        except Exception:
            logger.exception("a request could not be answered; this is a bug in confstream", extra=about("bug"))
            status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"see the log\n"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)
