"""Is what was written there, at once, whole, and for everybody? Reads, listings, ranges, names, sizes."""

import hashlib
import secrets

from confstream.backend.bench import Bench, failed, passed, unfit
from confstream.check import Check, Level
from confstream.errors import ConfstreamError, IntegrityError, ObjectMissingError
from confstream.store import Store
from confstream.store.s3 import S3Store

NOTHING, AFTER_WRITE, LISTING = "nothing there", "read after write", "list after write"
AGAIN, RANGES, NAMES, LARGE = "create again", "ranges", "keys", "large object"
_READS = 10
_LISTED = 24
_PAGE = 5
_LARGE_BYTES = 8 << 20
_WRITER = "0123456789abcdefghijklmnopqrstuv"
_KEYS = (
    "confstream.json",
    "log/00000000000000000009",
    "log/00000000000000000010",
    "pack/00000000000000000001-00000000000000000010",
    f"blob/{'0123456789abcdef' * 4}",
    f"heartbeat/{_WRITER}",
    f"fork/{_WRITER}-18/log/00000000000000000011",
    f"tag/Before_v1.2-{'x' * 116}",
)
"""One key of every form that the log uses, the longest that it can be."""

_CASES = ("tag/Before-Upgrade", "tag/before-upgrade")


def nothing(bench: Bench) -> Check:
    """Prove that what is not there is told as that, without an error."""
    if found := bench.store.list("nothing/"):
        return failed(NOTHING, f"a prefix that nobody ever used lists {len(found)} keys", error=IntegrityError)
    if _read(bench.store, "absent") is not None:
        return failed(NOTHING, "a key that nobody ever created can be read", error=IntegrityError)
    bench.store.delete(["absent"])
    return passed(NOTHING, "an unused prefix lists no key, an absent key is 'missing', deleting it is no error")


def after_write(bench: Bench) -> Check:
    """Prove that what was written is read at once, over another connection, too."""
    other = bench.place.through(bench.other)
    for number in range(_READS):
        key, body = f"read/{number}", secrets.token_bytes(2048)
        if _read(other, key) is not None:
            return failed(AFTER_WRITE, f"{key} can be read before it was created", error=IntegrityError)
        bench.store.put(key, body)
        for reader in (bench.store, other):
            if _read(reader, key) != body:
                return unfit(AFTER_WRITE, f"{key} was created, and a read right after it does not return its bytes")
    body = secrets.token_bytes(2048)
    bench.store.replace("read/0", body)
    if _read(other, "read/0") != body:
        return failed(
            AFTER_WRITE, "a replaced object was read as it was before", "heartbeats would look old: use another backend"
        )
    return passed(AFTER_WRITE, f"{_READS} objects and a replaced one, each read at once over two connections")


def listing(bench: Bench) -> Check:
    """Prove that listings show at once what was created, in order and over several pages, and not what was deleted."""
    other, keys = bench.place.through(bench.other), [f"list/{number:020d}" for number in range(_LISTED)]
    for count, key in enumerate(keys, start=1):
        bench.store.put(key, b"listed")
        if count in (1, 2, _LISTED) and other.list("list/") != keys[:count]:
            return unfit(LISTING, f"{key} was created, and a listing right after it does not show it")
    if pages := _in_pages(bench, other, keys):
        return failed(LISTING, pages, error=IntegrityError)
    if other.list(keys[9][:-1]) != keys[:10]:
        return failed(LISTING, "a listing by the beginning of a key does not show what begins so", error=IntegrityError)
    bench.store.delete(keys[1::2])
    if other.list("list/") != keys[::2]:
        return failed(
            LISTING, "a listing still shows what was deleted, or no longer what was not", error=IntegrityError
        )
    how = f", in pages of {_PAGE}," if isinstance(bench.core, S3Store) else ""
    return passed(LISTING, f"{_LISTED} keys appeared at once and in order{how} and vanished with their deletion")


def _in_pages(bench: Bench, other: Store, keys: list[str]) -> str:
    """Return what is wrong with a listing in small pages; a server asked for small ones may not lose a key."""
    core = bench.core
    if not isinstance(core, S3Store):
        return ""
    core.page_keys = _PAGE
    try:
        found = bench.store.list("list/")
    finally:
        core.page_keys = None
    if found == keys and other.list("list/") == keys:
        return ""
    return f"{len(keys)} keys listed in pages of {_PAGE} come back as {len(found)}"


def again(bench: Bench) -> Check:
    """Prove that a key whose object was deleted is free again."""
    other, old, new = bench.place.through(bench.other), secrets.token_bytes(64), secrets.token_bytes(64)
    bench.store.put("again", old)
    bench.store.delete(["again"])
    if _read(other, "again") is not None:
        return failed(AGAIN, "an object can be read although it was deleted", error=IntegrityError)
    bench.store.put("again", new)
    if _read(other, "again") != new:
        return unfit(AGAIN, "a key created again after its deletion does not hold what was put last")
    return passed(AGAIN, "a deleted key was missing at once, could be created again, and held the new bytes")


def ranges(bench: Bench) -> Check:
    """Prove that ranges of an object are what they say."""
    body = secrets.token_bytes(10_000)
    bench.store.put("range", body)
    wanted = [(0, 1), (0, 10_000), (1, 999), (9_999, 1), (9_990, 100), (5_000, None), (10_000, 10), (20_000, None)]
    for first, size in wanted:
        expected = body[first:] if size is None else body[first : first + size]
        found = bench.store.get("range", first, size)
        if found != expected:
            return failed(
                RANGES, f"{size or 'all'} bytes from byte {first} came as {len(found)} others", error=IntegrityError
            )
    return passed(RANGES, f"{len(wanted)} ranges of one object, its ends and beyond them included")


def names(bench: Bench) -> Check:
    """Prove that keys with every character that the log uses are kept apart."""
    for key in _KEYS:
        bench.store.put(f"keys/{key}", key.encode())
    if bench.store.list("keys/") != sorted(f"keys/{key}" for key in _KEYS):
        return failed(NAMES, "keys of the forms that the log uses are not listed as they are", error=IntegrityError)
    for key in _KEYS:
        if _read(bench.store, f"keys/{key}") != key.encode():
            return failed(NAMES, f"{key} does not hold what was put", error=IntegrityError)
    for key in _CASES:
        try:
            bench.store.put(f"case/{key}", key.encode())
        except ConfstreamError:
            return Check(
                NAMES,
                Level.WARN,
                "upper and lower case are the same to it",
                "give no two tags that differ in nothing else",
            )
    return passed(
        NAMES, f"one key of each of the {len(_KEYS)} forms that the log uses, and two that differ in case only"
    )


def large(bench: Bench) -> Check:
    """Prove that an object of some size comes back whole."""
    body = secrets.token_bytes(_LARGE_BYTES)
    bench.store.put("large", body)
    found = bench.place.through(bench.other).get("large")
    if hashlib.sha256(found).digest() != hashlib.sha256(body).digest():
        return failed(LARGE, f"{_LARGE_BYTES >> 20} MiB came back as {len(found)} other bytes", error=IntegrityError)
    return passed(LARGE, f"{_LARGE_BYTES >> 20} MiB written by one request and read back whole")


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectMissingError:
        return None
