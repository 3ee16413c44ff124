"""``confstream log``: what happened, newest first."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_LIMIT_ON_TERMINAL = 50
_WIDE = 90
_MARKS = {confstream.Status.INVALID: ("x", "red"), confstream.Status.SUSPICIOUS: ("!", "yellow")}


_Reverse = Annotated[bool, options.option("--reverse", "Oldest first.")]
_Limit = Annotated[
    int | None,
    options.option(
        "--limit", "At most so many, the newest; 0 is all. Default: 50 on a terminal, else all.", "NUMBER", min=0
    ),
]
_Path = Annotated[str | None, options.option("--path", "Only what changed it or below it.", "PATH")]


def log(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] [PATH]")] = None,
    *,
    reverse: _Reverse = False,
    limit: _Limit = None,
    path: _Path = None,
    json: options.Json = False,
    show_secrets: options.ShowSecrets = False,
    storage_option: options.StorageOption = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Print what happened, newest first.

    Forks, which are what fenced writers had not published, come last. In front of a revision, x marks an invalid one,
    ! a suspicious one. With --json, one object per line.
    """
    replica, rest = options.replica_and_rest(arguments, "PATH")
    if rest and path is not None and rest[0] != path:
        raise confstream.UsageError(f"PATH {rest[0]!r} and --path {path!r} differ; give one of them")
    path = rest[0] if rest else path
    page = output.Page()
    if limit is None:
        limit = _LIMIT_ON_TERMINAL if page.is_terminal and not json else 0
    with options.open_history(replica, storage_option, timeout) as history:
        head = history.head
        found = history.log(path=path)
        entries: Iterable[confstream.LogEntry] = islice(found, limit) if limit else found
        if reverse:
            # The newest ones, however few: only their order is another.
            entries = reversed(list(entries)) if limit else history.log(path=path, newest_first=False)
        forks = [entry for entry in history.forks() if path is None or entry.touches(path)]
        if json:
            for entry in chain(entries, forks):
                page.json(as_json(entry, show_secrets=show_secrets))
            return
        _print(page, entries, forks, head, show_secrets=show_secrets)
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


def what(entry: confstream.LogEntry, *, show_secrets: bool) -> str:
    """Return in a few words what *entry* is: its message and what it changed."""
    message = entry.authorship.message
    shown = output.clean(message if show_secrets else confstream.mask_line(message))
    changed = confstream.summary(entry.changes)
    return f"{changed}: {shown}" if shown else changed


def _print(
    page: output.Page,
    entries: Iterable[confstream.LogEntry],
    forks: list[confstream.LogEntry],
    head: int,
    *,
    show_secrets: bool,
) -> None:
    now_ns = confstream.SystemClock().now_ns()
    digits = max(len(str(head)), 3)
    wide = page.width is None or page.width >= _WIDE
    zone = confstream.format_local(now_ns)[19:].split(" ")[-1]
    header = f"  {'REV':>{digits}}  " + (f"{f'WHEN ({zone})':<19}  " if wide else "") + f"{'AGE':>4}  {'BY':<12}  WHAT"
    shown: list[int] = []
    for entry in _counted(entries, shown):
        if len(shown) == 1:
            page.line(page.paint(page.cut(header), "bold"))
        _row(page, entry, digits, now_ns, wide=wide, show_secrets=show_secrets)
    if not shown:
        output.note("no revision changed that" if head else "no revision yet")
    name = ""
    for entry in forks:
        if entry.fork is not None and name != entry.fork.name:
            name = entry.fork.name
            said = f"fork of a fenced writer, not part of the log; --revision {name}/{entry.number} means its first"
            page.line(page.paint(page.cut(said), "bold", "yellow"))
        _row(page, entry, digits, now_ns, wide=wide, show_secrets=show_secrets)


def _row(
    page: output.Page, entry: confstream.LogEntry, digits: int, now_ns: int, *, wide: bool, show_secrets: bool
) -> None:
    mark, colour = _MARKS.get(entry.verdict.status, (" ", ""))
    made = entry.authorship
    by = output.clean(f"{made.source} {made.author}".strip() if wide else made.source)
    by = by if output.width(by) <= 12 else by[:11] + "…"  # noqa: PLR2004 - the column's width
    age = output.ago(entry.time_ns, now_ns).removesuffix(" ago")
    when = f"{output.local(entry.time_ns)}  " if wide else ""
    left = f"{mark} {entry.number:>{digits}}  {when}{age:>4}  {output.pad(by, 12)}  "
    doubt = ""
    if mark != " ":
        reasons = "; ".join(map(output.clean, entry.verdict.reasons))
        doubt = f"  {entry.verdict.status.value}" + (f": {reasons}" if reasons else "")
    right = page.cut(what(entry, show_secrets=show_secrets) + doubt, output.width(left))
    style = (colour,) if colour else ()
    page.line(page.paint(left, *style) + page.paint(right, *style))


def _counted(entries: Iterable[confstream.LogEntry], seen: list[int]) -> Iterator[confstream.LogEntry]:
    """Yield *entries*, and put the number of each into *seen* first."""
    for entry in entries:
        seen.append(entry.number)
        yield entry
