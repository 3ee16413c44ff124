"""A decorator that tries again.

``RetryingStore`` repeats only what surely did not happen, or may happen twice;
a write whose outcome is unknown goes to the caller, who reads back (P4).
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from confstream.clock import Clock
from confstream.errors import AccessDeniedError, OutcomeUnknownError, UnavailableError
from confstream.events import about
from confstream.store import Keys, Store
from confstream.values import dataclass

if TYPE_CHECKING:
    import random

_LOG = logging.getLogger("confstream.store")
_DELAY_FIRST_SECONDS = 0.2
_DELAY_SECONDS_MAX = 15.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Retry:
    """One failed attempt that will be repeated: told as it happens, not when all is lost (P7)."""

    operation: str
    key: str
    attempt: int
    delay_seconds: float
    error: UnavailableError


class RetryingStore:
    """*inner*, tried again with growing, jittered pauses until *deadline_seconds* have passed.

    *on_retry* is called before every pause, so the first failure is known at
    once. Setting *stop* ends a pause and gives up. ``AccessDeniedError`` is
    never retried, nor is a put whose outcome is unknown.
    """

    def __init__(
        self,
        inner: Store,
        clock: Clock,
        deadline_seconds: float = 60.0,
        *,
        on_retry: Callable[[Retry], None] | None = None,
        rng: "random.Random | None" = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.inner = inner
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._on_retry = on_retry
        self._rng = rng
        self._stop = stop if stop is not None else threading.Event()

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    def put(self, key: str, body: bytes) -> None:
        """Create *key*; repeated only while it is certain that nothing was created."""
        self._persist("put", key, lambda: self.inner.put(key, body), unknown_too=False)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*; once or twice is the same."""
        self._persist("replace", key, lambda: self.inner.replace(key, body))

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        return self._persist("get", key, lambda: self.inner.get(key, first, size))

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*."""
        return self._persist("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, keys: Keys) -> None:
        """Remove *keys*; once or twice is the same."""
        self._persist("delete", keys[0] if keys else "", lambda: self.inner.delete(keys))

    def close(self) -> None:
        """End every pause, and close the store inside."""
        self._stop.set()
        self.inner.close()

    def _persist(self, operation: str, key: str, attempt: Callable[[], Result], *, unknown_too: bool = True) -> Result:
        start = self._clock.elapsed_seconds()
        attempts = 0
        while True:
            attempts += 1
            try:
                result = attempt()
            except AccessDeniedError:
                raise
            except UnavailableError as error:
                if isinstance(error, OutcomeUnknownError) and not unknown_too:
                    raise
                elapsed_seconds = self._clock.elapsed_seconds() - start
                delay_seconds = min(self._delay_seconds(attempts), self._deadline_seconds - elapsed_seconds)
                if delay_seconds <= 0 or self._stop.is_set():
                    if attempts == 1:
                        raise
                    raise type(error)(f"{error} (gave up after {attempts} attempts)") from error
                self._report(Retry(operation, key, attempts, delay_seconds, error))
            else:
                if attempts > 1:
                    said = about("request_recovered", operation=operation, attempts=attempts)
                    _LOG.info("%s: %s of %s succeeded at attempt %d", self.url, operation, key, attempts, extra=said)
                return result
            self._clock.wait(self._stop, delay_seconds)

    def _delay_seconds(self, attempts: int) -> float:
        # Jitter over the upper half: writers that failed together do not come back together.
        ceiling = min(_DELAY_SECONDS_MAX, _DELAY_FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))
        if self._rng is None:
            import random  # noqa: PLC0415 - hardly any process has to try again

            self._rng = random.Random()  # noqa: S311 - jitter is no secret.
        return self._rng.uniform(ceiling / 2, ceiling)

    def _report(self, retry: Retry) -> None:
        if retry.attempt == 1:
            said = about("request_repeated", operation=retry.operation, error=retry.error)
            _LOG.warning("%s; trying again for %g s", retry.error, self._deadline_seconds, extra=said)
        if self._on_retry is not None:
            self._on_retry(retry)
