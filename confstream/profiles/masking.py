"""Mask what only an application's profile knows to be secret: an ESPHome key is called ``key``, a pan id is a number.

Which application wrote a file need not be known: a value too many that is
masked costs a look with ``--show-secrets``, one too few cannot be taken back (P12). What they say is repeated here, for
to read them all takes longer than a difference to show; a test compares.
"""

import re
from functools import cache, lru_cache

from confstream.secrecy import MASK, is_secret_path

_ALL = "**"
_SECRET_FILES = (
    "/.config.runtime.json", "/.config.users.json", "/.jwt_secret", "/.storage/auth*", "/.storage/cloud",
    "/.storage/core.config_entries", "/.storage/http.auth", "/asp/*.xml", "/coordinator_backup.json",
    "/flows_*_cred.json", "/flows_cred.json", "/go2rtc_homekit.yml", "/notifications.pem", "/secret.yaml", "acme.json",
    "secrets.yaml",
)  # fmt: skip
_SECRET_KEYS = {
    "*.yaml": "key password",
    "/config.xml": "ApiKey PostgresPassword SslCertPassword",
    "/config.y*ml": "api_key auth_secret password path publish streams",
    "/configuration.yaml": "auth_token ext_pan_id network_key pan_id password",
    "/settings.js": "adminAuth credentialSecret",
    "AdGuardHome.yaml": "password private_key private_key_path",
}


def mask_known(text: str, path: bytes) -> str:
    """Return *text*, the content of *path*, with ``***`` for the values that profiles call secret, line for line.

    A key counts wherever it stands in the file; what is indented deeper below it belongs to its value.
    """
    names = frozenset() if is_secret_path(path) else known_names(path)
    if _ALL not in names and not any(_as_key(name).search(text) for name in names):
        # Most files have none of these keys; of one that is secret by its name, the rest is masked already.
        return text
    masked, below = [], -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" \t"))
        if _ALL in names or (below >= 0 and line.strip() and indent > below):
            masked.append(line[:indent] + MASK if line.strip() else line)
            continue
        key = _KEY.match(line)
        below = -1
        if key is None or key[2].strip("\"'") not in names:
            masked.append(line)
            continue
        below = len(key[1])
        masked.append(line[: key.end()] + (MASK if line[key.end() :].strip() else ""))
    return "\n".join(masked)


_KEY = re.compile(r"([ \t]*(?:- )*)([\w.\"'$-]{1,128})[ \t]*[:=](?:[ \t]+|$)")


@lru_cache(maxsize=256)
def known_names(path: bytes) -> frozenset[str]:
    """Return what a path of keys ends with whose value is secret, ``**`` where every one is."""
    parts = path.split(b"/")
    rules = _RULES if path.startswith(_STARTS) else _ANYWHERE
    found = frozenset().union(*(names for pattern, names in rules if _fits(parts, pattern)))
    return frozenset({_ALL}) if _ALL in found else found


@cache
def _as_key(name: str) -> re.Pattern[str]:
    """Return what is wherever *name*, one of few, is a key of a line."""
    return re.compile(rf"{re.escape(name)}[\"']*[ \t]*[:=]")


_Pattern = tuple[bool, list[tuple[bytes, bytes, bytes]]]


def _fits(parts: list[bytes], pattern: _Pattern) -> bool:
    """Return whether *pattern* names the path of these *parts*, or what is above it."""
    from_root, wanted = pattern
    if from_root:
        return len(parts) >= len(wanted) and all(map(_fits_part, parts, wanted))
    return any(_fits_part(part, wanted[0]) for part in parts)


def _fits_part(part: bytes, wanted: tuple[bytes, bytes, bytes]) -> bool:
    first, star, last = wanted
    if not star:
        return part == first
    return len(part) >= len(first) + len(last) and part.startswith(first) and part.endswith(last)


def _pattern(text: str) -> _Pattern:
    return text.startswith("/"), [part.encode().partition(b"*") for part in text.strip("/").split("/")]


_RULES = [
    *((_pattern(text), frozenset({_ALL})) for text in _SECRET_FILES),
    *((_pattern(text), frozenset(names.split())) for text, names in _SECRET_KEYS.items()),
]
_ANYWHERE = [(pattern, names) for pattern, names in _RULES if not pattern[0]]
_STARTS = tuple(b"/".join(first for first, _, _ in wanted) for (from_root, wanted), _ in _RULES if from_root)
