"""``confstream restore``: from a replica to a directory, never over what is there (P1)."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import getpass
import os
from pathlib import Path
from typing import Annotated, Literal

import confstream
from confstream_cli import options, output

_TIMEOUT = "60s"


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


def restore(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] TREE")] = None,
    *,
    if_missing: _IfMissing = False,
    if_replica_exists: IfReplicaExists = False,
    guard: Guard = None,
    timestamp: options.Timestamp = None,
    revision: options.Revision = None,
    path: _Path = None,
    to_stdout: _ToStdout = False,
    dry_run: options.DryRun = False,
    force: _Force = False,
    delete: _Delete = False,
    fast_forward: _FastForward = False,
    owner: _Owner = None,
    no_owner: _NoOwner = False,
    timeout: _Timeout = _TIMEOUT,
    profile: options.Profile = "generic",
    include: options.Include = None,
    exclude: options.Exclude = None,
    state_dir: options.StateDir = None,
    storage_option: options.StorageOption = None,
    json: options.Json = False,
) -> None:
    """Write a revision into a directory.

    Default: latest-good, the newest that nothing speaks against. What is present is never changed without --force,
    and everything is checked before anything is touched.
    """
    asked = confstream.RestoreOptions(
        timestamp=timestamp,
        revision=revision,
        if_missing=if_missing,
        if_replica_exists=if_replica_exists,
        guards=tuple(guard or ()),
        selection=_selection(profile, include, exclude),
        path=path,
        force=force,
        delete=delete,
        fast_forward=fast_forward,
        dry_run=dry_run,
        owner=_owner(owner, no_owner=no_owner),
        timeout_seconds=options.seconds("--timeout", timeout),
        actor=user(),
        state_dir=None if state_dir is None else Path(state_dir).absolute(),
    )
    storage = confstream.parse_storage_options(storage_option or [])
    _to_stdout(arguments, asked, storage) if to_stdout else _to_tree(arguments, asked, storage, json=json)


def _to_stdout(arguments: list[str] | None, asked: confstream.RestoreOptions, storage: dict[str, object]) -> None:
    replica, _ = options.replica_and_rest(arguments, "TREE")
    if asked.path is None:
        raise confstream.UsageError("--to-stdout prints one file: name it with --path")
    content = confstream.read_one(replica, asked.path, asked, storage_options=storage, report=output.note)
    output.Page().binary(content)


def _to_tree(
    arguments: list[str] | None, asked: confstream.RestoreOptions, storage: dict[str, object], *, json: bool
) -> None:
    replica, (tree,) = options.replica_and_rest(arguments, "TREE", required=1)
    record = confstream.recording(
        selection=asked.selection or confstream.Selection(),
        storage_options=storage,
        state_dir=asked.state_dir,
        actor=asked.actor,
    )
    report = confstream.restore(
        replica, Path(tree), asked, storage_options=storage, record_before=record, report=output.note
    )
    _print(report, json=json)


def _print(report: confstream.RestoreReport, *, json: bool) -> None:
    page = output.Page()
    if json:
        page.json(report.as_json() | {"diff": list(report.diff)})
        return
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


def _selection(profile: str, include: list[str] | None, exclude: list[str] | None) -> confstream.Selection | None:
    """Return what is tracked; None for the default, which costs least to find out (P2)."""
    return (
        None if (profile, include, exclude) == ("generic", None, None) else options.selection(profile, include, exclude)
    )


def user() -> str:
    """Return who runs this, as a revision is to say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's uid need not be in any table.
        return f"uid {os.getuid()}"
