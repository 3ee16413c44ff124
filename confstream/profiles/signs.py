"""What a directory looks like that an application wrote, and the file without which it is missing.

Imports nothing but ``os``: ``restore --if-missing`` asks this with the
configuration present (P2), before anything else is imported. What a profile
says otherwise is in its YAML file. To recognise, only tracked files count: a
directory just restored looks the same as the one that was lost.
"""

# pathlib takes longer to import than the answer takes to find.
# ruff: noqa: PTH112, PTH116, PTH118, PTH208

import os
import stat

_HEAD_BYTES = 65536
_GLOBBED_MAX = 32

GUARDS: dict[str, tuple[tuple[str, ...], ...]] = {
    # Where both are there, Frigate reads config.yml.
    "frigate": (("config.yml", "config.yaml"),),
    "home-assistant": (("configuration.yaml",),),
    # Without the database every device has to be paired again.
    "zigbee2mqtt": (("configuration.yaml",), ("database.db",)),
    "node-red": (("flows.json",),),
    "adguardhome": (("conf/AdGuardHome.yaml", "AdGuardHome.yaml"),),
    "arr": (("config.xml",),),
}
"""By profile, the guards; of the names of one guard the first that is there counts.

ESPHome has no file that every installation has, and Traefik's may all be
elsewhere: these two are missing when nothing tracked is there.
"""

# A sign is: files that are all there, and what the first of them has to have: a line that starts so ("line"), or a
# beginning ("start"). One sign is enough.
_SIGNS: dict[str, tuple[tuple[tuple[str, ...], str, bytes], ...]] = {
    "frigate": (
        (("config.yml",), "line", b"cameras:"),
        (("config.yaml",), "line", b"cameras:"),
    ),
    "home-assistant": (
        ((".HA_VERSION",), "", b""),
        ((".storage/core.config_entries",), "", b""),
        (("configuration.yaml",), "line", b"default_config:"),
    ),
    "zigbee2mqtt": (
        (("database.db",), "start", b'{"id":'),
        (("coordinator_backup.json", "configuration.yaml"), "", b""),
        (("configuration.yaml",), "line", b"serial:"),
    ),
    "node-red": (
        ((".config.runtime.json",), "", b""),
        (("flows.json", "settings.js"), "", b""),
        (("flows_cred.json",), "", b""),
    ),
    "esphome": ((("*.yaml",), "line", b"esphome:"),),
    "adguardhome": (
        (("AdGuardHome.yaml",), "", b""),
        (("conf/AdGuardHome.yaml",), "", b""),
    ),
    "arr": ((("config.xml",), "start", b"<Config>"),),
    "traefik": (
        (("traefik.yml",), "", b""),
        (("traefik.yaml",), "", b""),
        (("traefik.toml",), "", b""),
        (("acme.json",), "", b""),
    ),
}


class Guess:
    """What a directory was recognised as: *name* of a profile, and *why* in one line for a person."""

    __slots__ = ("name", "why")

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why

    def __repr__(self) -> str:
        return f"Guess(name={self.name!r}, why={self.why!r})"


def guess(root: str | bytes | os.PathLike[str]) -> Guess:
    """Return which profile fits the directory *root*; ``generic`` if none does, or more than one.

    Looks at names at the top and the beginnings of a few files, never fails,
    and says the same of the same directory every time.
    """
    top = os.fsencode(root)
    if not os.path.isdir(top):
        return Guess("generic", "the directory does not exist")
    found = {}
    for name, signs in _SIGNS.items():
        for sign in signs:
            seen = _seen(top, sign)
            if seen:
                found[name] = seen
                break
    if len(found) == 1:
        return Guess(*found.popitem())
    if found:
        both = "; ".join(f"{name} ({seen})" for name, seen in found.items())
        return Guess("generic", f"it looks like more than one application: {both}; name the profile")
    return Guess("generic", "nothing in it is particular to an application that has a profile")


def guards(name: str, root: str | bytes | os.PathLike[str]) -> tuple[str, ...]:
    """Return the guards of the profile *name* as they are called in *root*, for ``is_missing``."""
    return called_in(root, GUARDS.get(name, ()))


def called_in(root: str | bytes | os.PathLike[str], wanted: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return for each of *wanted* the first of its names that is there in *root*, the first of all if none is."""
    top = os.fsencode(root)
    return tuple(
        next((path for path in names if os.path.lexists(os.path.join(top, os.fsencode(path)))), names[0])
        for names in wanted
    )


def shown(sign: tuple[tuple[str, ...], str, bytes]) -> str:
    """Return *sign* as it may be shown."""
    files, how, wanted = sign
    return " and ".join(files) + _detail(how, wanted)


def signs(name: str) -> tuple[str, ...]:
    """Return by what the profile *name* is recognised, as it may be shown."""
    return tuple(shown(sign) for sign in _SIGNS.get(name, ()))


def _seen(top: bytes, sign: tuple[tuple[str, ...], str, bytes]) -> str:
    """Return what was seen of *sign* in *top*; nothing if it is not all there."""
    files, how, wanted = sign
    first = _globbed(top, files[0]) if "*" in files[0] else [os.fsencode(files[0])]
    for name in first:
        path = os.path.join(top, name)
        if not _is_file(path) or not all(_is_file(os.path.join(top, os.fsencode(other))) for other in files[1:]):
            continue
        if not how or _has(path, how, wanted):
            names = [name.decode("utf-8", "backslashreplace"), *files[1:]]
            return " and ".join(names) + (_detail(how, wanted) or (" is there" if len(names) == 1 else " are there"))
    return ""


def _detail(how: str, wanted: bytes) -> str:
    text = wanted.decode()
    return {"line": f" has a line {text!r}", "start": f" begins with {text!r}"}.get(how, "")


def _globbed(top: bytes, pattern: str) -> list[bytes]:
    """Return the names in *top* that end as *pattern* does, the first by the alphabet; hidden ones are not meant."""
    ending = os.fsencode(pattern.removeprefix("*"))
    try:
        names = sorted(name for name in os.listdir(top) if name.endswith(ending) and not name.startswith(b"."))
    except OSError:
        return []
    return names[:_GLOBBED_MAX]


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _has(path: bytes, how: str, wanted: bytes) -> bool:
    try:
        # Should a FIFO have taken the place of the file meanwhile, opening must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        head = os.read(descriptor, _HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if how == "start":
        return head.lstrip().startswith(wanted)
    return head.startswith(wanted) or b"\n" + wanted in head
