"""Asking a running process how it is: for probes that run a command, and for people."""

import http.client
import json
from typing import Any

from confstream.errors import UnavailableError, UsageError
from confstream.observe.address import PORT, parse

_SIZE_MAX = 1 << 22
_STATUSES = ("ok", "degraded", "failing")


def ask_health(listen: str = "", *, timeout_seconds: float = 5.0) -> dict[str, Any]:
    """Return the document of ``/healthz`` from the process that listens on *listen*, by default on port 9099 here.

    Raise ``UnavailableError`` if nobody answers there, or something else does;
    ``UsageError`` for an address that cannot be meant.
    """
    address = parse(listen or f":{PORT}").asked
    if not address.port:
        raise UsageError(f"{listen!r} lets the system choose the port; the log line 'listening on' says which it is")
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/healthz")
        document = json.loads(connection.getresponse().read(_SIZE_MAX))
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnavailableError(
            f"nobody answers on {address}: {why}; is confstream replicate running there, with --listen?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _foreign(str(address)) from error
    finally:
        connection.close()
    if not isinstance(document, dict) or document.get("status") not in _STATUSES:
        raise _foreign(str(address))
    return document


def _foreign(address: str) -> UnavailableError:
    return UnavailableError(f"what answers on {address} is not confstream; give the address of its --listen")
