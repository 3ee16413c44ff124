"""Ways to the server with what a cloud costs, made by the process of ``benchmarks.proxy``."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks.proxy import Seen
from tests.processes import ROOT
from tests.servers import stop


@dataclass(frozen=True)
class Link:
    """A way to the server that counts what goes over it."""

    endpoint: str
    _proxy: "Proxy"

    def take(self) -> list[Seen]:
        """Return the requests that were answered since the last call."""
        asked = {"take": int(self.endpoint.rpartition(":")[2])}
        return [Seen(**seen) for seen in self._proxy.ask(asked)["requests"]]


class Proxy:
    """The running process; made by ``run_proxy``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port

    def link(self, *, latency_seconds: float = 0.0, bytes_per_second: float = 0.0) -> Link:
        """Return a new link: each answer comes *latency_seconds* later; with a rate, no more than that in each way."""
        costs = {"port": self._port, "latency_seconds": latency_seconds, "bytes_per_second": bytes_per_second}
        return Link(f"http://127.0.0.1:{self.ask({'open': costs})['port']}", self)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have the process answer *request*."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the proxy has no pipes")
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def run_proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of the server on *port*."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.proxy"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            yield Proxy(process, port)
        finally:
            stop(process)


def operation(seen: Seen) -> str:
    """Return what a request is to whoever pays for it: its method, and LIST for a listing."""
    query = urlsplit(seen.target).query
    is_listing = seen.method == "GET" and any(
        part.startswith(("list-type", "prefix", "delimiter")) for part in query.split("&")
    )
    return "LIST" if is_listing else seen.method


def key(seen: Seen) -> str:
    """Return the key that a request names, behind the bucket."""
    return unquote(urlsplit(seen.target).path).lstrip("/").partition("/")[2]


def counted(requests: Sequence[Seen]) -> str:
    """Return how many requests of each kind there were, as a person writes it."""
    counts = Counter(operation(seen) for seen in requests)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
