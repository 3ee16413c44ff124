"""``confstream restore``: from a replica to a directory, never over what is there (P1)."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import confstream
from confstream_cli import options, output, streams

_TIMEOUT = "60s"
_OF_ONE = ("path", "revision", "timestamp", "state_dir")


_IfMissing = Annotated[
    bool,
    options.option(
        "--if-missing", "Only if the configuration is missing: no file holds anything, or a guard is absent or blank."
    ),
]
IfReplicaExists = Annotated[bool, options.option("--if-replica-exists", "Without a replica: a first start, code 0.")]
Guard = Annotated[list[str] | None, options.option("--guard", "Without this file, it is missing.", "FILE")]
_Path = Annotated[str | None, options.option("--path", "Only this file, or what is below it.", "PATH")]
_ToStdout = Annotated[bool, options.option("--to-stdout", "Print the file --path; change nothing.")]
_Force = Annotated[bool, options.option("--force", "Replace what differs, after recording it.")]
_Delete = Annotated[bool, options.option("--delete", "Also remove files that the revision lacks.")]
_FastForward = Annotated[bool, options.option("--fast-forward", "Update a tree that nobody modified.")]
_Owner = Annotated[str | None, options.option("--owner", "Give everything to this owner.", "UID:GID")]
_NoOwner = Annotated[bool, options.option("--no-owner", "Set no owner, not even the recorded one.")]
_Timeout = Annotated[str, options.option("--timeout", "How long to ask a replica that is silent.", "TIME")]


@dataclass(frozen=True, kw_only=True)
class Given(options.GivenTracked):
    """The options of ``restore`` as they were given."""

    config: options.Config = None
    stream: options.Stream = None
    if_missing: _IfMissing = False
    if_replica_exists: IfReplicaExists = False
    guard: Guard = None
    timestamp: options.Timestamp = None
    revision: options.Revision = None
    path: _Path = None
    to_stdout: _ToStdout = False
    dry_run: options.DryRun = False
    force: _Force = False
    delete: _Delete = False
    fast_forward: _FastForward = False
    owner: _Owner = None
    no_owner: _NoOwner = False
    timeout: _Timeout = _TIMEOUT
    state_dir: options.StateDir = None
    storage_option: options.StorageOption = None
    s3_client: options.S3Client = None
    json: options.Json = False

    def options(self, stream: confstream.Stream) -> confstream.RestoreOptions:
        """Return what the library is asked for, but for what is tracked."""
        state_dir = self.state_dir if "state_dir" in self.named else stream.state_dir
        timeout_seconds = options.seconds("--timeout", self.timeout)
        if stream.timeout_seconds is not None and "timeout" not in self.named:
            timeout_seconds = stream.timeout_seconds
        return confstream.RestoreOptions(
            timestamp=self.timestamp,
            revision=self.revision,
            if_missing=self.if_missing,
            if_replica_exists=self.if_replica_exists,
            guards=tuple(self.guard or ()),
            path=self.path,
            force=self.force,
            delete=self.delete,
            fast_forward=self.fast_forward,
            dry_run=self.dry_run,
            owner=_owner(self.owner, no_owner=self.no_owner),
            timeout_seconds=timeout_seconds,
            actor=user(),
            state_dir=None if state_dir is None else Path(state_dir).absolute(),
        )


@options.command("[[REPLICA] TREE]", Given)
def restore(arguments: list[str], given: Given) -> None:
    """Write a revision into a directory.

    Default: latest-good, the newest that nothing speaks against. What is present is never changed without --force,
    and everything is checked before anything is touched. With --config and --if-missing, all directories of the file.
    """
    if given.to_stdout:
        _to_stdout(arguments, given)
        return
    found, _ = streams.chosen(arguments, given.config, given.stream)
    if not given.if_missing or any(name in given.named for name in _OF_ONE):
        streams.only(found, "a restore other than --if-missing, or with a path, revision or state directory,")
    failure: confstream.ConfstreamError | None = None
    for stream in found:
        try:
            tracked = options.tracked(given, stream)
            storage = options.storage_of(streams.address(stream), given.storage_option, given.s3_client)
            report = fill(stream, given.options(stream), tracked, storage, report=output.note)
        except confstream.ConfstreamError as error:
            if len(found) == 1:
                raise
            # The others may start, and the first failure is the answer.
            output.note(f"{stream.name}: {error}")
            failure = failure or type(error)(f"{stream.name}: {error}")
        else:
            _print(report, stream.name if len(found) > 1 else "", json=given.json)
    if failure is not None:
        raise failure


def _to_stdout(arguments: list[str], given: Given) -> None:
    if given.config is None:
        replica, _ = options.replica_and_rest(arguments, "TREE")
        stream = confstream.Stream("", ".", replica)
    else:
        stream = streams.only(streams.chosen(arguments, given.config, given.stream)[0], "--to-stdout")
    asked = given.options(stream)
    if asked.path is None:
        raise confstream.UsageError("--to-stdout prints one file: name it with --path")
    storage = options.storage_of(streams.address(stream), given.storage_option, given.s3_client)
    content = confstream.read_one(stream.replica, asked.path, asked, storage_options=storage, report=output.note)
    output.Page().binary(content)


def fill(
    stream: confstream.Stream,
    asked: confstream.RestoreOptions,
    tracked: confstream.TrackOptions,
    storage: dict[str, object],
    *,
    report: Callable[[str], None],
) -> confstream.RestoreReport:
    """Restore the tree of *stream*, of which *tracked* is tracked, as *asked*; *report* is told what happens."""
    replica, tree = stream.replica, Path(stream.tree)
    tracking = confstream.track(tree, tracked, asked.state_dir)
    guards = asked.guards or (tracking.guards if asked.if_missing else ())
    asked = replace(asked, selection=tracking.selection, guards=guards, groups=tracking.profile.groups)
    record = confstream.recording(
        selection=tracking.selection, storage_options=storage, state_dir=asked.state_dir, actor=asked.actor
    )
    made = confstream.restore(replica, tree, asked, storage_options=storage, record_before=record, report=report)
    if made.outcome != "present":
        report(f"profile {tracking.profile.name}: {tracking.why}")
        if tracking.doubt:
            report(f"profile {tracking.profile.name}, but {tracking.doubt}")
    if made.outcome in {"restored", "finished"}:
        # What was restored may say what it is; the next restore knows then which file it has to miss.
        confstream.track(tree, tracked, asked.state_dir).remember(asked.state_dir or tree / ".confstream")
    return made


def _print(report: confstream.RestoreReport, name: str, *, json: bool) -> None:
    """Print *report*; *name* is that of the stream where there are several."""
    page = output.Page()
    if json:
        page.json(({"stream": name} if name else {}) | report.as_json() | {"diff": list(report.diff)})
        return
    if name:
        page.line(page.paint(f"{name}:", "bold"))
    if report.outcome == "planned":
        page.line(f"would restore revision {report.revision}: {report.why}")
        for action in report.actions:
            page.line(page.cut(f"  {action}"))
        for text in report.diff:
            page.diff(text)
        return
    if report.outcome != "restored":
        # Why is told on stderr already where it took a look at the replica.
        page.line(report.outcome if report.outcome in {"first start", "finished"} else report.why)
        return
    parts = [f"{output.plural(report.written, 'file')} written"]
    parts += [f"{report.removed} removed"] if report.removed else []
    parts += [f"{report.kept} kept as they were"] if report.kept else []
    page.line(page.paint(f"restored revision {report.revision}", "bold", "green") + f": {', '.join(parts)}")
    if report.aside is not None:
        page.line(f"what was in the way is in {report.aside}")


def _owner(owner: str | None, *, no_owner: bool) -> Literal["recorded", "none"] | tuple[int, int]:
    if owner is None:
        return "none" if no_owner else "recorded"
    if no_owner:
        raise confstream.UsageError("--owner and --no-owner contradict one another; give one of them")
    uid, _, gid = owner.partition(":")
    if not (uid.isdecimal() and gid.isdecimal()):
        raise confstream.UsageError(f"--owner {owner!r}: expected two numbers, as in 1000:1000")
    return int(uid), int(gid)


def user() -> str:
    """Return who runs this, as a revision is to say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's uid need not be in any table.
        return f"uid {os.getuid()}"
