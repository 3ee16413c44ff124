"""Objects in this process's memory: for tests, and for trying things out.

Two stores of one ``memory://`` URL see the same objects, as two writers of one
bucket would; hooks before and after each operation are where faults go.
"""

import threading
from collections.abc import Callable

from confstream.errors import ObjectExistsError, ObjectMissingError
from confstream.store.keys import Keys, check_body, check_key, check_prefix, check_range

Hook = Callable[[str, str], None]
"""Called with the name of an operation and a key; what it raises, the operation raises."""


class _Shelf:
    """The objects of one name, and the lock that makes creating them exclusive."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()


_shelves: dict[str, _Shelf] = {}
_shelves_lock = threading.Lock()


class MemoryStore:
    """A store in memory, private without *name*, else shared by all of that name.

    *name* is what follows ``memory://``: a first part, which is shared, and a
    prefix in it. *before* runs before an operation does anything, *after* once
    it is applied; a delete is one operation for each key.
    """

    def __init__(self, name: str | None = None, *, before: Hook | None = None, after: Hook | None = None) -> None:
        self._name = name
        shelf, _, prefix = (name or "").strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._before = before or _nothing
        self._after = after or _nothing
        if name is None:
            self._shelf = _Shelf()
        else:
            with _shelves_lock:
                self._shelf = _shelves.setdefault(shelf, _Shelf())

    @staticmethod
    def forget_all() -> None:
        """Drop every shared name: the next store of one starts empty."""
        with _shelves_lock:
            _shelves.clear()

    @property
    def objects(self) -> dict[str, bytes]:
        """Return a copy of the objects by key."""
        with self._shelf.lock:
            return {
                key.removeprefix(self._prefix): body
                for key, body in self._shelf.objects.items()
                if key.startswith(self._prefix)
            }

    @property
    def url(self) -> str:
        """Return ``memory://`` and the name."""
        return f"memory://{self._name or ''}"

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body* if it is not there."""
        check_key(key)
        check_body(key, body)
        self._before("put", key)
        with self._shelf.lock:
            if self._prefix + key in self._shelf.objects:
                raise ObjectExistsError(f"{self.url}: {key} exists already")
            self._shelf.objects[self._prefix + key] = bytes(body)
        self._after("put", key)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        check_key(key)
        check_body(key, body)
        self._before("replace", key)
        with self._shelf.lock:
            self._shelf.objects[self._prefix + key] = bytes(body)
        self._after("replace", key)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        check_key(key)
        check_range(key, first, size)
        self._before("get", key)
        with self._shelf.lock:
            body = self._shelf.objects.get(self._prefix + key)
        if body is None:
            raise ObjectMissingError(f"{self.url}: {key} does not exist")
        self._after("get", key)
        return body[first:] if size is None else body[first : first + size]

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*."""
        check_prefix(prefix)
        self._before("list", prefix)
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        self._after("list", prefix)
        return keys

    def delete(self, keys: Keys) -> None:
        """Remove *keys*, one after the other."""
        for key in keys:
            check_key(key)
        for key in keys:
            self._before("delete", key)
            with self._shelf.lock:
                self._shelf.objects.pop(self._prefix + key, None)
            self._after("delete", key)

    def close(self) -> None:
        """Do nothing: a shared name keeps its objects."""


def _nothing(_operation: str, _key: str) -> None:
    """Be the hook that does nothing."""
