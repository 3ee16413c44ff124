"""``confstream run``: a container of its own: restore what is missing, then protect it while a command runs."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import confstream
from confstream_cli import options, streams
from confstream_cli.commands import replicate, restore

logger = logging.getLogger("confstream.cli")

_COUNTED = {"present": "skipped_present", "first start": "no_replica"}
_EXAMPLE = "confstream run /data s3://bucket/node-red -- npm start"


@dataclass(frozen=True, kw_only=True)
class Given(replicate.Given):
    """The options of ``run``: those of ``replicate``, and what a restore of the missing needs to know."""

    if_replica_exists: restore.IfReplicaExists = False
    guard: restore.Guard = None


@options.command("TREE [REPLICA] -- COMMAND [ARGUMENT]...", Given, without={"once"})
def run(arguments: list[str], given: Given) -> int:
    """Restore if the configuration is missing, then protect it while a command runs.

    For one container: the command starts once the configuration is there, gets every signal, and its exit code is
    this one's, unless the restore or the last publication fails. What is present is never touched.
    """
    found, settings = streams.chosen(arguments, given.config, given.stream, last=True)
    stream = streams.only(found, "run")
    if not given.options(stream).command:
        raise confstream.UsageError(f"no command to run: write it behind --, as in {_EXAMPLE}")
    replicate.begin_log(given, settings)
    meter = confstream.Meter()
    _restore(stream, given, meter)
    return replicate.protect([stream], given, settings, meter)


def with_command(arguments: Sequence[str]) -> list[str]:
    """Return *arguments* with what ``run`` has behind ``--`` as its option ``--exec``: Typer forgets where it began."""
    given = list(arguments)
    if given[:1] != ["run"] or "--" not in given:
        return given
    where = given.index("--")
    return [*given[:where], "--exec", shlex.join(given[where + 1 :])]


def _restore(stream: confstream.Stream, given: Given, meter: confstream.Meter) -> None:
    asked = given.options(stream)
    wanted = confstream.RestoreOptions(
        if_missing=True,
        if_replica_exists=given.if_replica_exists,
        guards=tuple(given.guard or ()),
        timeout_seconds=asked.timeout_seconds,
        actor=restore.user(),
        state_dir=asked.state_dir,
    )
    tracked, storage = (
        options.tracked(given, stream),
        options.storage_of(streams.address(stream), given.storage_option, given.s3_client),
    )
    clock = confstream.SystemClock()
    began = clock.elapsed_seconds()
    report = restore.fill(stream, wanted, tracked, storage, report=logger.info)
    outcome = _COUNTED.get(report.outcome, "restored")
    meter.count("restores_total", outcome=outcome)
    if outcome == "restored":
        meter.observe("restore_duration_seconds", clock.elapsed_seconds() - began)
    done = f"restored revision {report.revision}" if report.outcome == "restored" else report.outcome
    told = confstream.about("restored", outcome=report.outcome, position=report.revision or None)
    logger.info("%s: %s", done, report.why, extra=told)
