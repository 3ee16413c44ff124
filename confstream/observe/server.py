"""The HTTP server on ``--listen``: a few answers for probes, scrapers and people. GET and HEAD, nothing else.

Whatever comes in cannot hold up replication or the end of the process.
"""

import json
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from confstream.errors import UsageError
from confstream.events import about
from confstream.meter import Meter
from confstream.observe import exposition, metrics
from confstream.observe.address import Address
from confstream.observe.health import Level, asleep, health_of, unstarted
from confstream.observe.listener import TEXT, Listener
from confstream.observe.metrics import Observed

logger = logging.getLogger("confstream.observe")

_OK, _NOT_FOUND, _UNAVAILABLE = 200, 404, 503
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
        self._process = process
        try:
            self._listener = Listener(address, self.answer)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen on {address}: {why}; give another address with --listen, or end what has it"
            ) from error
        self.address = self._listener.address

    def __enter__(self) -> Self:
        self._listener.start()
        logger.info("listening on %s", self.address, extra=about("listening", address=str(self.address)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body for *path*."""
        if path == "/metrics":
            return _OK, exposition.TYPE, metrics.exposition(self._streams(), self._process)
        if path == "/":
            return _OK, TEXT, _INDEX
        if path not in {"/livez", "/startz", "/readyz", "/healthz"}:
            return _NOT_FOUND, TEXT, _INDEX
        vitals = [stream.vitals() for stream in self._streams()]
        if path == "/healthz":
            health = health_of(vitals)
            body = json.dumps(health.document(), indent=1).encode() + b"\n"
            failing = health.status is Level.FAILING
            return _UNAVAILABLE if failing else _OK, "application/json", body
        wrong = asleep(vitals) if path == "/livez" else unstarted(vitals)
        body = "".join(f"{line}\n" for line in wrong or ["ok"]).encode("utf-8", "backslashreplace")
        return _UNAVAILABLE if wrong else _OK, TEXT, body
