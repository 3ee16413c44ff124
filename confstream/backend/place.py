"""A fresh prefix of a backend to try things in, that leaves nothing behind.

Whatever ends the block, an interrupt too, every object that was made under the
prefix is removed, those of requests that were still under way included.
"""

import secrets
import threading
from types import TracebackType
from typing import Self

from confstream.errors import ConfstreamError
from confstream.store import Keys, Store
from confstream.store.local import LocalStore

PREFIX = "check-"
_STRAGGLER_SECONDS = 20.0


class Place:
    """A prefix of *inner* that nobody else uses; ``store`` shows what is under it."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._tracks = _Tracks()
        core = core_of(inner)
        self._absent = core.absent if isinstance(core, LocalStore) else ()
        self.prefix = f"{PREFIX}{secrets.token_hex(8)}/"
        self.store: Store = PlacedStore(inner, self.prefix, self._tracks)
        self.left = ""
        """What could not be removed at the end, and why."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def through(self, other: Store) -> Store:
        """Return what *other*, a store of the same URL, sees under the prefix."""
        return PlacedStore(other, self.prefix, self._tracks)

    def clear(self) -> None:
        """Remove everything under the prefix; what cannot be removed is told in ``left``."""
        self._tracks.settle(_STRAGGLER_SECONDS)
        keys = self._tracks.keys
        why = ""
        try:
            keys |= set(self.store.list())
        except ConfstreamError as error:
            why = str(error)
        try:
            self.store.delete(sorted(keys))
        except ConfstreamError as error:
            why = str(error)
        core = core_of(self._inner)
        if isinstance(core, LocalStore):
            core.remove_directories(self.prefix, self._absent)
        self.left = f"objects under {self._inner.url}/{self.prefix} may be left: {why}" if why else ""


class PlacedStore:
    """*inner* as seen from *prefix*, remembering in *tracks* what was made."""

    def __init__(self, inner: Store, prefix: str, tracks: "_Tracks") -> None:
        self.inner = inner
        self._prefix = prefix
        self._tracks = tracks

    @property
    def url(self) -> str:
        """Return the URL of the prefix."""
        return f"{self.inner.url}/{self._prefix.rstrip('/')}"

    def put(self, key: str, body: bytes) -> None:
        """Create *key*."""
        with self._tracks.making(key):
            self.inner.put(self._prefix + key, body)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        with self._tracks.making(key):
            self.inner.replace(self._prefix + key, body)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        return self.inner.get(self._prefix + key, first, size)

    def list(self, prefix: str = "") -> Keys:
        """Return the keys under the prefix that start with *prefix*."""
        return [key.removeprefix(self._prefix) for key in self.inner.list(self._prefix + prefix)]

    def delete(self, keys: Keys) -> None:
        """Remove *keys*."""
        self.inner.delete([self._prefix + key for key in keys])
        self._tracks.forget(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()


def core_of(store: object) -> object:
    """Return the backend at the core of *store*, without what decorates it."""
    while hasattr(store, "inner"):
        store = store.inner
    return store


class _Tracks:
    """What was made, and how much of it is being made at this moment."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._keys: set[str] = set()
        self._under_way = 0

    @property
    def keys(self) -> set[str]:
        """Return every key that may be there."""
        with self._changed:
            return set(self._keys)

    def making(self, key: str) -> "_Making":
        """Return the block within which *key* is made."""
        return _Making(self, key)

    def forget(self, keys: Keys) -> None:
        """Take back *keys*, which are gone."""
        with self._changed:
            self._keys.difference_update(keys)

    def settle(self, seconds: float) -> None:
        """Wait until nothing is being made any more, at most *seconds*."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, seconds)

    def begin(self, key: str) -> None:
        """Note that *key* may be there from now on."""
        with self._changed:
            self._keys.add(key)
            self._under_way += 1

    def end(self) -> None:
        """Note that a request has come to its end."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()


class _Making:
    """The time in which a request that makes *key* is under way."""

    def __init__(self, tracks: _Tracks, key: str) -> None:
        self._tracks, self._key = tracks, key

    def __enter__(self) -> None:
        self._tracks.begin(self._key)

    def __exit__(self, *_: object) -> None:
        self._tracks.end()
