"""``confstream log``: what happened, newest first."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_LIMIT_ON_TERMINAL = 50
_READ_AT_ONCE = 50
_WIDE = 90
_MARKS = {confstream.Status.INVALID: ("x", "red"), confstream.Status.SUSPICIOUS: ("!", "yellow")}


_Reverse = Annotated[bool, options.option("--reverse", "Oldest first.")]
_Limit = Annotated[
    int | None,
    options.option(
        "--limit", "At most so many, the newest; 0 is all. Default: 50 on a terminal, else all.", "NUMBER", least=0
    ),
]
_Keys = Annotated[
    bool, options.option("--keys", "Say which keys changed, as in a.b 5 → 10; reads what the files held.")
]
_Path = Annotated[str | None, options.option("--path", "Only what changed it or below it.", "PATH")]


def log(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] [PATH]")] = None,
    *,
    reverse: _Reverse = False,
    limit: _Limit = None,
    path: _Path = None,
    keys: _Keys = False,
    json: options.Json = False,
    show_secrets: options.ShowSecrets = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Print what happened, newest first.

    Forks, which are what fenced writers had not published, come last. In front of a revision, x marks an invalid one,
    ! a suspicious one. With --json, one object per line.
    """
    replica, rest = options.replica_and_rest(arguments, "PATH", config=config, stream=stream)
    if rest and path is not None and rest[0] != path:
        raise confstream.UsageError(f"PATH {rest[0]!r} and --path {path!r} differ; give one of them")
    path = rest[0] if rest else path
    page = output.Page()
    if limit is None:
        limit = _LIMIT_ON_TERMINAL if page.is_terminal and not json else 0
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        head = history.head
        sure = limit if path is None else 0
        found = history.log(path=path, expected=sure if limit else head)
        entries: Iterable[confstream.LogEntry] = islice(found, limit) if limit else found
        if reverse:
            # The newest ones, however few: only their order is another.
            entries = reversed(list(entries)) if limit else history.log(path=path, newest_first=False, expected=head)
        forks = [entry for entry in history.forks() if path is None or entry.touches(path)]
        told = _with_gists(history, entries) if keys else ((entry, "") for entry in entries)
        rows = chain(told, ((entry, "") for entry in forks))
        if json:
            for entry, words in rows:
                row = as_json(entry, show_secrets=show_secrets)
                page.json({**row, "summary": words} if words else row)
            return
        _print(page, rows, head, show_secrets=show_secrets)
        if limit and next(iter(found), None) is not None:
            output.note(f"there are older ones: --limit 0 shows all, --limit {limit * 4} more")


def as_json(entry: confstream.LogEntry, *, show_secrets: bool) -> dict[str, Any]:
    """Return the documented form of *entry*, secrets in message and labels masked (P12)."""
    row = entry.as_json()
    if not show_secrets:
        row["message"] = confstream.mask_line(row["message"])
        row["labels"] = {
            name: confstream.mask_line(f"{name}: {value}")[len(name) + 2 :] for name, value in row["labels"].items()
        }
    return row


def what(entry: confstream.LogEntry, words: str = "", *, show_secrets: bool) -> str:
    """Return in a few words what *entry* is: its message and what it changed, which may be known in *words*."""
    message = entry.authorship.message
    shown = output.clean(message if show_secrets or not message else confstream.mask_line(message))
    changed = words or entry.summary
    return f"{changed}: {shown}" if shown else changed


def _with_gists(
    history: confstream.History, entries: Iterable[confstream.LogEntry]
) -> Iterator[tuple[confstream.LogEntry, str]]:
    """Yield *entries*, each with what it is in words; so many are read at a time that the first come soon."""
    waiting = iter(entries)
    while some := list(islice(waiting, _READ_AT_ONCE)):
        words = dict(confstream.gists(history.reader, [entry.number for entry in some]))
        yield from ((entry, words[entry.number]) for entry in some)


def _print(
    page: output.Page, rows: Iterable[tuple[confstream.LogEntry, str]], head: int, *, show_secrets: bool
) -> None:
    now_ns = confstream.SystemClock().now_ns()
    digits = max(len(str(head)), 3)
    wide = page.width is None or page.width >= _WIDE
    zone = confstream.format_local(now_ns)[19:].split(" ")[-1]
    header = f"  {'REV':>{digits}}  " + (f"{f'WHEN ({zone})':<19}  " if wide else "") + f"{'AGE':>4}  {'BY':<12}  WHAT"
    fork, shown = "", False
    for entry, words in rows:
        if entry.fork is None and not shown:
            page.line(page.paint(page.cut(header), "bold"))
            shown = True
        elif entry.fork is not None and fork != entry.fork.name:
            fork = entry.fork.name
            said = f"fork of a fenced writer, not part of the log; --revision {fork}/{entry.number} means its first"
            page.line(page.paint(page.cut(said), "bold", "yellow"))
        _row(page, entry, words, digits, now_ns, wide=wide, show_secrets=show_secrets)
    if not shown:
        output.note("no revision changed that" if head else "no revision yet")


def _row(
    page: output.Page,
    entry: confstream.LogEntry,
    words: str,
    digits: int,
    now_ns: int,
    *,
    wide: bool,
    show_secrets: bool,
) -> None:
    mark, colour = _MARKS.get(entry.verdict.status, (" ", ""))
    made = entry.authorship
    by = output.clean(f"{made.source} {made.author}".strip() if wide else made.source)
    by = by if output.width(by) <= 12 else by[:11] + "…"  # noqa: PLR2004 - the column's width
    age = output.ago(entry.time_ns, now_ns).removesuffix(" ago")
    when = f"{output.local(entry.time_ns)}  " if wide else ""
    left = f"{mark} {entry.number:>{digits}}  {when}{age:>4}  {output.pad(by, 12)}  "
    style = (colour,) if colour else ()
    status = f"  {entry.verdict.status.value}" if mark != " " else ""
    reasons = "; ".join(map(output.clean, entry.verdict.reasons)) if status else ""
    more: list[tuple[str, tuple[str, ...]]] = []
    right = what(entry, words, show_secrets=show_secrets) + status + (f": {reasons}" if reasons else "")
    if page.width is not None and output.width(left + right) > page.width:
        # What does not fit goes below, where all of it can be read.
        right = page.cut(what(entry, show_secrets=show_secrets) + status, output.width(left))
        more = [(output.clean(words), ("dim",)), (reasons, style)]
    page.line(page.paint(left, *style) + page.paint(right, *style))
    for text, look in more:
        page.paragraph(text, " " * (digits + 4), *look)
