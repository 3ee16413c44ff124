"""``confstream replicate``: protect a directory until told to stop."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import logging
import os
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import confstream
from confstream_cli import findings, logs, options, output, systemd

logger = logging.getLogger("confstream.cli")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NAMED_MAX = 3


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
class Given:
    """The options of ``replicate`` as they were given."""

    once: _Once = False
    command: _Command = None
    profile: options.Profile = "auto"
    include: options.Include = None
    exclude: options.Exclude = None
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
    log_format: _LogFormat = "text"
    listen: _Listen = ""
    ping_url: _PingUrl = ""

    def options(self) -> confstream.ReplicateOptions:
        """Return what the library is asked for."""
        settle_seconds = options.seconds("--settle", self.settle)
        return confstream.ReplicateOptions(
            settle_seconds=settle_seconds,
            close_seconds=min(settle_seconds, confstream.ReplicateOptions().close_seconds),
            scan_seconds=options.seconds("--scan-interval", self.scan_interval),
            poll_seconds=options.seconds("--poll", self.poll or "1s"),
            polling=None if self.poll is None else True,
            shutdown_seconds=options.seconds("--shutdown-timeout", self.shutdown_timeout),
            heartbeat_seconds=options.seconds("--heartbeat", self.heartbeat, least=0),
            fail_after_seconds=options.seconds("--fail-after", self.fail_after, least=0),
            spool_bytes_max=options.size("--spool-max", self.spool_max, least=1 << 20),
            guards=not self.no_guards,
            takeover=self.takeover,
            unsafe_single_writer=self.unsafe_single_writer,
            once=self.once,
            command=_words(self.command),
            state_dir=None if self.state_dir is None else Path(self.state_dir).absolute(),
            timeout_seconds=options.seconds("--timeout", self.timeout),
        )


@options.command("TREE [REPLICA]", Given)
def replicate(arguments: list[str], given: Given) -> int:
    """Protect a directory: publish every change.

    Runs until a signal; what is not published by then goes out first. Result and log are on stderr.
    """
    replica, (tree,) = options.replica_and_rest(arguments, "TREE", required=1, last=True)
    logs.configure(logging.INFO, logs.check_form(given.log_format))
    return protect(tree, replica, given)


def protect(tree: str, replica: str, given: Given) -> int:
    """Replicate *tree* to *replica* as *given* says, until a signal or the command's end; return the exit code."""
    asked = given.options()
    storage = confstream.parse_storage_options(given.storage_option or [])
    tracked = options.tracked(given.profile, given.include, given.exclude)
    _tell_settings(tree, replica, tracked, asked, storage)
    service = systemd.Service(os.environ)
    replicator = confstream.Replicator(
        tree,
        replica,
        asked,
        tracked=tracked,
        storage_options=storage,
        on_ready=lambda: service.ready(f"protecting {tree}"),
        on_end=lambda: service.stopping("publishing what is left"),
    )
    with confstream.observing([replicator], listen=given.listen, ping_url=given.ping_url, once=given.once):
        return _run(replicator)


def _run(replicator: confstream.Replicator) -> int:
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        replicator.signal(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        # Under nohup, SIGHUP is to stay without effect.
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        report = replicator.run()
    except confstream.UnavailableError as error:
        if seen:
            raise findings.SignalledError(error, seen[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if report.child:
        return report.child if report.child > 0 else 128 - report.child
    if report.unreadable:
        named = [f"{output.clean(path)} ({why})" for path, why in sorted(report.unreadable.items())[:_NAMED_MAX]]
        raise confstream.PartialError(
            f"{output.plural(len(report.unreadable), 'file')} cannot be read and are not protected: {', '.join(named)};"
            " run as their owner"
        )
    return 0


def _words(command: str | None) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command or ""))
    except ValueError as error:
        raise confstream.UsageError(f"--exec: {error} in the command") from error
    if command is not None and not words:
        raise confstream.UsageError("--exec: the command is empty")
    return words


def _tell_settings(
    tree: str,
    replica: str,
    tracked: confstream.TrackOptions,
    asked: confstream.ReplicateOptions,
    storage: dict[str, object],
) -> None:
    """Log the settings in effect, secrets masked (P12, P13)."""
    shown = {
        "tree": tree,
        "replica": confstream.mask_url(replica),
        "profile": tracked.profile,
        "include": " ".join(tracked.include),
        "exclude": " ".join(tracked.exclude),
        "storage options": ", ".join(sorted(storage)),
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
    logger.info("confstream settings: %s", said, extra=confstream.about("started"))
