"""Where a replica's objects live: one small seam, and everything behind it.

``Store`` is what the log asks of a backend. ``open_store`` turns a URL into
one. Decorators (retry, metering, faults) are Stores themselves.
"""

from typing import TYPE_CHECKING, Any, Protocol

from confstream.store.keys import Keys

if TYPE_CHECKING:
    from confstream.store.metered import MeteredStore
    from confstream.store.open import mask_url, open_store, parse_storage_options
    from confstream.store.prove import prove_exclusive_create
    from confstream.store.retry import RetryingStore

__all__ = [
    "Keys",
    "MeteredStore",
    "RetryingStore",
    "Store",
    "mask_url",
    "open_store",
    "parse_storage_options",
    "prove_exclusive_create",
]

_HOMES = {
    "MeteredStore": "confstream.store.metered",
    "RetryingStore": "confstream.store.retry",
    "mask_url": "confstream.store.open",
    "open_store": "confstream.store.open",
    "parse_storage_options": "confstream.store.open",
    "prove_exclusive_create": "confstream.store.prove",
}


class Store(Protocol):
    """Objects under one prefix: create, read, list, delete.

    Keys are relative to the prefix, ASCII, parts joined by ``/``; one that
    cannot be meant is a ``UsageError``. Every method may raise
    ``UnavailableError`` (nothing happened; worth another try) or
    ``AccessDeniedError`` (another try will not help), and nothing else but
    what it names. All methods may be called from several threads.
    """

    @property
    def url(self) -> str:
        """Return the prefix as a person may read it: secrets masked."""

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body*, whole, durably, and only if it is not there.

        *body* is never empty. Raise ``ObjectExistsError`` if *key* is there
        (perhaps by our own earlier attempt: client libraries retry by
        themselves), ``OutcomeUnknownError`` if it may have been created now or
        may yet be, ``NoExclusiveCreateError`` if the backend says that it
        cannot create exclusively.
        """

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*, whatever was there. Only heartbeats are ever replaced.

        After ``UnavailableError`` either the old or the new body is there.
        """

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return *size* bytes of *key* from byte *first* on; all of the rest without *size*.

        Shorter if the object ends there. Raise ``ObjectMissingError`` if there is no such key,
        ``IntegrityError`` if it is larger than any object, where that is told before it is sent.
        """

    def list(self, prefix: str = "") -> Keys:
        """Return every key that starts with *prefix*, sorted; an empty list if there is none.

        Never from a cache: what was created before the call is in the answer.
        """

    def delete(self, keys: Keys) -> None:
        """Remove *keys*; those that are not there are no error.

        After an error some of them may be gone.
        """

    def close(self) -> None:
        """Release connections. The store is not used afterwards."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute is anything.
    # A local path must not pay for what only a remote one needs (P2).
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
