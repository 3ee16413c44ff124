"""Which client speaks to S3: the lean one where it certainly means what s3fs would, s3fs everywhere else.

s3fs finds settings in many places that the lean client does not know, and the
lean one reads variables that s3fs does not: whatever only one of the two would
honour decides for s3fs, so that neither credentials nor bucket ever depend on it.
"""

import os
from collections.abc import Mapping
from dataclasses import field
from importlib.util import find_spec
from typing import Any

from confstream.errors import UsageError
from confstream.pattern import pattern
from confstream.values import dataclass

__all__ = ["CLIENTS", "OPTION", "LeanSettings", "check_client", "choose", "client_of", "has_certificates"]

CLIENTS = ("auto", "lean", "s3fs")
OPTION = "s3_client"
"""The storage option that chooses: one of ``CLIENTS``."""

# What both understand alike, or what is without effect where key and secret are given.
_KNOWN_VARIABLES = """
    AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION AWS_REGION AWS_ENDPOINT_URL
    AWS_ENDPOINT_URL_S3 AWS_CA_BUNDLE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_EC2_METADATA_DISABLED
    AWS_EXECUTION_ENV AWS_SDK_UA_APP_ID AWS_STS_REGIONAL_ENDPOINTS AWS_ROLE_ARN AWS_ROLE_SESSION_NAME
    AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI
    AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_PAGER
"""
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_VALUE = pattern(r"[!-~]+")
_ENDPOINT = pattern(r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?")
_PROXY = pattern(r"http://[A-Za-z0-9.-]+:\d{1,5}/?")
_REGION = pattern(r"[A-Za-z0-9][A-Za-z0-9-]*")
# Those whose endpoints end with amazonaws.com.
_AWS_REGION = pattern(r"(?!cn-|us-iso|eu-iso)[a-z]{2}(-[a-z]+)+-\d+")
_BUCKET = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_HOST_BUCKET = pattern(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class LeanSettings:
    """All that the lean client has to know; *is_virtual* if the bucket's name is part of the host's."""

    endpoint: str
    region: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False, default="")
    is_virtual: bool = False
    proxy: str = ""


class _ForS3fsError(Exception):
    """Why s3fs is needed."""


def choose(bucket: str, storage_options: Mapping[str, Any], environ: Mapping[str, str]) -> LeanSettings | str:
    """Return what the lean client is to use for *bucket*, or in a few words why it has to be s3fs.

    *environ* are the variables, of which s3fs would read many. Raise
    ``UsageError`` if *storage_options* demand the lean client in vain.
    """
    client = check_client(storage_options)
    if client == "s3fs":
        return "as asked for"
    try:
        _check_installed()
        return _settings(bucket, storage_options, environ)
    except _ForS3fsError as reason:
        if client == "lean":
            raise UsageError(f"the lean S3 client cannot be used: {reason}; use --s3-client auto or s3fs") from reason
        return str(reason)


def client_of(url: str, storage_options: Mapping[str, Any] | None = None) -> str:
    """Return the client that ``open_store`` uses for *url*, with the reason if it is not the lean one; empty if none.

    ``UsageError`` if it cannot be the one that *storage_options* demand.
    """
    protocol, _, rest = url.partition("://")
    if protocol.lower() not in ("s3", "s3a"):
        return ""
    found = choose(rest.partition("/")[0], storage_options or {}, os.environ)
    return f"s3fs ({found})" if isinstance(found, str) else "lean"


def check_client(storage_options: Mapping[str, Any]) -> str:
    """Return the client that *storage_options* ask for; ``UsageError`` if there is no such one."""
    client = storage_options.get(OPTION) or CLIENTS[0]
    if client not in CLIENTS:
        raise UsageError(f"no such S3 client: {client!r}; expected one of {', '.join(CLIENTS)}")
    return str(client)


def has_certificates(environ: Mapping[str, str]) -> bool:
    """Return whether this system has certificates, without which no lean client can be made, not even for http."""
    named = environ.get("SSL_CERT_FILE")
    return any(_has_content(place) for place in ((named,) if named else _CERTIFICATES))


def _check_installed() -> None:
    try:
        found = find_spec("obstore")
    except (ImportError, ValueError):
        found = None
    _demand(found is not None, "the lean client is not installed: pip install 'confstream[fast]'")


def _settings(bucket: str, options: Mapping[str, Any], environ: Mapping[str, str]) -> LeanSettings:
    _check_surroundings(environ)
    _demand(_BUCKET.fullmatch(bucket) is not None, "the bucket is an access point, or has an unusual name")
    given = {name: value for name, value in options.items() if value is not None and name != OPTION}
    client = _mapping(given.pop("client_kwargs", {}), "client_kwargs", ("region_name", "endpoint_url"))
    config = _mapping(given.pop("config_kwargs", {}), "config_kwargs", ("s3", "proxies", "max_pool_connections"))
    style = _mapping(config.get("s3", {}), "config_kwargs.s3", ("addressing_style",)).get("addressing_style", "auto")
    for name in given:
        _demand(name in ("key", "secret", "token", "endpoint_url"), f"only it knows the storage option {name}")
    endpoint = _endpoint(given, client, environ)
    region = _text(client.get("region_name") or environ.get("AWS_DEFAULT_REGION") or "", "the region", or_empty=True)
    _demand(style in ("auto", "path", "virtual"), f"only it knows the addressing style {style!r}")
    is_virtual = style == "virtual"
    if endpoint:
        region = region or "us-east-1"
        _demand(_REGION.fullmatch(region) is not None, "the region has an unusual name")
    else:
        _demand(bool(region), "without a region or an endpoint it finds where the bucket is")
        _demand(_AWS_REGION.fullmatch(region) is not None, f"the region {region} has an endpoint that only it knows")
        is_virtual = style != "path" and _HOST_BUCKET.fullmatch(bucket) is not None
        endpoint = f"https://s3.{region}.amazonaws.com"
    if is_virtual:
        _demand(_HOST_BUCKET.fullmatch(bucket) is not None, "the bucket's name can be no part of a host's")
        endpoint = endpoint.replace("://", f"://{bucket}.", 1)
    _check_trust(endpoint, environ)
    return LeanSettings(
        endpoint, region, *_credentials(given, environ), is_virtual=is_virtual, proxy=_proxy(config, endpoint)
    )


def _check_surroundings(environ: Mapping[str, str]) -> None:
    """Refuse every variable and file that s3fs, or the lean client alone, would make something of."""
    for name, value in environ.items():
        if name.startswith("AWS_"):
            _demand(name in _KNOWN_VARIABLES.split(), f"{name} is set")
            _demand(bool(value), f"{name} is empty")
        _demand(not name.startswith("FSSPEC_"), f"{name} is set")
        _demand(name.upper() not in _PROXIES or not value, f"{name} is set")
    for name, usual in _FILES.items():
        place = os.path.expanduser(environ.get(name) or usual)  # noqa: PTH111 - a name that may begin with ~
        _demand(not _has_content(place), f"{place} exists")
    settings = os.path.expanduser("~/.config/fsspec")  # noqa: PTH111
    _demand(not os.path.isdir(settings), f"{settings} exists")  # noqa: PTH112 - as fsspec looks


def _check_trust(endpoint: str, environ: Mapping[str, str]) -> None:
    """Refuse what the lean client would trust otherwise than s3fs; it reads the system's certificates even for http."""
    if endpoint.startswith("https:"):
        for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            _demand(name not in environ, f"{name} is set")
    _demand(has_certificates(environ), "this system has no certificates of its own")


def _endpoint(given: Mapping[str, Any], client: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    named = [value for value in (given.get("endpoint_url"), client.get("endpoint_url")) if value]
    of_s3 = environ.get("AWS_ENDPOINT_URL_S3")
    _demand(len(named) < 2, "the endpoint is named twice")  # noqa: PLR2004 - in both places
    # The lean client would follow the variable.
    _demand(not named or not of_s3, "AWS_ENDPOINT_URL_S3 is set beside an endpoint among the options")
    found = _text(
        (named[0] if named else of_s3 or environ.get("AWS_ENDPOINT_URL")) or "", "the endpoint", or_empty=True
    )
    if not found:
        return ""
    _demand(_ENDPOINT.fullmatch(found) is not None, "the endpoint has more than scheme, host and port")
    return found.rstrip("/")


def _credentials(given: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, str, str]:
    if "key" in given or "secret" in given or "token" in given:
        _demand("key" in given and "secret" in given, "only one of key and secret is among the options")
        _demand(
            "token" in given or "AWS_SESSION_TOKEN" not in environ, "AWS_SESSION_TOKEN is set beside key and secret"
        )
        found = (given["key"], given["secret"], given.get("token", ""))
    else:
        needed = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        missing = [name for name in needed if name not in environ]
        _demand(not missing, f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not set")
        found = (environ[needed[0]], environ[needed[1]], environ.get("AWS_SESSION_TOKEN", ""))
    key, secret = (_text(value, "a credential") for value in found[:2])
    return key, secret, _text(found[2], "a credential", or_empty=True)


def _proxy(config: Mapping[str, Any], endpoint: str) -> str:
    proxies = config.get("proxies", {})
    if proxies == {}:
        return ""
    scheme = endpoint.partition(":")[0]
    named = proxies.get(scheme) if isinstance(proxies, Mapping) and set(proxies) == {scheme} else None
    _demand(isinstance(named, str) and _PROXY.fullmatch(named) is not None, "only it knows the storage option proxies")
    return str(named)


def _mapping(value: object, name: str, known: tuple[str, ...]) -> dict[str, Any]:
    _demand(isinstance(value, Mapping), f"only it knows what {name} means here")
    found = dict(value) if isinstance(value, Mapping) else {}
    for key in found:
        _demand(key in known, f"only it knows the storage option {name}.{key}")
    return found


def _text(value: object, what: str, *, or_empty: bool = False) -> str:
    """Return *value*, which a request can carry as it is: s3fs says what is wrong with another."""
    if value == "" and or_empty:
        return ""
    _demand(isinstance(value, str) and _VALUE.fullmatch(value) is not None, f"{what} has blanks or unusual characters")
    return str(value)


def _has_content(place: str) -> bool:
    try:
        return os.path.isfile(place) and os.path.getsize(place) > 0  # noqa: PTH113, PTH202
    except OSError:
        return False


def _demand(holds: bool, reason: str) -> None:
    if not holds:
        raise _ForS3fsError(reason)
