"""What a process answers on ``--listen``, as tests read it, and a switch that it may ping."""

import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.processes import Process

LISTEN = ("--listen", "127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The answers of one process."""

    address: str

    @classmethod
    def of(cls, process: Process) -> "Endpoints":
        """Return those of *process*, which was started with ``LISTEN``."""
        return cls(process.wait_for_line("listening on ").split("listening on ")[1].split()[0].strip('",'))

    def get(self, path: str) -> tuple[int, str]:
        """Return status code and text of *path*."""
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
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

    @property
    def reasons(self) -> set[str]:
        """Return the names of all reasons of all streams."""
        return {reason["reason"] for stream in self.health["streams"] for reason in stream["reasons"]}

    @property
    def metrics(self) -> dict[str, float]:
        """Return every sample by its name with its labels but ``stream``: ``changes_total{op="put"}``."""
        found: dict[str, float] = {}
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith("confstream_"):
                name, _, value = line.removeprefix("confstream_").rpartition(" ")
                name, _, labels = name.partition("{")
                kept = ",".join(one for one in labels.rstrip("}").split(",") if one and not one.startswith("stream="))
                found[f"{name}{{{kept}}}" if kept else name] = float(value)
        return found


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
