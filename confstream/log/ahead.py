"""Objects that are on their way before they are asked for: one round trip for all that will be needed.

Whoever knows what comes next says so; everybody else reads as ever, and waits less.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from confstream import layout, plan
from confstream.codec.notes import NOTE_OBJECT_SIZE_MAX
from confstream.events import carrying
from confstream.layout import Listing
from confstream.log.objects import INDEX_GUESS
from confstream.store import Keys, Store

_KEPT_SIZE_MAX = 1 << 16

Request = tuple[str, int, int | None]
"""What ``Store.get`` takes: a key, the first byte, and how many; None for all of the rest."""


def requests(
    listing: Listing, numbers: Iterable[int], records: Iterable[int] = (), *, index_only: bool, beats: bool
) -> Iterator[Request]:
    """Yield what checkouts of *numbers* will ask for, the *records* of others, and all heartbeats if *beats*.

    Nothing for what cannot be reached: whoever asks for that is told why.
    """
    part = INDEX_GUESS if index_only else None
    for number in numbers:
        route = plan.route(listing, number)
        if route is None:
            continue
        if route.snapshot:
            yield layout.snapshot_key(route.snapshot), 0, part
        yield from ((unit.key, 0, part if unit.packed else None) for unit in route.units)
    for number in records:
        units = plan.units(listing, number, number) or ()
        yield from ((unit.key, 0, INDEX_GUESS if unit.packed else None) for unit in units)
    if beats:
        yield from ((layout.heartbeat_key(writer), 0, NOTE_OBJECT_SIZE_MAX) for writer in listing.heartbeats)


class ReadAhead:
    """A store in front of *inner*, which ``begin`` asks for many objects at the same time.

    What was read ahead is given out until ``drop``, in parts if asked for; what
    is large as often as it was named in one ``begin``, and an error once. All
    methods may be called from several threads.
    """

    def __init__(self, inner: Store, workers: int) -> None:
        self.inner = inner
        self._workers = workers
        self._begun: dict[Request, Future[bytes]] = {}
        self._uses: Counter[Request] = Counter()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    @property
    def behind(self) -> Store:
        """Return the store inside, for who wants to know what is there now."""
        return self.inner

    def begin(self, requests: Iterable[Request]) -> None:
        """Begin to read *requests*, except what is on its way already."""
        with self._lock:
            wanted = Counter(requests)
            new = [one for one in wanted if one not in self._begun and (one[0], 0, None) not in self._begun]
            if not new:
                return
            self._uses.update({one: wanted[one] for one in new})
            pool = ThreadPoolExecutor(min(self._workers, len(new)), "confstream-ahead")
            for one in new:
                self._begun[one] = pool.submit(carrying(self.inner.get), *one)
        # Its threads end with their work.
        pool.shutdown(wait=False)

    def drop(self) -> None:
        """Forget what nobody asked for; what was not sent yet is not."""
        with self._lock:
            begun, self._begun, self._uses = self._begun, {}, Counter()
        for future in begun.values():
            future.cancel()

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*, out of what was read ahead if it is there."""
        request: Request = (key, first, size)
        with self._lock:
            if request not in self._begun:
                request = (key, 0, None)
            future = self._begun.get(request)
        if future is None:
            return self.inner.get(key, first, size)
        try:
            body = future.result()
        except CancelledError:
            # Dropped by another thread meanwhile.
            return self.inner.get(key, first, size)
        except BaseException:
            self._forget(request)
            raise
        if request != (key, first, size):
            return body[first:] if size is None else body[first : first + size]
        if len(body) > _KEPT_SIZE_MAX:
            self._forget(request, used=1)
        return body

    def _forget(self, request: Request, used: int | None = None) -> None:
        with self._lock:
            self._uses[request] -= used or self._uses[request]
            if self._uses[request] <= 0:
                self._begun.pop(request, None)

    def put(self, key: str, body: bytes) -> None:
        """Create *key*."""
        self.inner.put(key, body)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        self.inner.replace(key, body)

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*."""
        return self.inner.list(prefix)

    def delete(self, keys: Keys) -> None:
        """Remove *keys*."""
        self.inner.delete(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.drop()
        self.inner.close()
