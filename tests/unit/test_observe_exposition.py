"""The text of a scrape, as prometheus-client reads it, and writes it itself."""

import sys

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Reference
from prometheus_client.parser import text_string_to_metric_families

from confstream.observe.exposition import TYPE, Family, Sample, of_process, text

HOSTILE = 'a "b" \\ c\nd {e="f"} ä'


class _Collector:
    """Gives the library what it is to write."""

    def __init__(self, *families: Reference) -> None:
        self._families = families

    def collect(self) -> list[Reference]:
        """Return it."""
        return list(self._families)


def test_the_text_is_what_prometheus_client_writes_byte_for_byte() -> None:
    gauge = GaugeMetricFamily("files", "Files, \\ and\nmore.", labels=["stream"])
    gauge.add_metric([HOSTILE], 3)
    counter = CounterMetricFamily("changes_total", "Changes.", labels=["stream", "op"])
    counter.add_metric(["one", "put"], 1.5)
    histogram = HistogramMetricFamily("seconds", "How long.", labels=["stream"])
    histogram.add_metric(["one"], [("0.5", 1), ("+Inf", 2)], 0.75)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(gauge, counter, histogram))

    written = text(
        [
            Family("files", "gauge", "Files, \\ and\nmore.", [Sample({"stream": HOSTILE}, 3)]),
            Family("changes_total", "counter", "Changes.", [Sample({"stream": "one", "op": "put"}, 1.5)]),
            Family(
                "seconds",
                "histogram",
                "How long.",
                [
                    Sample({"stream": "one", "le": "0.5"}, 1, "_bucket"),
                    Sample({"stream": "one", "le": "+Inf"}, 2, "_bucket"),
                    Sample({"stream": "one"}, 2, "_count"),
                    Sample({"stream": "one"}, 0.75, "_sum"),
                ],
            ),
        ]
    )

    assert written == generate_latest(registry)


def test_the_content_type_is_that_of_the_format() -> None:
    assert TYPE == CONTENT_TYPE_PLAIN_0_0_4


def test_a_name_that_is_not_unicode_costs_no_scrape() -> None:
    written = text([Family("files", "gauge", "Files.", [Sample({"stream": "caf\udce9"}, 1)])]).decode()

    (family,) = text_string_to_metric_families(written)
    assert [sample.labels for sample in family.samples] == [{"stream": "caf?"}]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_of_the_process_is_told_what_every_exporter_tells() -> None:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    expected = {one.name: one for one in text_string_to_metric_families(generate_latest(registry).decode())}

    found = {one.name: one for one in text_string_to_metric_families(text(of_process()).decode())}

    assert {name: (one.type, one.documentation) for name, one in found.items()} == {
        name: (one.type, one.documentation) for name, one in expected.items()
    }
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert found[name].samples[0].value == expected[name].samples[0].value
    for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes"):
        assert found[name].samples[0].value == pytest.approx(expected[name].samples[0].value, rel=0.5)
