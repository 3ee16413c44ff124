"""What a process answers on ``--listen``, as tests read it."""

import http.client
import json
from dataclasses import dataclass
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
