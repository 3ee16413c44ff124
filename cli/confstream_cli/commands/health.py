"""``confstream status``: is it really being backed up? Asked of the replica, not of the process (P7)."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from pathlib import Path
from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_DOUBTFUL_MAX = 5
_BEATS_MISSED = 3
_INTERVAL_SECONDS_MIN = 60.0


_Tree = Annotated[str | None, options.option("--tree", "Also look at the journal of this directory.", "TREE")]
_MaxLag = Annotated[
    str | None,
    options.option("--max-lag", "End with 15 if no writer showed itself for longer, or is further behind.", "TIME"),
]


def status(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA]")] = None,
    *,
    tree: _Tree = None,
    state_dir: options.StateDir = None,
    max_lag: _MaxLag = None,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Print how a replica is.

    Its newest revision, its writers' last signs of life, forks and doubts.
    """
    replica, _ = options.replica_and_rest(arguments, config=config, stream=stream)
    bound_seconds = None if max_lag is None else options.seconds("--max-lag", max_lag)
    now_ns = confstream.SystemClock().now_ns()
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        document = _document(history, now_ns, bound_seconds)
    if tree is not None:
        document["journal"] = _journal(Path(state_dir) if state_dir is not None else Path(tree) / ".confstream", now_ns)
    page = output.Page()
    if json:
        page.json(document)
    else:
        _print(page, document, now_ns)
    if document["stale"]:
        raise confstream.StaleError(document["stale"])


def _document(history: confstream.History, now_ns: int, bound_seconds: float | None) -> dict[str, Any]:
    head = history.head
    newest = history.resolve("latest").entry if head else None
    good, doubtful = history.reader.newest_good()
    listing = history.reader.listing
    packed = max((last for _, last in listing.packs), default=0)
    writers = [_writer(beat, now_ns, bound_seconds) for beat in history.heartbeats()]
    forks: dict[str, list[int]] = {}
    for entry in history.forks():
        if entry.fork is not None:
            forks.setdefault(entry.fork.name, []).append(entry.number)
    return {
        "replica": history.url,
        "revision": head,
        "time": confstream.format_utc(newest.time_ns) if newest else None,
        "age_seconds": round((now_ns - newest.time_ns) / 1e9, 3) if newest else None,
        "latest_good": good or None,
        "doubtful": [
            {
                "revision": made.revision.number,
                "time": confstream.format_utc(made.revision.time_ns),
                "status": made.revision.verdict.status.value,
                "reasons": list(made.revision.verdict.reasons),
            }
            for made in doubtful[:_DOUBTFUL_MAX]
        ],
        "doubtful_count": len(doubtful),
        "unpacked": head - packed,
        "tags": list(listing.tags),
        "writers": writers,
        "forks": [{"fork": name, "first": numbers[0], "last": numbers[-1]} for name, numbers in forks.items()],
        "journal": None,
        "stale": "" if bound_seconds is None else _stale(history.url, writers, bound_seconds),
    }


def _writer(beat: confstream.Heartbeat, now_ns: int, bound_seconds: float | None) -> dict[str, Any]:
    age_seconds = max(0.0, (now_ns - beat.time_ns) / 1e9)
    return {
        "writer": beat.writer,
        "host": beat.host,
        "epoch": beat.epoch,
        "revision": beat.number,
        "time": confstream.format_utc(beat.time_ns),
        "age_seconds": round(age_seconds, 3),
        "interval_seconds": beat.interval_seconds,
        "lag_seconds": beat.lag_seconds,
        "released": beat.released,
        "version": beat.version,
        "late": not beat.released and age_seconds > _BEATS_MISSED * max(beat.interval_seconds, _INTERVAL_SECONDS_MIN),
        "fresh": None if bound_seconds is None else age_seconds <= bound_seconds and beat.lag_seconds <= bound_seconds,
    }


def _stale(url: str, writers: list[dict[str, Any]], bound_seconds: float) -> str:
    """Return why nobody may rely on the replica; empty if one writer is fresh."""
    if any(writer["fresh"] for writer in writers):
        return ""
    if not writers:
        return f"{url}: no writer ever showed itself; is replicate running, and its --heartbeat not 0?"
    last = writers[0]
    seen = f"{url}: the last writer ({output.clean(last['host'])}) was seen {output.length(last['age_seconds'])} ago"
    if last["age_seconds"] <= bound_seconds:
        return (
            f"{seen}, and was {output.length(last['lag_seconds'])} behind; allowed are {output.length(bound_seconds)}"
        )
    why = ", when it stopped" if last["released"] else ""
    if last["interval_seconds"] > bound_seconds:
        why += f" and shows itself only every {output.length(last['interval_seconds'])}: allow more"
    return f"{seen}{why}; allowed are {output.length(bound_seconds)}. Look at it, or at its log"


def _journal(state_dir: Path, now_ns: int) -> dict[str, Any] | None:
    try:
        seen = confstream.peek(state_dir)
    except confstream.NotFoundError as error:
        output.note(str(error))
        return None
    except OSError as error:
        raise confstream.PartialError(f"the journal in {state_dir} cannot be read: {error.strerror}") from error
    oldest = min((draft.time_ns for draft in seen.pending), default=now_ns)
    return {
        "writer": seen.writer,
        "pid": seen.pid,
        "revision": seen.base.number,
        "pending": len(seen.pending),
        "pending_bytes": seen.pending_bytes,
        "lag_seconds": round(max(0.0, (now_ns - oldest) / 1e9), 3),
        "fenced_by": seen.fenced.writer if seen.fenced else None,
    }


def _print(page: output.Page, row: dict[str, Any], now_ns: int) -> None:
    del now_ns
    ago = output.length(max(0.0, row["age_seconds"] or 0.0))
    page.facts(
        [
            ("replica", row["replica"]),
            (
                "revision",
                f"{page.paint(str(row['revision']), 'bold')}, {ago} old ({output.seconds_of(row['time'])})"
                if row["time"]
                else "none yet",
            ),
            ("latest good", str(row["latest_good"] or "none") if row["doubtful"] else ""),
            *_doubts(page, row),
            ("not packed", output.plural(row["unpacked"], "revision")),
            ("tags", ", ".join(row["tags"])),
            *((f"writer {one['writer'][:8]}", _writer_line(page, one)) for one in row["writers"]),
            ("writers", "" if row["writers"] else page.paint("none ever showed itself", "yellow")),
            *(
                (f"fork {one['fork'][:8]}", page.paint(f"revisions {one['first']} to {one['last']}, see log", "yellow"))
                for one in row["forks"]
            ),
            ("journal", _journal_line(page, row["journal"]) if row["journal"] else ""),
        ]
    )


def _doubts(page: output.Page, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line for each doubtful revision, with the reason that counts most."""
    lines = []
    for one in row["doubtful"]:
        first, more = output.clean(confstream.mask_line((one["reasons"] or [""])[0])), len(one["reasons"]) - 1
        why = (f": {first}" if first else "") + (f", and {output.plural(more, 'reason')} more" if more > 0 else "")
        lines.append(page.paint(f"{one['revision']} is {one['status']}{why}", "yellow"))
    if (rest := row["doubtful_count"] - len(lines)) > 0:
        lines.append(page.paint(f"and {rest} more, see log", "yellow"))
    return [("" if count else "doubtful", line) for count, line in enumerate(lines)]


def _writer_line(page: output.Page, one: dict[str, Any]) -> str:
    late = one["fresh"] is False or (one["fresh"] is None and one["late"])
    state = "stopped" if one["released"] else "late" if late else "alive"
    colour = {"stopped": "dim", "late": "red", "alive": "green"}[state]
    lag = f"{output.length(one['lag_seconds'])} behind" if one["lag_seconds"] else "nothing pending"
    seen = f"seen {output.length(one['age_seconds'])} ago on {output.clean(one['host'] or 'an unnamed host')}"
    return f"{page.paint(state, colour)}, {seen} at revision {one['revision']}, {lag}, epoch {one['epoch']}"


def _journal_line(page: output.Page, row: dict[str, Any]) -> str:
    left = "nothing pending"
    if row["pending"]:
        since = output.length(row["lag_seconds"])
        left = (
            f"{output.plural(row['pending'], 'revision')} ({output.size(row['pending_bytes'])}) pending since {since}"
        )
        left = page.paint(left, "yellow")
    fenced = page.paint(f", fenced by {row['fenced_by']}", "red") if row["fenced_by"] else ""
    process = f", process {row['pid']}" if row["pid"] else ", not running"
    return f"{left}, revision {row['revision']} confirmed{fenced}{process}"
