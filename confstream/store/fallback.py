"""A store that hands over to another one for good, where it finds that the other does better."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from confstream.errors import AccessDeniedError
from confstream.events import about
from confstream.store import Keys, Store

_LOG = logging.getLogger("confstream.store")

Result = TypeVar("Result")


class CannotServeError(AccessDeniedError):
    """This client cannot do it, and nothing has happened; another client may."""


class FallbackStore:
    """*inner*, and what *other* makes from the first ``CannotServeError`` on."""

    def __init__(self, inner: Store, other: Callable[[], Store]) -> None:
        self.inner = inner
        self._other = other
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body*."""
        self._do(lambda store: store.put(key, body))

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        self._do(lambda store: store.replace(key, body))

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        return self._do(lambda store: store.get(key, first, size))

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*."""
        return self._do(lambda store: store.list(prefix))

    def delete(self, keys: Keys) -> None:
        """Remove *keys*."""
        self._do(lambda store: store.delete(keys))

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _do(self, call: Callable[[Store], Result]) -> Result:
        inner = self.inner
        try:
            return call(inner)
        except CannotServeError as error:
            with self._lock:
                if self.inner is inner:
                    _LOG.warning("%s; s3fs goes on from here", error, extra=about("client_changed", error=error))
                    self.inner = self._other()
                    inner.close()
        return call(self.inner)
