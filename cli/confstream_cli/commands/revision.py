"""``confstream show``, ``cat``, ``ls`` and ``diff``: what a revision is, and how two differ."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import stat
from collections.abc import Iterable
from typing import Annotated, Any

import confstream
from confstream_cli import options, output
from confstream_cli.commands.log import as_json

_TYPES = {
    confstream.Kind.FILE: stat.S_IFREG,
    confstream.Kind.SYMLINK: stat.S_IFLNK,
    confstream.Kind.DIRECTORY: stat.S_IFDIR,
}


_Recursive = Annotated[bool, options.option("--recursive", "What is below directories, too.")]
_Path = Annotated[str | None, options.option("--path", "Only it, or what is below it.", "PATH")]
_ExitCode = Annotated[bool, options.option("--exit-code", "End with 1 if they differ, 0 if they do not.")]


def show(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] [REVISION]")] = None,
    *,
    json: options.Json = False,
    show_secrets: options.ShowSecrets = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Print one revision.

    Default: the latest. Who, when, why, and how files changed, secrets masked.
    """
    replica, rest = options.replica_and_rest(arguments, "REVISION", config=config, stream=stream)
    page = output.Page()
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        target = history.resolve(rest[0] if rest else None)
        entry = target.entry
        if json:
            page.json(as_json(entry, show_secrets=show_secrets))
            return
        about = ", the latest" if entry.number == history.head else ""
        about = f" of the fork {entry.fork.name}" if entry.fork else about
        page.line(page.paint(f"revision {entry.number}", "bold") + about)
        before, after = history.checkout(target, before=True), history.checkout(target)
        try:
            words = confstream.gist(entry.changes, before, after)
            page.facts(_facts(as_json(entry, show_secrets=show_secrets), entry.time_ns, words))
            page.line()
            page.columns([_change(change) for change in entry.changes] or [["nothing changed"]])
            page.line()
            for text in confstream.tree_diff(before, after, mask=not show_secrets):
                page.diff(text)
        finally:
            before.close()
            after.close()


def cat(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] PATH")] = None,
    *,
    revision: options.Revision = None,
    timestamp: options.Timestamp = None,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Print one file as it was.

    Byte for byte, secrets included; default: from the latest revision.
    """
    replica, (path,) = options.replica_and_rest(arguments, "PATH", required=1, config=config, stream=stream)
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        target = options.resolve(history, revision, timestamp)
        tell(target)
        content = history.read(path, target)
    output.Page().binary(content)


def ls(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] [PATH]")] = None,
    *,
    revision: options.Revision = None,
    timestamp: options.Timestamp = None,
    recursive: _Recursive = False,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """List the files of a revision.

    Like ls -l; default: the latest.
    """
    replica, rest = options.replica_and_rest(arguments, "PATH", config=config, stream=stream)
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        target = options.resolve(history, revision, timestamp)
        tell(target)
        entries = _below(history.tree(target), rest[0] if rest else "", target.number, recursive=recursive)
    page = output.Page()
    if json:
        rows = [_entry_json(entry) for entry in entries]
        page.json({"revision": target.number, "time": confstream.format_utc(target.entry.time_ns), "entries": rows})
    elif entries:
        page.columns([_entry_row(entry) for entry in entries], right=(1, 2, 3), indent="")


def diff(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] OLD [NEW]")] = None,
    *,
    path: _Path = None,
    exit_code: _ExitCode = False,
    show_secrets: options.ShowSecrets = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> int:
    """Print how files differ.

    OLD and NEW are revisions or times; NEW is the latest by default. Secrets are masked.
    """
    replica, names = options.replica_and_rest(arguments, "OLD", "NEW", required=1, config=config, stream=stream)
    page, differ = output.Page(), False
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        moments = names[0], names[1] if names[1:] else None
        history.expect(*moments)
        old, new = map(history.resolve, moments)
        tell(old)
        tell(new)
        for text in history.diff(old, new, path, mask=not show_secrets):
            differ = True
            page.diff(text)
    return 1 if differ and exit_code else 0


def tell(target: confstream.Target) -> None:
    """Say on stderr which revision and instant were chosen if it took a choice, and what was left out (P8, P10)."""
    if target.meaning in {"", "latest", str(target.number)}:
        return
    when = f"{confstream.format_utc(target.entry.time_ns)}, local {confstream.format_local(target.entry.time_ns)}"
    output.note(f"revision {target.number} of {when} ({target.meaning})")
    for entry in target.skipped:
        reasons = "; ".join(map(output.clean, entry.verdict.reasons))
        output.note(f"left out: revision {entry.number} is {entry.verdict.status.value} ({reasons})")


def _facts(row: dict[str, Any], time_ns: int, words: str) -> Iterable[tuple[str, str]]:
    reasons = "; ".join(row["verdict"]["reasons"])
    yield "time", output.instant(time_ns, confstream.SystemClock().now_ns())
    yield "source", output.clean(row["source"] + (f" by {row['author']}" if row["author"] else ""))
    yield "changes", output.clean(words)
    yield "message", output.clean(row["message"])
    yield "labels", output.clean(", ".join(f"{name}={value}" for name, value in row["labels"].items()))
    yield "writer", output.clean(f"{row['writer']} on {row['host'] or 'an unnamed host'}, epoch {row['epoch']}")
    if row["supersedes"]:
        yield "supersedes", "revisions {} to {} of other writers".format(*row["supersedes"])
    yield "verdict", output.clean(row["verdict"]["status"] + (f": {reasons}" if reasons else ""))
    yield "hash", row["hash"]


def _change(change: confstream.Change) -> list[str]:
    entry, meta = change.entry, change.meta
    if entry is not None:
        mode = stat.filemode(_TYPES[entry.kind] | entry.mode)
        return [change.op.value, mode, output.size(entry.size), output.path(change.path)]
    if meta is not None:
        return [change.op.value, f"{meta.mode:04o}", f"{meta.uid}:{meta.gid}", output.path(change.path)]
    return [change.op.value, "", "", output.path(change.path)]


def _below(tree: confstream.Tree, path: str, number: int, *, recursive: bool) -> list[confstream.Entry]:
    wanted = path.encode("utf-8", "surrogateescape").strip(b"/")
    if wanted in {b"", b"."}:
        prefix = b""
    elif wanted not in tree:
        raise confstream.NotFoundError(
            f"revision {number} has no {output.path(wanted)}; ls without a path shows what it has"
        )
    elif tree[wanted].kind is not confstream.Kind.DIRECTORY:
        return [tree[wanted]]
    else:
        prefix = wanted + b"/"
    return [
        entry
        for name, entry in tree.items()
        if name.startswith(prefix) and (recursive or b"/" not in name[len(prefix) :])
    ]


def _entry_row(entry: confstream.Entry) -> list[str]:
    name = output.path(entry.path) + (f" -> {output.path(entry.target)}" if entry.target else "")
    name += "/" if entry.kind is confstream.Kind.DIRECTORY else ""
    return [
        stat.filemode(_TYPES[entry.kind] | entry.mode),
        str(entry.uid),
        str(entry.gid),
        str(entry.size),
        output.local(entry.mtime_ns)[:16] if entry.mtime_ns else "",
        name,
    ]


def _entry_json(entry: confstream.Entry) -> dict[str, Any]:
    is_file = entry.kind is confstream.Kind.FILE
    return {
        **confstream.path_fields(entry.path),
        "kind": entry.kind.value,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "mtime": confstream.format_utc(entry.mtime_ns) if is_file else None,
        "sha256": entry.hash.hex() if is_file else None,
        **(confstream.path_fields(entry.target, "target") if entry.target else {"target": None}),
    }
