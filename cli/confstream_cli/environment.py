"""The ``CONFSTREAM_*`` variables that there are; any other is a mistake that is told (P13).

Each option has the variable of its name. Imports nothing: the shortcut of
``restore --if-missing`` needs it, too.
"""

PREFIX = "CONFSTREAM_"

_OF_RESTORE = """
    CONFIG DELETE DRY_RUN EXCLUDE FAST_FORWARD FORCE GUARD IF_MISSING IF_REPLICA_EXISTS INCLUDE JSON NO_OWNER OWNER PATH
    PROFILE REPLICA REVISION S3_CLIENT STATE_DIR STORAGE_OPTION STREAM TIMEOUT TIMESTAMP TO_STDOUT
"""
_OF_OTHERS = """
    DEBUG EXEC EXIT_CODE FAIL_AFTER HEARTBEAT KEYS LIMIT LISTEN LOG_FORMAT MAX_LAG NO_GUARDS ONCE PING_URL POLL
    QUICK RACERS RECURSIVE REVERSE ROUNDS SCAN_INTERVAL SELF SETTLE SHOW_SECRETS SHUTDOWN_TIMEOUT SPOOL_MAX TAKEOVER
    TREE UNSAFE_SINGLE_WRITER
"""
OF_RESTORE = frozenset(PREFIX + name for name in _OF_RESTORE.split())
"""What ``restore`` reads."""

OF_OTHERS = frozenset(PREFIX + name for name in _OF_OTHERS.split())
"""What only other commands read."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def unknown(names: "Iterable[str]") -> list[str]:
    """Return which of *names* look like ours and are not, in order."""
    return sorted(
        name
        for name in names
        if name.startswith(PREFIX) and name not in OF_RESTORE and name not in OF_OTHERS and not is_service_link(name)
    )


def nearest(name: str) -> str:
    """Return the variable that *name* is most likely a misspelling of."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    return get_close_matches(name, sorted(OF_RESTORE | OF_OTHERS), 1, 0)[0]


def is_service_link(name: str) -> bool:
    """Return whether *name* is a variable that Kubernetes sets in every pod beside a service called ``confstream…``.

    Nobody chose those, so they are no mistake: ``CONFSTREAM_SERVICE_HOST``, ``CONFSTREAM_PORT_80_TCP_ADDR``.
    """
    parts = name.split("_")[1:]
    if parts[-2:] == ["SERVICE", "HOST"] or parts[-1:] == ["PORT"]:
        return True
    for index, part in enumerate(parts):
        if part == "SERVICE" and parts[index + 1 : index + 2] == ["PORT"]:
            return True
        if part == "PORT" and parts[index + 1 : index + 2] and parts[index + 1].isdigit():
            return parts[index + 2 : index + 3] in (["TCP"], ["UDP"], ["SCTP"])
    return False
