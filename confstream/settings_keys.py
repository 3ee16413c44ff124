"""The keys of ``confstream.yml``, declared once: reader, text form and the JSON Schema for editors follow from it.

Pure. What no code honours is no key.
"""

from dataclasses import dataclass

from confstream.settings_checks import CHECKS, LABELS, REQUIRED
from confstream.settings_kinds import (
    BOOLEAN,
    LOG_FORMAT,
    OPTIONS,
    PATHS,
    PATTERNS,
    PROFILE,
    S3_CLIENT,
    SECRET,
    SIZE,
    TEXT,
    Kind,
    duration,
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a stream, and the field that it becomes; *option* if ``ReplicateOptions`` has that field, too."""

    name: str
    field: str
    kind: Kind
    description: str
    required: bool = False
    option: bool = False


KEYS = (
    Key("tree", "tree", TEXT, "The directory to protect.", required=True),
    Key("replica", "replica", TEXT, "A URL such as s3://bucket/prefix, or a directory.", required=True),
    Key("profile", "profile", PROFILE, "Built-in rules for an application; auto recognises it, none tracks all."),
    Key("include", "include", PATTERNS, "Track only these, as .gitignore names files."),
    Key("exclude", "exclude", PATTERNS, "Do not track these; a pattern that begins with ! takes back."),
    Key("guard", "guard", PATHS, "Files without which the configuration is missing, instead of the profile's."),
    Key("validators", "validators", CHECKS, "What else judges files: built-in validators, commands, JSON Schemas."),
    Key("required", "required", REQUIRED, "Keys that files must have, by pattern; a dot leads into a mapping."),
    Key("labels", "labels", LABELS, "Recorded with every revision."),
    Key("settle", "settle_seconds", duration(0.02), "How long a file must be unchanged, as in 2s.", option=True),
    Key("heartbeat", "heartbeat_seconds", duration(0), "How often to prove being alive; 0 is never.", option=True),
    Key("fail_after", "fail_after_seconds", duration(0), "End when the replica took nothing for so long.", option=True),
    Key("spool_max", "spool_bytes_max", SIZE, "Past this, the oldest unpublished revisions are merged.", option=True),
    Key("scan_interval", "scan_seconds", duration(0.001), "How often to compare the whole directory.", option=True),
    Key("shutdown_timeout", "shutdown_seconds", duration(0), "How long the end may take.", option=True),
    Key("timeout", "timeout_seconds", duration(0.001), "How long a request may take.", option=True),
    Key("state_dir", "state_dir", TEXT, "Where the journal lives, if not in .confstream/.", option=True),
    Key(
        "unsafe_single_writer",
        "unsafe_single_writer",
        BOOLEAN,
        "Use a backend that cannot create exclusively, and see to it that there is one writer.",
        option=True,
    ),
    Key("s3_client", "s3_client", S3_CLIENT, "For S3: lean, s3fs, or auto, which takes the lean one where it can."),
    Key("storage_options", "storage_options", OPTIONS, "Options for the backend; credentials rather from AWS_*."),
)


OF_PROCESS = (
    Key("listen", "listen", TEXT, "Answer health and metrics there, as in :9099."),
    Key("ping_url", "ping_url", SECRET, "Tell healthchecks.io or Uptime Kuma that all is well; a secret."),
    Key("log_format", "log_format", LOG_FORMAT, "How the log is written: text or json."),
)
