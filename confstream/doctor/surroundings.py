"""Who runs this, where, and with which variables. Values of variables are judged and never shown (P12)."""

import os
import pwd
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from confstream.check import Check
from confstream.doctor.looking import doubtful, fine, plural, wrong
from confstream.errors import UsageError
from confstream.store.open import mask_url

_PAIR = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_FILES = ("AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_OURS = ("AWS_", "CONFSTREAM_")
_UNBROKEN = "write the Secret without the line break: kubectl create secret --from-literal, or printf instead of echo"


def user(environment: Mapping[str, str]) -> Check:
    """Return as whom we run: any uid will do, also without an entry in passwd, also without a home."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "no entry in passwd, which is fine"
    groups = sorted({*os.getgroups()} - {gid})
    more = f", groups {' '.join(map(str, groups))}" if groups else ""
    home = environment.get("HOME", "")
    at = "HOME is not set, which is fine" if not home else f"HOME {home}"
    return fine("user", f"uid {uid} ({name}), gid {gid}{more}, {at}")


def root() -> Check:
    """Return whether the root file system can be written to, and where temporary files go."""
    is_read_only = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    way = "read-only, which is fine" if is_read_only else "writable"
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        return doubtful(
            "root file system",
            f"{way}; no temporary directory can be written to",
            "mount an emptyDir at /tmp, or set TMPDIR: validators that are programs get copies there",
        )
    return fine("root file system", f"{way}; temporary files go to {place}")


def variables(environment: Mapping[str, str]) -> list[Check]:
    """Return what is wrong with the variables that we and the storage's client read."""
    ours = {name: value for name, value in sorted(environment.items()) if name.startswith(_OURS)}
    found = [check for name, value in ours.items() for check in _flaws(name, value)]
    for given, missing in (_PAIR, _PAIR[::-1]):
        if ours.get(given) and not ours.get(missing):
            found.append(_usage(given, f"is set, and {missing} is not", "set both, or neither"))
    return found or [
        fine("variables", f"{plural(len(ours), 'variable')} of AWS and confstream, nothing wrong with them")
    ]


def proxies(environment: Mapping[str, str]) -> list[Check]:
    """Return through which HTTP proxies requests to a replica would go."""
    found = []
    for name in _PROXIES:
        value = environment.get(name) or environment.get(name.lower())
        if value:
            bypass = environment.get("NO_PROXY") or environment.get("no_proxy")
            except_for = f", except for {bypass}" if bypass else ""
            found.append(
                doubtful(
                    name,
                    f"requests to the storage go through {mask_url(value)}{except_for}",
                    "add the storage's host to NO_PROXY if it should be reached directly",
                )
            )
    return found or [fine("proxies", "none")]


def _flaws(name: str, value: str) -> list[Check]:
    if not value.strip():
        # Some charts set every variable, most of them to nothing.
        return [doubtful(name, "is set to nothing", "set it, or leave it out")] if name.startswith("AWS_") else []
    if value != value.strip() or "\n" in value or "\r" in value:
        where = (
            "ends with a line break" if value.rstrip("\r\n") != value else "has blanks or line breaks around or in it"
        )
        return [_usage(name, where, _UNBROKEN)]
    if name in _ENDPOINTS:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return [_usage(name, f"is no URL: {mask_url(value)!r}", "write it as http://host:port or https://host")]
        if parts.username or parts.password:
            return [_usage(name, "has user info in it", "put the key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    if name in _FILES and not os.access(value, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        what = "cannot be read" if Path(value).exists() else "does not exist"
        return [_usage(name, f"names {value}, which {what}", "mount it, let this user read it, or unset the variable")]
    return []


def _usage(name: str, found: str, advice: str) -> Check:
    return wrong(name, found, advice, UsageError)
