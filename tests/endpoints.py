"""What a process answers on ``--listen``, as tests read it, and a switch that it may ping."""

import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import PATIENCE_SECONDS, Process

LISTEN = ("--listen", "127.0.0.1:0")


class Endpoints:
    """The answers of *writer*, which was started with ``LISTEN``, or in its place those at *address*."""

    def __init__(self, writer: Process, address: str = "") -> None:
        self._writer = writer
        self.address = address or writer.wait_for_line("listening on ").rpartition(" ")[2].strip()

    def get(self, path: str) -> tuple[int, str]:
        """Return status code and text of *path*."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @property
    def health(self) -> dict[str, Any]:
        """Return the document of ``/healthz``, with its status code as ``code``."""
        code, text = self.get("/healthz")
        document = json.loads(text)
        assert isinstance(document, dict)
        return {**document, "code": code}

    @property
    def status(self) -> str:
        """Return ``ok``, ``degraded`` or ``failing``."""
        return str(self.health["status"])

    def reasons(self) -> dict[str, Any]:
        """Return why streams are not well, by the reason's name."""
        return {reason["reason"]: reason for stream in self.health["streams"] for reason in stream["reasons"]}

    def wait_for_reason(self, name: str, *, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the reason *name* once it is there."""
        self._writer.wait_until(lambda: name in self.reasons(), f"the reason {name}", seconds=seconds)
        found = self.reasons()[name]
        assert isinstance(found, dict)
        return found

    def wait_for_health(self) -> None:
        """Return once nothing is wrong."""
        self._writer.wait_until(lambda: self.status == "ok", "health to be ok")
        assert self.get("/healthz")[0] == HTTPStatus.OK

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of the metric *name*, without its prefix, whose labels include *labels*."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        found = [
            sample.value
            for sample in samples
            if sample.name == f"confstream_{name}" and labels.items() <= sample.labels.items()
        ]
        assert len(found) == 1, (name, labels, found)
        return float(found[0])


@dataclass(frozen=True, slots=True)
class Switch:
    """A dead man's switch on loopback: its *url*, and the paths and bodies of what it was told."""

    url: str
    seen: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def run_switch() -> Iterator[Switch]:
    """Run a switch that takes every ping."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()
            switch.seen.append((self.path, body))

        do_POST = do_GET  # noqa: N815 - the library's own

        def log_message(self, *_arguments: object) -> None:
            """Be silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        switch = Switch(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield switch
        server.shutdown()
        thread.join()
