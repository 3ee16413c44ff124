"""``confstream doctor``: what somebody who helps would ask, answered at once."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import confstream
from confstream_cli import environment, findings, logs, options, output, streams

_WIDTH = len("room for the journal")
_REPLICA = "CONFSTREAM_REPLICA"

_Self = Annotated[bool, options.option("--self", "Only whether this installation works: for the build of an image.")]


@dataclass(frozen=True, kw_only=True)
class Given(options.GivenTracked):
    """The options of ``doctor``."""

    itself: _Self = False
    state_dir: options.StateDir = None
    json: options.Json = False
    storage_option: options.StorageOption = None
    s3_client: options.S3Client = None
    timeout: options.Timeout = options.TIMEOUT
    config: options.Config = None
    stream: options.Stream = None


@options.command("[TREE] [REPLICA]", Given)
def doctor(arguments: list[str], given: Given) -> None:
    """Look at everything, and say what to do.

    Modules, validators, permissions of every file, journal, limits, room, credentials, storage, clocks, heartbeat.
    Changes nothing but for the objects that prove exclusive creation on the replica, which it removes. Ends with 0 if
    nothing failed (warnings do not count), else with the code of the worst failure: 13, 14, 16, 11, 3, 2, or 15 for
    everything else. With --self, 0 or 1.
    """
    page = output.Page()
    # What is logged is found here as well, and said with what to do.
    logs.configure(logging.CRITICAL)

    def tell(check: confstream.Check) -> None:
        if not given.json:
            findings.show(page, check, _WIDTH)

    with findings.interruptible():
        seen = confstream.self_test(tell=tell) if given.itself else _diagnosis(arguments, given, tell)
    if given.json:
        page.json(seen.as_json())
    elif seen.ok:
        doubts = sum(check.level is confstream.Level.WARN for check in seen.checks)
        page.line(page.paint(f"nothing failed, {output.plural(doubts, 'warning')}", "yellow" if doubts else "green"))
    if seen.error is not None:
        raise seen.error


def _diagnosis(arguments: list[str], given: Given, tell: Callable[[confstream.Check], None]) -> confstream.Diagnosis:
    tree, stream = _places(arguments, given)
    storage = options.storage_of(streams.address(stream), given.storage_option, given.s3_client)
    timeout_seconds = options.seconds("--timeout", given.timeout)
    mistaken = [_unknown(name) for name in environment.unknown(os.environ)]
    for check in mistaken:
        tell(check)
    found = confstream.diagnose(
        tree,
        stream.replica,
        state_dir=given.state_dir if "state_dir" in given.named else stream.state_dir,
        tracked=options.tracked(given, stream),
        storage_options=storage,
        environment=os.environ,
        timeout_seconds=timeout_seconds,
        tell=tell,
    )
    return confstream.Diagnosis((*mistaken, *found.checks))


def _places(arguments: list[str], given: Given) -> tuple[str | None, confstream.Stream]:
    """Return the tree, if there is one, and what is said of it and its replica."""
    if given.config is not None or given.stream is not None:
        stream = streams.only(streams.chosen(arguments, given.config, given.stream)[0], "doctor")
        return stream.tree, stream
    tree, replica = _named(arguments)
    return tree, confstream.Stream("", tree or "", replica)


def _named(arguments: list[str]) -> tuple[str | None, str]:
    """Return tree and replica: what is a URL is a replica, also alone."""
    replica = os.environ.get(_REPLICA, "").strip()
    if len(arguments) == 1 and ("://" in arguments[0] or "::" in arguments[0]):
        return None, arguments[0]
    if len(arguments) > 2:  # noqa: PLR2004 - a tree and a replica
        raise confstream.UsageError(f"{arguments[2]!r} is one argument too many; expected [TREE] [REPLICA]")
    return arguments[0] if arguments else None, arguments[1] if len(arguments) > 1 else replica


def _unknown(name: str) -> confstream.Check:
    advice = f"nearest is {environment.nearest(name)}; rename or unset it: every other command refuses to start"
    return confstream.Check(name, confstream.Level.FAIL, "there is no such variable", advice, confstream.UsageError)
