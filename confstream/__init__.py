"""Litestream for configuration directories.

    with confstream.Journal.open("/config", "s3://bucket/frigate") as journal:
        journal.write("config.yml", text)

Names are imported when they are used: ``import confstream`` costs next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from confstream.backend import BackendReport, check_backend
    from confstream.check import Check, Level
    from confstream.clock import Clock, SystemClock
    from confstream.compactor import CompactReport, compact
    from confstream.difference import tree_diff
    from confstream.doctor import Diagnosis, diagnose, self_test
    from confstream.errors import (
        AccessDeniedError,
        ConfstreamError,
        DivergedError,
        FencedError,
        IntegrityError,
        NoExclusiveCreateError,
        NoReplicaError,
        NotFoundError,
        OutcomeUnknownError,
        PartialError,
        RefusedError,
        StaleError,
        UnavailableError,
        UsageError,
    )
    from confstream.events import about, carrying, in_stream, stream_name
    from confstream.history import History, LogEntry, Target
    from confstream.journal.before import recording
    from confstream.journal.journal import Journal
    from confstream.journal.peek import Glance, peek
    from confstream.journal.views import JournalStatus
    from confstream.log.intent import Writer
    from confstream.log.publisher import Publisher
    from confstream.masking import mask_line
    from confstream.meter import Meter
    from confstream.moments import check_tag, format_local, format_utc, parse_duration
    from confstream.naming import path_fields, quote_path, summary
    from confstream.observe.asking import ask_health
    from confstream.observe.observer import observing
    from confstream.presence import is_missing
    from confstream.profiles import Profile, recognise
    from confstream.profiles import load as load_profile
    from confstream.profiles import names as profile_names
    from confstream.profiles.memory import plain_guards
    from confstream.recount import gist, gists
    from confstream.replicator import ReplicateOptions, ReplicateReport, Replicator
    from confstream.restorer import RestoreOptions, RestoreReport, read_one, restore
    from confstream.revision import Authorship, Heartbeat, Status, Verdict
    from confstream.selection import Selection
    from confstream.settings import schema as settings_schema
    from confstream.settings_file import load_settings
    from confstream.sizes import parse_size, show_size
    from confstream.store.open import mask_url, open_store, parse_storage_options
    from confstream.store.s3_choice import client_of as s3_client_of
    from confstream.stream import Settings, Stream
    from confstream.supervisor import Ending, Supervisor
    from confstream.tracking import Tracking, TrackOptions, track
    from confstream.tree import Change, Entry, Kind, Tree
    from confstream.verifier import VerifyReport, verify

_CALLED = {"load_profile": "load", "profile_names": "names", "s3_client_of": "client_of", "settings_schema": "schema"}
"""What is called otherwise where it lives: there its module says what it is about."""

_HOMES = {
    "confstream.backend": "BackendReport check_backend",
    "confstream.check": "Check Level",
    "confstream.clock": "Clock SystemClock",
    "confstream.compactor": "CompactReport compact",
    "confstream.difference": "tree_diff",
    "confstream.doctor": "Diagnosis diagnose self_test",
    "confstream.errors": "AccessDeniedError ConfstreamError DivergedError FencedError IntegrityError "
    "NoExclusiveCreateError NoReplicaError NotFoundError OutcomeUnknownError PartialError RefusedError StaleError "
    "UnavailableError UsageError",
    "confstream.events": "about carrying in_stream stream_name",
    "confstream.history": "History LogEntry Target",
    "confstream.journal.before": "recording",
    "confstream.journal.journal": "Journal",
    "confstream.journal.peek": "Glance peek",
    "confstream.journal.views": "JournalStatus",
    "confstream.log.intent": "Writer",
    "confstream.log.publisher": "Publisher",
    "confstream.masking": "mask_line",
    "confstream.meter": "Meter",
    "confstream.moments": "check_tag format_local format_utc parse_duration",
    "confstream.naming": "path_fields quote_path summary",
    "confstream.presence": "is_missing",
    "confstream.observe.asking": "ask_health",
    "confstream.observe.observer": "observing",
    "confstream.profiles": "Profile load_profile profile_names recognise",
    "confstream.profiles.memory": "plain_guards",
    "confstream.recount": "gist gists",
    "confstream.replicator": "ReplicateOptions ReplicateReport Replicator",
    "confstream.restorer": "RestoreOptions RestoreReport read_one restore",
    "confstream.revision": "Authorship Heartbeat Status Verdict",
    "confstream.selection": "Selection",
    "confstream.settings": "settings_schema",
    "confstream.settings_file": "load_settings",
    "confstream.sizes": "parse_size show_size",
    "confstream.store.open": "mask_url open_store parse_storage_options",
    "confstream.store.s3_choice": "s3_client_of",
    "confstream.stream": "Settings Stream",
    "confstream.supervisor": "Ending Supervisor",
    "confstream.tracking": "TrackOptions Tracking track",
    "confstream.tree": "Change Entry Kind Tree",
    "confstream.verifier": "VerifyReport verify",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AccessDeniedError",
    "Authorship",
    "BackendReport",
    "Change",
    "Check",
    "Clock",
    "CompactReport",
    "ConfstreamError",
    "Diagnosis",
    "DivergedError",
    "Ending",
    "Entry",
    "FencedError",
    "Glance",
    "Heartbeat",
    "History",
    "IntegrityError",
    "Journal",
    "JournalStatus",
    "Kind",
    "Level",
    "LogEntry",
    "Meter",
    "NoExclusiveCreateError",
    "NoReplicaError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartialError",
    "Profile",
    "Publisher",
    "RefusedError",
    "ReplicateOptions",
    "ReplicateReport",
    "Replicator",
    "RestoreOptions",
    "RestoreReport",
    "Selection",
    "Settings",
    "StaleError",
    "Status",
    "Stream",
    "Supervisor",
    "SystemClock",
    "Target",
    "TrackOptions",
    "Tracking",
    "Tree",
    "UnavailableError",
    "UsageError",
    "Verdict",
    "VerifyReport",
    "Writer",
    "about",
    "ask_health",
    "carrying",
    "check_backend",
    "check_tag",
    "compact",
    "diagnose",
    "format_local",
    "format_utc",
    "gist",
    "gists",
    "in_stream",
    "is_missing",
    "load_profile",
    "load_settings",
    "mask_line",
    "mask_url",
    "observing",
    "open_store",
    "parse_duration",
    "parse_size",
    "parse_storage_options",
    "path_fields",
    "peek",
    "plain_guards",
    "profile_names",
    "quote_path",
    "read_one",
    "recognise",
    "recording",
    "restore",
    "s3_client_of",
    "self_test",
    "settings_schema",
    "show_size",
    "stream_name",
    "summary",
    "track",
    "tree_diff",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'confstream' has no attribute {name!r}")
    # P2: neither this module nor typing is imported where nothing has to be done.
    from importlib import import_module  # noqa: PLC0415

    found: object = getattr(import_module(_HOME[name]), _CALLED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
