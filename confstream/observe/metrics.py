"""Every metric, declared once; and the text of ``/metrics``.

Gauges are read from vitals when somebody asks, counters and times from the
meters that the working parts feed. Labels have few, fixed values, and never a
path (P14). What a meter counts under a name that is not declared here is not shown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol, TypeVar

from confstream import guards
from confstream.journal import left_out
from confstream.journal.phase import Phase
from confstream.journal.vitals import Vitals
from confstream.meter import BUCKETS_SECONDS, Distribution, Meter, Reading
from confstream.observe.exposition import Family, Sample, of_process, text
from confstream.observe.health import Level, health_of, up_to_date
from confstream.store.contact import OUTCOMES

PREFIX = "confstream_"
_Counted = TypeVar("_Counted")
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


def exposition(streams: Sequence[Observed], process: Meter) -> bytes:
    """Return the text of ``/metrics`` for *streams* at this moment; *process* counts what is no stream's."""
    return text([*_families(streams, process), *of_process()])


def _families(streams: Sequence[Observed], process: Meter) -> Iterator[Family]:
    read = [(stream.vitals(), stream.meter.read()) for stream in streams]
    for metric in METRICS:
        samples: list[Sample] = []
        for vitals, reading in read:
            stream = {"stream": vitals.name}
            if metric.value is None:
                samples += _counted(metric, reading, metric.always(vitals), stream)
            else:
                samples += _gauged(metric, metric.value(vitals), stream)
        yield Family(PREFIX + metric.name, metric.kind, metric.help, samples)
    yield Family(PREFIX + PINGS.name, PINGS.kind, PINGS.help, _counted(PINGS, process.read(), _PING_OUTCOMES, {}))


def _gauged(metric: Metric, found: float | Mapping[str, float], stream: Mapping[str, str]) -> list[Sample]:
    if not isinstance(found, Mapping):
        return [Sample(stream, found)]
    return [Sample({**stream, metric.labels[0]: label}, value) for label, value in sorted(found.items())]


def _counted(
    metric: Metric, reading: Reading, always: Iterable[tuple[str, ...]], stream: Mapping[str, str]
) -> Iterator[Sample]:
    """Yield what a meter has of *metric*, and zeros for the values of labels that are *always* there."""
    if metric.kind == "histogram":
        distributions = dict.fromkeys(always, Distribution()) | _by_values(metric, reading.distributions)
        for values, each in sorted(distributions.items()):
            labels = {**stream, **dict(zip(metric.labels, values, strict=True))}
            bounds = (*map(str, BUCKETS_SECONDS), "+Inf")
            for bound, within in zip(bounds, (*each.within, each.count), strict=True):
                yield Sample({**labels, "le": bound}, within, "_bucket")
            yield Sample(labels, each.count, "_count")
            yield Sample(labels, each.sum_seconds, "_sum")
        return
    counts = dict.fromkeys(always, 0.0) | _by_values(metric, reading.counts)
    for values, count in sorted(counts.items()):
        yield Sample({**stream, **dict(zip(metric.labels, values, strict=True))}, count)


def _by_values(
    metric: Metric, counted: Mapping[tuple[str, tuple[tuple[str, str], ...]], _Counted]
) -> dict[tuple[str, ...], _Counted]:
    """Return what was *counted* of *metric*, by the values of its labels in their order."""
    found: dict[tuple[str, ...], _Counted] = {}
    for (name, labels), value in counted.items():
        given = dict(labels)
        if name == metric.name and given.keys() == set(metric.labels):
            found[tuple(given[label] for label in metric.labels)] = value
    return found


def names(metrics: Iterable[Metric] = (*METRICS, PINGS)) -> set[str]:
    """Return the full names of *metrics*."""
    return {PREFIX + metric.name for metric in metrics}
