"""Every metric, declared once; and the text of ``/metrics``.

Gauges are read from vitals when somebody asks, counters and times from the
meters that the working parts feed. Labels have few, fixed values, and never a
path (P14). What a meter counts under a name that is not declared here is not shown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

from confstream import guards
from confstream.journal import left_out
from confstream.journal.phase import Phase
from confstream.journal.vitals import Vitals
from confstream.meter import BUCKETS_SECONDS, Distribution, Meter, Reading
from confstream.observe.health import Level, health_of, up_to_date
from confstream.store.contact import OUTCOMES

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

PREFIX = "confstream_"
RESTORES = ("restored", "skipped_present", "no_replica", "failed")


class Observed(Protocol):
    """A stream that can be asked how it is, from any thread."""

    @property
    def meter(self) -> Meter:
        """Return what counts for it."""

    def vitals(self) -> Vitals:
        """Return how it is at this moment."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its *name* without the prefix, kind, help, and *labels* besides ``stream``.

    A gauge has *value*, a number or one by the value of its only label; what
    a meter feeds has *always*: the values of its labels that are shown from the
    start, so that the first increase is one.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    value: Callable[[Vitals], float | Mapping[str, float]] | None = None
    always: Callable[[Vitals], Iterable[tuple[str, ...]]] = lambda _vitals: ()


def _gauge(name: str, text: str, value: Callable[[Vitals], float | Mapping[str, float]], *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels, value)


def _counter(name: str, text: str, **always: Sequence[str]) -> Metric:
    shown = tuple(product(*always.values()))
    return Metric(name, "counter", text, tuple(always), always=lambda _vitals: shown)


def _histogram(name: str, text: str, **always: Sequence[str]) -> Metric:
    return replace(_counter(name, text, **always), kind="histogram")


def _status(read: Callable[[Any], float]) -> Callable[[Vitals], float]:
    return lambda vitals: 0.0 if vitals.status is None else read(vitals.status)


def _is_fenced(vitals: Vitals) -> bool:
    return vitals.status is not None and vitals.status.phase in {Phase.FENCED, Phase.STANDBY}


def _levels(vitals: Vitals) -> dict[str, float]:
    now = health_of([vitals]).status
    return {level.value: float(level is now) for level in (Level.OK, Level.DEGRADED, Level.FAILING)}


_OPERATIONS = ("put", "replace", "get", "list", "delete")

METRICS = (
    _gauge("build_info", "Always 1; the label has the version.", lambda vitals: {vitals.version: 1.0}, "version"),
    _gauge("start_time_seconds", "When the stream was started.", lambda vitals: vitals.started_ns / 1e9),
    _gauge("health", "1 for what /healthz says of the stream, 0 for the rest.", _levels, "status"),
    _gauge("up_to_date", "1 if the replica provably holds all that is in the directory.", up_to_date),
    _gauge("replication_lag_seconds", "Age of the oldest revision that the replica does not hold, 0 if it holds all.",
           _status(lambda status: status.lag_seconds)),
    _gauge("last_success_timestamp_seconds", "The last round trip to the replica that succeeded, 0 if none did.",
           _status(lambda status: status.confirmed_ns / 1e9)),
    _gauge("last_change_timestamp_seconds", "When the last change was recorded, 0 if none was.",
           _status(lambda status: status.changed_ns / 1e9)),
    _gauge("last_scan_timestamp_seconds", "When the whole directory was compared last, 0 if never.",
           lambda vitals: vitals.scanned_ns / 1e9),
    _gauge("position", "The last revision that the replica confirmed.", _status(lambda status: status.position.number)),
    _gauge("pending_changes", "Revisions that are recorded here and not on the replica.",
           _status(lambda status: status.pending)),
    _gauge("pending_bytes", "What those take on the local disk.", _status(lambda status: status.pending_bytes)),
    _gauge("files", "Files and links that are tracked.", _status(lambda status: status.files)),
    _gauge("tracked_bytes", "What the tracked files hold together.", _status(lambda status: status.tracked_bytes)),
    _gauge("unreadable_files", "Files that cannot be read and are not protected.",
           _status(lambda status: len(status.unreadable))),
    _gauge("doubtful_files", "Files that were well once and are blank or invalid now.",
           _status(lambda status: len(status.doubts))),
    _gauge("held", "1 while nothing is captured, because the directory is gone, empty or another volume.",
           _status(lambda status: bool(status.held))),
    _gauge("unrecorded", "1 while changes cannot be recorded: the disk with the journal is full, most likely.",
           lambda vitals: bool(vitals.unrecorded)),
    _gauge("fenced", "1 if another writer owns the log.", _is_fenced),
    _gauge("polling", "1 if changes are looked for, not told by the system.", lambda vitals: bool(vitals.polling)),
    _gauge("validator_ok", "1 if the validator proved itself, 0 if its files are not checked.",
           lambda vitals: {name: float(not why) for name, why in vitals.validators.items()}, "validator"),
    _counter("changes_total", "Recorded changes of files.", op=("put", "delete", "mode")),
    _counter("skipped_files_total", "Paths that were left out, each once as it began.", reason=left_out.REASONS),
    Metric("validation_failures_total", "counter", "Files that were found invalid.", ("validator",),
           always=lambda vitals: [(name,) for name in vitals.validators]),
    _counter("suspicious_changes_total", "Changes that look like damage.", kind=(*guards.KINDS, "root_missing")),
    _counter("coalesced_revisions_total", "Waiting revisions that were merged for want of room."),
    _counter("snapshots_total", "Snapshots that were written."),
    _counter("restores_total", "Restores that this process made or found made.", outcome=RESTORES),
    _counter("storage_requests_total", "Requests to the storage, by how they ended.", op=_OPERATIONS, outcome=OUTCOMES),
    _counter("storage_bytes_total", "Bytes of objects.", direction=("sent", "received")),
    _histogram("storage_request_duration_seconds", "How long requests to the storage took.", op=_OPERATIONS),
    _histogram("restore_duration_seconds", "How long restores by this process took."),
)  # fmt: skip
"""All there are, each with the label ``stream`` besides its own."""

_PING_OUTCOMES = (("ok",), ("failed",))
PINGS = Metric("pings_total", "counter", "Pings of the dead man's switch.", ("outcome",))
"""Of the process, not of a stream."""


def exposition(streams: Callable[[], Sequence[Observed]], process: Meter) -> Callable[[str], tuple[bytes, str]]:
    """Return a function that answers a scrape which accepts the given formats: with a text and its content type.

    *streams* gives the streams of the process at that moment, *process* counts
    what is no stream's. Imports prometheus-client.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 - only where somebody listens
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - likewise

    registry: CollectorRegistry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(streams, process))
    ProcessCollector(registry=registry)

    def answer(accepted: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accepted)
        return encode(registry), content_type

    return answer


class _Collector:
    """What prometheus-client asks at every scrape."""

    def __init__(self, streams: Callable[[], Sequence[Observed]], process: Meter) -> None:
        self._streams = streams
        self._process = process

    def describe(self) -> list["Family"]:
        """Return nothing: everything is known only when it is asked for."""
        return []

    def collect(self) -> Iterator["Family"]:
        """Return every metric with what it is now."""
        read = [(stream.vitals(), stream.meter.read()) for stream in self._streams()]
        for metric in METRICS:
            family = _family(metric, ("stream", *metric.labels))
            for vitals, reading in read:
                if metric.value is None:
                    _add(family, metric, reading, metric.always(vitals), (vitals.name,))
                else:
                    _add_gauge(family, metric.value(vitals), vitals.name)
            yield family
        pings = _family(PINGS, PINGS.labels)
        _add(pings, PINGS, self._process.read(), _PING_OUTCOMES, ())
        yield pings


def _family(metric: Metric, labels: Sequence[str]) -> Any:  # noqa: ANN401 - one of three classes that share no base with add_metric
    from prometheus_client import metrics_core  # noqa: PLC0415 - as above

    kinds = {
        "gauge": metrics_core.GaugeMetricFamily,
        "counter": metrics_core.CounterMetricFamily,
        "histogram": metrics_core.HistogramMetricFamily,
    }
    return kinds[metric.kind](PREFIX + metric.name, metric.help, labels=labels)


def _add_gauge(family: Any, found: float | Mapping[str, float], stream: str) -> None:  # noqa: ANN401 - see _family
    if isinstance(found, Mapping):
        for label, value in sorted(found.items()):
            family.add_metric([stream, label], value)
    else:
        family.add_metric([stream], float(found))


def _add(
    family: Any,  # noqa: ANN401 - see _family
    metric: Metric,
    reading: Reading,
    always: Iterable[tuple[str, ...]],
    first: tuple[str, ...],
) -> None:
    """Add what a meter has of *metric*, and zeros for the values that are *always* there."""
    found: Mapping[tuple[str, ...], Any]
    if metric.kind == "histogram":
        found = dict.fromkeys(always, Distribution()) | _by_values(metric, reading.distributions)
        for values, each in sorted(found.items()):
            buckets = [(str(bound), within) for bound, within in zip(BUCKETS_SECONDS, each.within, strict=True)]
            family.add_metric([*first, *values], [*buckets, ("+Inf", each.count)], each.sum_seconds)
        return
    found = dict.fromkeys(always, 0.0) | _by_values(metric, reading.counts)
    for values, count in sorted(found.items()):
        family.add_metric([*first, *values], count)


def _by_values(
    metric: Metric, counted: Mapping[tuple[str, tuple[tuple[str, str], ...]], Any]
) -> dict[tuple[str, ...], Any]:
    """Return what was *counted* of *metric*, by the values of its labels in their order."""
    found: dict[tuple[str, ...], Any] = {}
    for (name, labels), value in counted.items():
        given = dict(labels)
        if name == metric.name and given.keys() == set(metric.labels):
            found[tuple(given[label] for label in metric.labels)] = value
    return found


def names(metrics: Iterable[Metric] = (*METRICS, PINGS)) -> set[str]:
    """Return the full names of *metrics*."""
    return {PREFIX + metric.name for metric in metrics}
