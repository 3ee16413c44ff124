"""``confstream run``: a container of its own: restore what is missing, then protect it while a command runs."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import confstream
from confstream_cli import logs, options
from confstream_cli.commands import replicate, restore

logger = logging.getLogger("confstream.cli")

_EXAMPLE = "confstream run /config s3://bucket/frigate -- /init"


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
    replica, (tree,) = options.replica_and_rest(arguments, "TREE", required=1, last=True)
    if not given.options().command:
        raise confstream.UsageError(f"no command to run: write it behind --, as in {_EXAMPLE}")
    logs.configure(logging.INFO, logs.check_form(given.log_format))
    _restore(tree, replica, given)
    return replicate.protect(tree, replica, given)


def with_command(arguments: Sequence[str]) -> list[str]:
    """Return *arguments* with what ``run`` has behind ``--`` as its option ``--exec``: Typer forgets where it began."""
    given = list(arguments)
    if given[:1] != ["run"] or "--" not in given:
        return given
    where = given.index("--")
    return [*given[:where], "--exec", shlex.join(given[where + 1 :])]


def _restore(tree: str, replica: str, given: Given) -> None:
    asked = confstream.RestoreOptions(
        if_missing=True,
        if_replica_exists=given.if_replica_exists,
        guards=tuple(given.guard or ()),
        timeout_seconds=options.seconds("--timeout", given.timeout),
        actor=restore.user(),
        state_dir=None if given.state_dir is None else Path(given.state_dir).absolute(),
    )
    tracked = options.tracked(given.profile, given.include, given.exclude)
    storage = confstream.parse_storage_options(given.storage_option or [])
    report = restore.fill(replica, Path(tree), asked, tracked, storage, report=logger.info)
    done = f"restored revision {report.revision}" if report.outcome == "restored" else report.outcome
    logger.info("%s: %s", done, report.why)
