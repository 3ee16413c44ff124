"""A decorator that counts: what was asked of a store, how it ended, how long it took, and how much it moved."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from confstream.clock import Clock, SystemClock
from confstream.meter import Meter
from confstream.store import Keys, Store
from confstream.store.contact import SIZE_UNKNOWN, Contact, outcome_of

_LARGE = ("blob/", "fork/", "pack/", "snapshot/")
"""Where objects may be large; all others are small, or few."""


class MeteredStore:
    """*inner*, with every call counted by its operation, failed ones included.

    *meter* and *contact* outlive it: they are told of every call, whichever
    connection makes it.
    """

    def __init__(
        self, inner: Store, meter: Meter | None = None, contact: Contact | None = None, *, clock: Clock | None = None
    ) -> None:
        self.inner = inner
        self._clock = clock or SystemClock()
        self._meter = meter or Meter()
        self._contact = contact or Contact(self._clock)
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @property
    def calls(self) -> dict[str, int]:
        """Return how often each operation was called: only those that were."""
        with self._lock:
            return dict(self._calls)

    @property
    def sizes_bytes(self) -> dict[str, int]:
        """Return how many bytes of objects each operation sent or received."""
        with self._lock:
            return dict(self._bytes)

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    def reset(self) -> None:
        """Start counting from zero; the meter goes on."""
        with self._lock:
            self._calls.clear()
            self._bytes.clear()

    def put(self, key: str, body: bytes) -> None:
        """Count and create *key*."""
        with self._call("put", len(body)):
            self.inner.put(key, body)

    def replace(self, key: str, body: bytes) -> None:
        """Count and set *key*."""
        with self._call("replace", len(body)):
            self.inner.replace(key, body)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Count and read *key*."""
        with self._call("get", expected_bytes=SIZE_UNKNOWN if key.startswith(_LARGE) else 0):
            body = self.inner.get(key, first, size)
        with self._lock:
            self._bytes["get"] += len(body)
        self._meter.count("storage_bytes_total", len(body), direction="received")
        return body

    def list(self, prefix: str = "") -> Keys:
        """Count and list *prefix*."""
        with self._call("list"):
            return self.inner.list(prefix)

    def delete(self, keys: Keys) -> None:
        """Count one delete, however many *keys* it has."""
        with self._call("delete"):
            self.inner.delete(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    @contextmanager
    def _call(self, operation: str, size_bytes: int = 0, *, expected_bytes: int = 0) -> Iterator[None]:
        with self._lock:
            self._calls[operation] += 1
            self._bytes[operation] += size_bytes
        if size_bytes:
            self._meter.count("storage_bytes_total", size_bytes, direction="sent")
        call, began, failed = self._contact.begin(size_bytes or expected_bytes), self._clock.elapsed_seconds(), None
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            self._contact.end(call, operation, failed)
            self._meter.count("storage_requests_total", op=operation, outcome=outcome_of(failed))
            took_seconds = self._clock.elapsed_seconds() - began
            self._meter.observe("storage_request_duration_seconds", took_seconds, op=operation)
