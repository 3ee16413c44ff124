"""The commands: each parses, calls the library once, and prints."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """Where a command is: only that of the one that is asked for is imported.

    With *takes_numbers*, ``-3`` is a revision and no option.
    """

    module: str
    name: str
    takes_numbers: bool = False

    def function(self) -> Callable[..., Any]:
        """Return what does it."""
        found: Callable[..., Any] = getattr(import_module(f"{__name__}.{self.module}"), self.name)
        return found


COMMANDS = {
    "replicate": Command("replicate", "replicate"),
    "restore": Command("restore", "restore"),
    "run": Command("supervise", "run"),
    "log": Command("log", "log"),
    "show": Command("revision", "show", takes_numbers=True),
    "cat": Command("revision", "cat"),
    "ls": Command("revision", "ls"),
    "diff": Command("revision", "diff", takes_numbers=True),
    "status": Command("health", "status"),
    "health": Command("probe", "health"),
    "verify": Command("upkeep", "verify"),
    "compact": Command("upkeep", "compact"),
    "tag": Command("upkeep", "tag"),
    "check-backend": Command("backend", "check_backend"),
    "doctor": Command("doctor", "doctor"),
    "config": Command("settings", "config"),
    "profile": Command("settings", "profile"),
}

EXAMPLES = {
    "replicate": "confstream replicate /config s3://bucket/frigate",
    "restore": "confstream restore --if-missing --guard config.yml s3://bucket/frigate /config",
    "run": "confstream run --if-replica-exists --guard flows.json /data s3://bucket/node-red -- npm start",
    "log": "confstream log s3://bucket/frigate config.yml --limit 20",
    "show": "confstream show s3://bucket/frigate 42",
    "cat": "confstream cat s3://bucket/frigate config.yml --timestamp '2h ago'",
    "ls": "confstream ls s3://bucket/frigate --revision -3 --recursive",
    "diff": "confstream diff s3://bucket/frigate latest-good latest --path config.yml",
    "status": "confstream status s3://bucket/frigate --max-lag 15m",
    "health": "confstream health --listen 127.0.0.1:9099",
    "verify": "confstream verify s3://bucket/frigate",
    "compact": "confstream compact s3://bucket/frigate --dry-run",
    "check-backend": "confstream check-backend s3://bucket/frigate --rounds 5",
    "doctor": "confstream doctor /config s3://bucket/frigate",
    "config": "confstream config check --config confstream.yml",
    "profile": "confstream profile detect /config",
    "tag": "confstream tag s3://bucket/frigate before-upgrade",
    "version": "confstream version",
}
"""One that works for each command, shown at the end of its help."""
