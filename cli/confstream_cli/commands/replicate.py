"""``confstream replicate``: protect a directory until told to stop."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import logging
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import confstream
from confstream_cli import findings, heap, logs, options, output, streams, systemd

logger = logging.getLogger("confstream.cli")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NAMED_MAX = 3
_Result = TypeVar("_Result")


_Once = Annotated[bool, options.option("--once", "Publish what changed, and end.")]
_Command = Annotated[
    str | None,
    options.option("--exec", "Run it, pass signals on to it, publish after it ends, and end with its code.", "COMMAND"),
]
_Settle = Annotated[str, options.option("--settle", "How long a file rests where no close is told.", "TIME")]
_Poll = Annotated[str | None, options.option("--poll", "Look so often instead of waiting for events.", "TIME")]
_ScanInterval = Annotated[str, options.option("--scan-interval", "Compare everything so often.", "TIME")]
_Heartbeat = Annotated[str, options.option("--heartbeat", "Prove life on the replica; 0 never.", "TIME")]
_FailAfter = Annotated[
    str, options.option("--fail-after", "End with an error when the replica took nothing for so long; 0 never.", "TIME")
]
_SpoolMax = Annotated[
    str, options.option("--spool-max", "Past this, the oldest unpublished revisions are merged.", "SIZE")
]
_NoGuards = Annotated[bool, options.option("--no-guards", "Believe an empty directory, too.")]
_Takeover = Annotated[bool, options.option("--takeover", "Write although another writer fenced this one.")]
_UnsafeSingleWriter = Annotated[
    bool, options.option("--unsafe-single-writer", "Accept storage that cannot keep two writers apart.")
]
_ShutdownTimeout = Annotated[str, options.option("--shutdown-timeout", "Time to publish at the end.", "TIME")]
_Listen = Annotated[
    str, options.option("--listen", "Answer /healthz, /livez, /readyz, /startz, /metrics; :9099, say.", "HOST:PORT")
]
_PingUrl = Annotated[
    str, options.option("--ping-url", "Tell healthchecks.io or Uptime Kuma that all is well; a secret.", "URL")
]
_LogFormat = Annotated[str, options.option("--log-format", "text or json, on stderr.", "FORMAT")]


@dataclass(frozen=True, kw_only=True)
class Given(options.GivenTracked):
    """The options of ``replicate`` as they were given."""

    config: options.Config = None
    stream: options.Stream = None
    once: _Once = False
    command: _Command = None
    state_dir: options.StateDir = None
    settle: _Settle = "2s"
    poll: _Poll = None
    scan_interval: _ScanInterval = "60s"
    heartbeat: _Heartbeat = "5m"
    fail_after: _FailAfter = "0"
    spool_max: _SpoolMax = "256MiB"
    no_guards: _NoGuards = False
    takeover: _Takeover = False
    unsafe_single_writer: _UnsafeSingleWriter = False
    shutdown_timeout: _ShutdownTimeout = "20s"
    timeout: options.Timeout = options.TIMEOUT
    storage_option: options.StorageOption = None
    s3_client: options.S3Client = None
    log_format: _LogFormat = "text"
    listen: _Listen = ""
    ping_url: _PingUrl = ""

    def options(self, stream: confstream.Stream | None = None) -> confstream.ReplicateOptions:
        """Return what the library is asked for: by option or variable, else by the file's *stream*, else by default."""
        asked: dict[str, Any] = {
            "settle_seconds": options.seconds("--settle", self.settle),
            "scan_seconds": options.seconds("--scan-interval", self.scan_interval),
            "shutdown_seconds": options.seconds("--shutdown-timeout", self.shutdown_timeout),
            "heartbeat_seconds": options.seconds("--heartbeat", self.heartbeat, least=0),
            "timeout_seconds": options.seconds("--timeout", self.timeout),
            "fail_after_seconds": options.seconds("--fail-after", self.fail_after, least=0),
            "spool_bytes_max": options.size("--spool-max", self.spool_max, least=1 << 20),
            "state_dir": self.state_dir,
            "unsafe_single_writer": self.unsafe_single_writer,
        }
        asked |= {} if stream is None else stream.options(without=self.named)
        state_dir, settle_seconds = asked.pop("state_dir"), asked["settle_seconds"]
        return confstream.ReplicateOptions(
            **asked,
            close_seconds=min(settle_seconds, confstream.ReplicateOptions().close_seconds),
            poll_seconds=options.seconds("--poll", self.poll or "1s"),
            polling=None if self.poll is None else True,
            guards=not self.no_guards,
            takeover=self.takeover,
            once=self.once,
            command=_words(self.command),
            state_dir=None if state_dir is None else Path(state_dir).absolute(),
            labels={} if stream is None else stream.labels,
        )


@options.command("[TREE [REPLICA]]", Given)
def replicate(arguments: list[str], given: Given) -> int:
    """Protect a directory: publish every change.

    Runs until a signal; what is not published by then goes out first. Result and log are on stderr. With --config,
    all directories of the file are protected, each by itself.
    """
    found, settings = streams.chosen(arguments, given.config, given.stream, last=True)
    if len(found) > 1:
        for option in ("state_dir", "command"):
            if option in given.named:
                streams.only(found, {"state_dir": "--state-dir", "command": "--exec"}[option])
    return protect(found, given, settings)


def protect(
    found: list[confstream.Stream],
    given: Given,
    settings: confstream.Settings | None = None,
    meter: confstream.Meter | None = None,
) -> int:
    """Replicate the streams *found* as *given* says, until a signal or the command's end; return the exit code.

    *meter* goes on with what was counted of the only stream before.
    """
    heap.be_small(os.environ)
    begin_log(given, settings, several=len(found) > 1)
    listen, ping_url = (_of_process(name, given, settings) for name in ("listen", "ping_url"))
    service, waiting = systemd.Service(os.environ), {stream.name for stream in found}

    def ready(name: str) -> None:
        waiting.discard(name)
        if not waiting:
            heap.tidy_soon()
            service.ready(f"protecting {', '.join(stream.tree for stream in found)}")

    def maker(stream: confstream.Stream) -> Callable[[confstream.Meter | None], confstream.Replicator]:
        asked, tracked = given.options(stream), options.tracked(given, stream)
        storage = options.storage_of(streams.address(stream), given.storage_option, given.s3_client)
        _tell_settings(stream, tracked, asked, storage)
        return lambda meter: confstream.Replicator(
            stream.tree,
            stream.replica,
            asked,
            tracked=tracked,
            storage_options=storage,
            meter=meter,
            name=stream.name,
            on_ready=lambda: ready(stream.name),
            on_end=lambda: service.stopping("publishing what is left"),
        )

    makers = {stream.name: maker(stream) for stream in found}
    if len(makers) == 1:
        replicator = makers.popitem()[1](meter)
        with confstream.observing([replicator], listen=listen, ping_url=ping_url, once=given.once):
            return _ended(_signalled(replicator.signal, replicator.run))
    supervisor = confstream.Supervisor(makers)
    with confstream.observing(supervisor.streams, listen=listen, ping_url=ping_url, once=given.once):
        endings = _signalled(supervisor.signal, supervisor.run)
    return _ended_all(endings, supervisor.first_signal)


def begin_log(given: Given, settings: confstream.Settings | None, *, several: bool = False) -> None:
    """Log as *given* says, else as the file's *settings* do; with *several* streams each line names its own."""
    logs.configure(logging.INFO, logs.check_form(_of_process("log_format", given, settings)), streams=several)


def _of_process(name: str, given: Given, settings: confstream.Settings | None) -> str:
    value: str = getattr(given, name)
    return value if settings is None or name in given.named else settings.of_process().get(name, value)


def _signalled(signal_all: Callable[[int], None], run: Callable[[], _Result]) -> _Result:
    """Return what *run* does, while signals go to *signal_all*."""
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        signal_all(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        # Under nohup, SIGHUP is to stay without effect.
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        return run()
    except confstream.UnavailableError as error:
        if seen:
            raise findings.SignalledError(error, seen[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(report: confstream.ReplicateReport) -> int:
    if report.child:
        return report.child if report.child > 0 else 128 - report.child
    if report.unreadable:
        named = [f"{output.clean(path)} ({why})" for path, why in sorted(report.unreadable.items())[:_NAMED_MAX]]
        raise confstream.PartialError(
            f"{output.plural(len(report.unreadable), 'file')} cannot be read and are not protected: {', '.join(named)};"
            " run as their owner"
        )
    return 0


def _ended_all(endings: tuple[confstream.Ending, ...], first_signal: int) -> int:
    """Raise what the first stream that failed ended with; the others' ends are in the log."""
    for ending in endings:
        error = ending.error
        if isinstance(error, confstream.UnavailableError) and first_signal:
            raise findings.SignalledError(type(error)(f"{ending.name}: {error}"), first_signal) from error
        if isinstance(error, confstream.ConfstreamError):
            raise type(error)(f"{ending.name}: {error}") from error
        if error is not None:
            raise error
    codes = [_ended(ending.report) for ending in endings if ending.report is not None]
    return next((code for code in codes if code), 0)


def _words(command: str | None) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command or ""))
    except ValueError as error:
        raise confstream.UsageError(f"--exec: {error} in the command") from error
    if command is not None and not words:
        raise confstream.UsageError("--exec: the command is empty")
    return words


def _tell_settings(
    stream: confstream.Stream,
    tracked: confstream.TrackOptions,
    asked: confstream.ReplicateOptions,
    storage: dict[str, object],
) -> None:
    """Log the settings in effect, secrets masked (P12, P13)."""
    shown = {
        "tree": stream.tree,
        "replica": confstream.mask_url(stream.replica),
        "profile": tracked.profile,
        "include": " ".join(tracked.include),
        "exclude": " ".join(tracked.exclude),
        "guard": " ".join(tracked.guard or ()),
        "validators": " ".join(check.name for check in tracked.checks),
        "required": " ".join(tracked.required),
        "labels": " ".join(sorted(asked.labels)),
        "storage options": ", ".join(sorted(storage)),
        "S3 client": confstream.s3_client_of(stream.replica, storage),
        "state": str(asked.state_dir or ""),
        "settle": f"{asked.settle_seconds:g}s",
        "poll": f"{asked.poll_seconds:g}s" if asked.polling else "",
        "scan": f"{asked.scan_seconds:g}s",
        "heartbeat": f"{asked.heartbeat_seconds:g}s" if asked.heartbeat_seconds else "never",
        "fail after": f"{asked.fail_after_seconds:g}s" if asked.fail_after_seconds else "",
        "spool": confstream.show_size(asked.spool_bytes_max),
        "shutdown": f"{asked.shutdown_seconds:g}s",
        "timeout": f"{asked.timeout_seconds:g}s",
        "once": "yes" if asked.once else "",
        "exec": asked.command[0] if asked.command else "",
        "guards": "" if asked.guards else "off",
        "takeover": "yes" if asked.takeover else "",
        "unsafe single writer": "yes" if asked.unsafe_single_writer else "",
    }
    said = ", ".join(f"{name} {value}" for name, value in shown.items() if value)
    with confstream.in_stream(stream.name):
        logger.info("confstream settings: %s", said, extra=confstream.about("started"))
