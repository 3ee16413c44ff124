"""What a running ``replicate --listen 127.0.0.1:0`` answers: its health and its metrics."""

import http.client
import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import PATIENCE_SECONDS, Process

LISTEN = ("--listen", "127.0.0.1:0")


class Endpoints:
    """The answers of *writer*, which was started with ``LISTEN``."""

    def __init__(self, writer: Process) -> None:
        self._writer = writer
        self._address = writer.wait_for_line("listening on ").rpartition(" ")[2].strip()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of the answer."""
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def reasons(self) -> dict[str, Any]:
        """Return why the only stream is not well, by the reason's name."""
        (stream,) = json.loads(self.get("/healthz")[1])["streams"]
        return {reason["reason"]: reason for reason in stream["reasons"]}

    def wait_for_reason(self, name: str) -> dict[str, Any]:
        """Return the reason *name* once it is there."""
        self._writer.wait_until(lambda: name in self.reasons(), f"the reason {name}")
        found = self.reasons()[name]
        assert isinstance(found, dict)
        return found

    def wait_for_health(self) -> None:
        """Return once nothing is wrong."""
        self._writer.wait_until(
            lambda: not {reason for reason, why in self.reasons().items() if why["level"] != "info"}, "health"
        )
        assert self.get("/healthz")[0] == http.HTTPStatus.OK

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
