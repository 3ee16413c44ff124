"""What a log line means to a program: its event, the event's fields, and the stream that it is about.

Pure. ``LOGS.md`` lists the events: their names and fields are stable, the
messages beside them are for people and are not. No field ever holds a secret or
the content of a file (P12); a text that somebody else wrote is masked where it is shown.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, ParamSpec, TypeVar

Event = Literal[
    "adopted",
    "bug",
    "cleanup_failed",
    "client_changed",
    "coalesced",
    "compared",
    "events_lost",
    "failed",
    "fenced",
    "fork_failed",
    "forked",
    "heartbeat_not_released",
    "heartbeat_unreadable",
    "held",
    "journal_behind",
    "journal_moved",
    "listening",
    "note_unreadable",
    "pack_differs",
    "pack_failed",
    "packed",
    "ping_failed",
    "pinging",
    "polling",
    "profile",
    "profile_forgotten",
    "recovered",
    "replica_created",
    "replica_refused",
    "replica_unreachable",
    "request_recovered",
    "request_repeated",
    "restore_finished",
    "restored",
    "revision_published",
    "standby",
    "started",
    "stopped",
    "takeover",
    "unreadable",
    "unrecorded",
    "unsafe",
    "untracked",
    "unwatched",
    "validator_broken",
    "validator_recovered",
    "watching",
    "writes_finished",
]

Field = str | int | float | bool | bytes | BaseException | Sequence[str] | None

_stream: ContextVar[str] = ContextVar("confstream_stream", default="")
_P = ParamSpec("_P")
_T = TypeVar("_T")


def about(name: Event, **fields: Field) -> dict[str, Any]:
    """Return what a log call takes as ``extra``, so that a program can tell what happened without reading words.

    Times end in ``_s``. A path is bytes; an exception is the ``error`` it says.
    What is None is left out.
    """
    return {"event": name, "fields": {key: value for key, value in fields.items() if value is not None}}


def stream_name() -> str:
    """Return the name of the stream that this thread works for; empty if it has none."""
    return _stream.get()


@contextmanager
def in_stream(name: str) -> Iterator[None]:
    """Have what is logged in here, and in threads made with ``carrying``, belong to the stream *name*."""
    token = _stream.set(name)
    try:
        yield
    finally:
        _stream.reset(token)


def carrying(target: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return *target* as threads must be given it to work for the stream of the thread that makes them."""
    name = stream_name()

    def run(*arguments: _P.args, **named: _P.kwargs) -> _T:
        with in_stream(name):
            return target(*arguments, **named)

    return run
