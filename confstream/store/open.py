"""From a URL to a store; and how to show a URL without its secrets.

A plain path is a local directory, ``s3://`` is hardened, anything else is a
matter of fsspec, which is imported for nothing but that.
"""

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from confstream.clock import Clock
from confstream.errors import UnavailableError, UsageError
from confstream.pattern import pattern
from confstream.store import Store
from confstream.store.fallback import FallbackStore
from confstream.store.s3_choice import OPTION, check_client, choose

if TYPE_CHECKING:
    from pathlib import Path

_PROTOCOL = pattern(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
# As rclone names a remote, or with a slash too few.
_HALF_A_PROTOCOL = pattern(r"([A-Za-z][A-Za-z0-9+.-]+):(?!//|:)/?")
# A password may have any sign in it; a port, which also follows a colon, has digits only.
_USERINFO = pattern(r"://(?:(?!(?:[^/@\s:]*|\[[^\]/]*\]):\d+(?:[/?#]|$))[^/@\s:]*:\S*@|[^/?#\s]*@)")
_SENSITIVE_NAME = (
    r"[^=&?#\s]*(?:secret|token|passw|pwd|passphrase|signature|credential|auth|api[-_]?key|access[-_]?key|account[-_]?key"
    r"|private)[^=&?#\s]*|key|sig|sas|pass"
)
_ACCESS_POINT = pattern(r"[^:]*://(arn:aws[^/@?#]*:accesspoint[:/][^/@?#]+)/?")
_SECRET_QUERY = pattern(rf"([?&;](?:{_SENSITIVE_NAME})=)[^&#;\s]*", re.IGNORECASE)
_SECRET_OPTION = pattern(_SENSITIVE_NAME, re.IGNORECASE)


def open_store(
    url: str,
    *,
    storage_options: dict[str, Any] | None = None,
    timeout_seconds: float = 30.0,
    clock: Clock | None = None,
) -> Store:
    """Return the store at *url*, without contacting it.

    A plain path or ``file://`` is a local directory, ``memory://NAME`` is shared
    by this process, ``s3://BUCKET/PREFIX`` is S3, and every other protocol is
    fsspec's. *storage_options* go to fsspec's file system, but for ``s3_client``:
    ``auto``, ``lean`` or ``s3fs``, for S3 alone. *timeout_seconds* bounds every
    single request. Raise ``UsageError`` for a URL or options that
    cannot be meant, or whose package is not installed, and ``UnavailableError``
    where a file system has to connect before it exists, and cannot.
    """
    check_url(url)
    options = dict(storage_options or {})
    check_client(options)
    match = _PROTOCOL.match(url)
    protocol = match.group(1).lower() if match else "file"
    if match and match.group(2) == "::":
        protocol = "chain"
    if protocol not in ("s3", "s3a"):
        # A process with several replicas says it once for all of them.
        options.pop(OPTION, None)
    if protocol in ("file", "memory"):
        if options:
            raise UsageError(f"{mask_url(url)} takes no storage options; found {', '.join(sorted(options))}")
        return _open_here(url, protocol, url[match.end() :] if match else url, clock)
    if protocol in ("s3", "s3a"):
        return _open_s3(url, options, timeout_seconds, clock)
    return _open_fsspec(url, protocol, options, timeout_seconds)


def check_url(url: str) -> None:
    """Raise ``UsageError`` if *url* can be no replica's."""
    if not url.strip() or "\0" in url:
        raise UsageError(f"not a replica: {url!r}; expected a directory or a URL such as s3://bucket/prefix")
    if url != url.strip() or any(sign in url for sign in "\r\n"):
        # Another place than the one that is meant, and one that nobody would find again.
        raise UsageError(
            f"the replica {mask_url(url.strip())!r} begins or ends with a blank or a line break: leave that out;"
            " correct CONFSTREAM_REPLICA, or whatever names it"
        )
    if half := _HALF_A_PROTOCOL.match(url):
        # A directory somewhere in a container would pass for a replica, until the container is gone.
        meant = f"{half.group(1)}://{url[half.end() :]}"
        raise UsageError(
            f"the replica {half.group(1)}:... is neither a URL nor a plain path: write {mask_url(meant)}, or begin the"
            " path of a directory with ./"
        )


def mask_url(url: str) -> str:
    """Return *url* as it may be shown: user info and secret-looking query values are ``***`` (P12)."""
    # Only up to the last "@" is there user info to look for, so no search runs to the end in vain.
    last = url.rfind("@") + 1
    if last:
        url = _USERINFO.sub("://***@", url[:last]) + url[last:]
    return _SECRET_QUERY.sub(r"\1***", url) if "=" in url else url


def parse_storage_options(options: list[str]) -> dict[str, Any]:
    """Return what *options*, each ``key=value``, say together.

    A value is JSON if it can be read as such, else text; a dot in a key
    descends: ``client_kwargs.region_name=eu-1``. Raise ``UsageError`` for
    anything else, without quoting the value.
    """
    result: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        parts = key.split(".")
        if not equals or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part) for part in parts):
            raise UsageError(f"not a storage option: {key!r}; expected key=value, or key.key=value for a nested one")
        place = result
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(f"storage option {key}: {part} is a value already, and cannot hold others")
        if parts[-1] in place:
            raise UsageError(f"storage option {key} is given twice")
        place[parts[-1]] = _value(text)
    return result


def _value(text: str) -> Any:  # noqa: ANN401 - whatever JSON can be.
    import json  # noqa: PLC0415 - only for who gives options

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # A key id of digits is a name, not a number: 007 is text, and so is what does not come back the same.
    return value if not isinstance(value, (int, float)) or isinstance(value, bool) or str(value) == text else text


def _open_here(url: str, protocol: str, rest: str, clock: Clock | None) -> Store:
    if protocol == "file":
        from confstream.store.local import LocalStore  # noqa: PLC0415 - as above

        return LocalStore(_local_path(url, rest), clock=clock)
    from confstream.store.memory import MemoryStore  # noqa: PLC0415 - as above

    return MemoryStore(_name(rest))


def _local_path(url: str, rest: str) -> "Path":
    from pathlib import Path  # noqa: PLC0415 - as above

    if url.lower().startswith("file://"):
        rest = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
        if not rest.startswith("/"):
            raise UsageError(f"{mask_url(url)} names another host; expected file:///absolute/path, or a plain path")
    return Path(rest)


def _name(rest: str) -> str:
    name = rest.strip("/")
    if not name:
        raise UsageError("memory:// needs a name; expected memory://NAME")
    return name


def _open_s3(url: str, options: dict[str, Any], timeout_seconds: float, clock: Clock | None) -> Store:
    masked = mask_url(url)
    try:
        query = urlsplit(url).query
    except ValueError as error:
        raise UsageError(f"{masked}: no bucket has brackets in its name; expected s3://bucket/prefix") from error
    if "***@" in masked or query:
        raise UsageError(f"{masked}: expected s3://bucket/prefix, with credentials in AWS_* and options in options")
    # A "#" may be part of a prefix: S3 knows no fragments.
    access_point = _ACCESS_POINT.match(url)
    bucket, _, prefix = url[url.index("://") + 3 :].partition("/")
    if access_point:
        bucket, prefix = access_point.group(1), url[access_point.end() :]
    for part in prefix.strip("/").split("/"):
        if prefix.strip("/") and part in ("", ".", ".."):
            raise UsageError(f"{masked}: the prefix has the part {part!r}; expected names joined by single slashes")
    found = choose(bucket, options, os.environ)
    others = {name: value for name, value in options.items() if name != OPTION}

    def through_s3fs() -> Store:
        from confstream.store.s3 import S3Store  # noqa: PLC0415

        return S3Store(bucket, prefix, storage_options=others, timeout_seconds=timeout_seconds, clock=clock)

    if isinstance(found, str):
        return through_s3fs()
    from confstream.store.lean import LeanStore  # noqa: PLC0415

    lean = LeanStore(
        bucket,
        prefix,
        settings=found,
        find=lambda: choose(bucket, options, os.environ),
        timeout_seconds=timeout_seconds,
        clock=clock,
    )
    return lean if options.get(OPTION) == "lean" else FallbackStore(lean, through_s3fs)


def _open_fsspec(url: str, protocol: str, options: dict[str, Any], timeout_seconds: float) -> Store:
    import socket  # noqa: PLC0415

    masked = mask_url(url)
    try:
        import fsspec  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"{masked}: the module {error.name} cannot be imported: pip install fsspec") from error
    from confstream.store.fsspec import FsspecStore  # noqa: PLC0415

    secrets = _secrets(url, options)
    try:
        try:
            fs, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
        except TypeError:
            # Some file systems refuse options they do not know; the store empties their caches itself.
            fs, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)
    except ImportError as error:
        raise UsageError(f"{masked}: {error}") from error
    except ValueError as error:
        known = f"fsspec knows no protocol {protocol!r}" if "not known" in str(error) else _scrub(str(error), secrets)
        raise UsageError(f"{masked}: {known}; expected a directory, s3:// or another protocol of fsspec") from error
    except (ConnectionError, TimeoutError, socket.gaierror) as error:
        # Some file systems connect as they are made.
        raise UnavailableError(f"{masked}: cannot be reached: {error.strerror or type(error).__name__}") from error
    except Exception as error:
        raise UsageError(f"{masked}: cannot be opened: {_scrub(str(error), secrets)}") from error
    return FsspecStore(fs, root, url=masked, timeout_seconds=timeout_seconds, secrets=secrets)


def _secrets(url: str, options: dict[str, Any]) -> tuple[str, ...]:
    """Return every text in *url* and *options* that no message may repeat."""
    found = [match.group(0)[3:-1].partition(":")[2] for match in _USERINFO.finditer(url)]
    with contextlib.suppress(ValueError):
        found.append(urlsplit(url).password or "")
    found += [match.group(0).partition("=")[2] for match in _SECRET_QUERY.finditer(url)]
    for name, value in options.items():
        if isinstance(value, dict):
            found += _secrets("", value)
        elif _SECRET_OPTION.fullmatch(name):
            found.append(str(value))
    return tuple(text for text in found if text)


def _scrub(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
