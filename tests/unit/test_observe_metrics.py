"""What a scrape shows: every metric that is declared, and no other; counters that only grow."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from confstream.errors import AccessDeniedError, NotFoundError
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.observe.metrics import METRICS, PINGS, exposition, names
from confstream.testing import fail_on
from tests.journals import Open, Replica, eventually
from tests.replicating import Run
from tests.vitals import NOW_NS, status, vitals

_SUFFIXES = ("_bucket", "_count", "_sum")


class Stream:
    """A stream with the vitals that a test gives."""

    def __init__(self, found: Vitals) -> None:
        self.meter = Meter()
        self._found = found

    def vitals(self) -> Vitals:
        return self._found


def _scrape(*streams: Stream, process: Meter | None = None) -> str:
    return exposition(streams, process or Meter()).decode()


def _samples(text: str) -> dict[str, float]:
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_every_declared_metric_is_shown_and_every_one_that_is_shown_is_declared() -> None:
    families = [one for one in text_string_to_metric_families(_scrape(Stream(vitals()))) if "confstream" in one.name]

    # The format writes the name of a counter's family without its ending.
    shown = {one.name + ("_total" if one.type == "counter" else "") for one in families}
    assert shown == names()
    assert all(one.documentation for one in families)


def test_every_metric_has_a_sample_from_the_start() -> None:
    stream = Stream(vitals())

    shown = {name.partition("{")[0] for name in _samples(_scrape(stream))}

    plain = {name for name in shown if name.startswith("confstream_") and not name.endswith(_SUFFIXES)}
    histograms = {name.removesuffix("_sum") for name in shown if name.endswith("_sum")}
    assert plain | histograms == names()


def test_every_metric_of_a_stream_has_its_name_as_a_label() -> None:
    samples = [name for name in _samples(_scrape(Stream(vitals()))) if name.startswith("confstream_")]

    without = [name for name in samples if 'stream="config"' not in name]
    assert {name.partition("{")[0] for name in without} == {"confstream_" + PINGS.name}


def test_no_metric_has_a_path_or_an_unbounded_label() -> None:
    labels = {label for metric in (*METRICS, PINGS) for label in metric.labels}

    assert labels == {"version", "status", "validator", "op", "reason", "kind", "outcome", "direction"}


def test_before_the_journal_is_open_a_scrape_shows_zeros() -> None:
    samples = _samples(_scrape(Stream(Vitals("config", NOW_NS, NOW_NS))))

    assert samples['confstream_up_to_date{stream="config"}'] == 0
    assert samples['confstream_position{stream="config"}'] == 0
    assert samples['confstream_health{status="degraded",stream="config"}'] == 1


def test_two_streams_are_told_apart() -> None:
    one, other = Stream(vitals()), Stream(vitals(status(pending=3), name="other"))
    one.meter.count("changes_total", op="put")

    samples = _samples(_scrape(one, other))

    assert samples['confstream_pending_changes{stream="config"}'] == 0
    assert samples['confstream_pending_changes{stream="other"}'] == 3
    assert samples['confstream_changes_total{op="put",stream="config"}'] == 1
    assert samples['confstream_changes_total{op="put",stream="other"}'] == 0


def test_what_a_meter_counts_under_an_unknown_name_or_label_is_not_shown() -> None:
    stream = Stream(vitals())
    stream.meter.count("changes_total", op="put", path="/config/secret")
    stream.meter.count("surprise_total")

    assert "secret" not in _scrape(stream)
    assert "surprise" not in _scrape(stream)


def test_counters_outlive_the_connection_and_say_how_requests_ended(
    root: Path, replica: Replica, run: Run, read: Callable[..., float]
) -> None:
    (root / "a.yml").write_text("a: 1\n")
    running = run().watching()
    running.until({"a.yml": b"a: 1\n"})
    before = read(running, "storage_requests_total", op="put", outcome="ok")
    # Denied: the connection is given up, and made anew.
    replica.plan.append(fail_on("put", times=1, error=AccessDeniedError("denied")))
    (root / "a.yml").write_text("a: [\n")
    running.until({"a.yml": b"a: [\n"})

    eventually(lambda: read(running, "storage_requests_total", op="put", outcome="ok") > before, "one more put")
    assert read(running, "storage_requests_total", op="put", outcome="denied") == 1
    assert read(running, "changes_total", op="put") == 2
    assert read(running, "validation_failures_total", validator="yaml") == 1
    assert read(running, "storage_bytes_total", direction="sent") > 0


def test_p10_suspicious_changes_are_counted_by_kind(root: Path, run: Run, read: Callable[..., float]) -> None:
    for number in range(5):
        (root / f"{number}").write_text("x" * 3000)
    running = run().watching()
    running.until({f"{number}": b"x" * 3000 for number in range(5)})

    (root / "0").write_text("")
    eventually(lambda: read(running, "suspicious_changes_total", kind="empty") == 1, "the blank file")
    (root / "1").write_text("x" * 100)
    eventually(lambda: read(running, "suspicious_changes_total", kind="shrink") == 1, "the shrunken file")
    for path in root.iterdir():
        if path.is_file():
            path.unlink()
    eventually(lambda: read(running, "suspicious_changes_total", kind="root_missing") == 1, "the empty directory")


def test_a_running_replicator_tells_its_vitals_from_any_thread(root: Path, run: Run) -> None:
    (root / "a.yml").write_text("a: 1\n")
    running = run()
    running.until({"a.yml": b"a: 1\n"})
    eventually(lambda: running.replicator.vitals().status is not None, "the journal")
    eventually(lambda: running.replicator.vitals().replica.answered_ns > 0, "an answer")

    found = running.replicator.vitals()

    assert found.name == root.name
    assert [(loop.name, loop.turns) for loop in found.loops] == [("capture", True), ("uplink", True)]
    assert found.scanned_ns > 0
    assert found.validators["yaml"] == ""
    assert found.ended == ""

    running.stop()
    assert running.replicator.vitals().ended == "stopped"
    assert running.replicator.vitals().status is not None


def test_a_journal_counts_its_restores_by_how_they_end(root: Path, start: Open) -> None:
    meter = Meter()
    with start(root, meter=meter) as journal:
        journal.write("a.yml", "a: 1\n")
        journal.write("a.yml", "a: 2\n")
        journal.restore(1)
        with pytest.raises(NotFoundError):
            journal.restore(99)

    reading = meter.read()
    assert reading.count("restores_total", outcome="restored") == 1
    assert reading.count("restores_total", outcome="failed") == 1
    assert sum(one.count for (name, _), one in reading.distributions.items() if name == "restore_duration_seconds") == 1


def test_a_restore_that_an_init_container_made_is_counted_by_the_writer_that_publishes_it(
    root: Path, run: Run, read: Callable[..., float]
) -> None:
    (root / ".confstream").mkdir()
    (root / ".confstream" / "restored").write_text('{"revision": 3, "by": "root", "path": null}')
    (root / "a.yml").write_text("a: 1\n")

    running = run()

    eventually(lambda: read(running, "restores_total", outcome="restored") == 1, "the restore to be counted")


@pytest.fixture
def read() -> Callable[..., float]:
    """Give a function that reads a counter of a running replicator."""
    return lambda running, name, **labels: running.replicator.meter.read().count(name, **labels)
