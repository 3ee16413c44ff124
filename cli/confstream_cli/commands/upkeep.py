"""``confstream verify``, ``compact`` and ``tag``: what is done to a replica now and then."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import sys
import threading
from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_Quick = Annotated[bool, options.option("--quick", "Prove chain and trees, do not read packed contents.")]


def verify(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA]")] = None,
    *,
    quick: _Quick = False,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Prove that everything can be restored.

    Reads the whole replica; ends with 14 if not all of it can, and names what can.
    """
    replica, _ = options.replica_and_rest(arguments, config=config, stream=stream)
    progress = _Progress()
    report = confstream.verify(_open(replica, storage_option, s3_client, timeout), quick=quick, progress=progress.tell)
    progress.clear()
    page = output.Page()
    if json:
        page.json(_verify_json(report))
    else:
        for problem in report.problems:
            page.line(page.paint(output.clean(str(problem)), "yellow" if problem.harmless else "red"))
        last = str(report).splitlines()[len(report.problems) :]
        for line in last:
            page.line(output.clean(line) if not report.ok else page.paint(output.clean(line), "green"))
    if not report.ok:
        count = sum(not problem.harmless for problem in report.problems)
        lost = f"; revisions {_spans(report.lost)} cannot be restored" if report.lost else ""
        left = f"revisions {_spans(report.restorable)}" if report.restorable else "none"
        raise confstream.IntegrityError(f"{report.url}: {output.plural(count, 'problem')}{lost}; {left} can be")


def compact(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA]")] = None,
    *,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Pack old revisions into few objects.

    Every one stays restorable. The process that replicates does this by itself, though less tightly.
    """
    replica, _ = options.replica_and_rest(arguments, config=config, stream=stream)
    report = confstream.compact(
        _open(replica, storage_option, s3_client, timeout), confstream.SystemClock(), dry_run=dry_run
    )
    page = output.Page()
    if json:
        page.json(
            {
                "dry_run": report.dry_run,
                "packs": [{"first": first, "last": last} for first, last in report.packs or report.plan.packs],
                "deleted": len(report.deleted),
                "waiting": report.plan.waiting,
                "strays": list(report.strays),
            }
        )
        return
    page.line(output.clean(str(report)))


def tag(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA] NAME")] = None,
    *,
    revision: options.Revision = None,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Give a revision a name.

    Default: the latest. Every --revision takes the name, which stays with it.
    """
    replica, (name,) = options.replica_and_rest(arguments, "NAME", required=1, config=config, stream=stream)
    confstream.check_tag(name)
    with options.open_history(replica, storage_option, s3_client, timeout) as history:
        target = history.resolve(revision)
        if target.entry.fork is not None:
            raise confstream.UsageError(f"{revision} is in no log: a tag names a revision of the log")
        number = target.number
        known = history.reader.tag(name).number if name in history.reader.listing.tags else number
        if known != number:
            raise confstream.RefusedError(
                f"tag {name} names revision {known} already, and for ever; choose another name"
            )
        # A tag is no revision: it needs neither an epoch nor a place in the log.
        publisher = confstream.Publisher(
            history.reader, confstream.Writer("tag", ""), confstream.SystemClock(), threading.Event(), grace_seconds=0
        )
        publisher.tag(name, history.reader.revision(number))
    page = output.Page()
    if json:
        page.json({"tag": name, "revision": number})
    else:
        page.line(f"tag {name} names revision {number}")


class _Progress:
    """One line on a terminal that is written over and over."""

    def __init__(self) -> None:
        self._page = output.Page(sys.stderr)
        self._shown = ""

    def tell(self, done: int, total: int) -> None:
        """Show how many objects were read of how many, whenever the percentage changes."""
        text = f"reading {total} objects, {100 * done // max(1, total)} %"
        if self._page.is_terminal and text != self._shown:
            self._shown = text
            self._page.write(f"\r{self._page.cut(text)}")
            self._page.stream.flush()

    def clear(self) -> None:
        """Leave an empty line for what comes next."""
        if self._shown:
            self._page.write("\r" + " " * len(self._page.cut(self._shown)) + "\r")
            self._page.stream.flush()


def _open(replica: str, storage_option: list[str] | None, s3_client: str | None, timeout: str) -> Any:  # noqa: ANN401 - whatever a store is
    return confstream.open_store(
        replica,
        storage_options=options.storage_of(replica, storage_option, s3_client),
        timeout_seconds=options.seconds("--timeout", timeout),
    )


def _verify_json(report: confstream.VerifyReport) -> dict[str, Any]:
    return {
        "replica": report.url,
        "ok": report.ok,
        "quick": report.quick,
        "first": report.first,
        "head": report.head,
        "revisions": report.revisions,
        "restorable": [list(span) for span in report.restorable],
        "lost": [list(span) for span in report.lost],
        "problems": [
            {
                "flaw": problem.flaw.value,
                "key": problem.key,
                "found": problem.found,
                "expected": problem.expected,
                "harmless": problem.harmless,
            }
            for problem in report.problems
        ],
        "objects": report.objects,
        "bytes": report.bytes,
    }


def _spans(spans: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
