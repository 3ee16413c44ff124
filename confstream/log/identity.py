"""A replica's identity: found, or created once, after the backend was proven fit.

Rule 6: no log begins on a backend that overwrites where it should refuse.
"""

import logging
from collections.abc import Callable

from confstream import layout
from confstream.clock import Clock
from confstream.codec.notes import NOTE_OBJECT_SIZE_MAX, Descriptor, decode_descriptor, encode_descriptor
from confstream.errors import (
    IntegrityError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
)
from confstream.events import about
from confstream.store import Store
from confstream.store.prove import prove_exclusive_create

logger = logging.getLogger("confstream.log")


def find_or_create(
    store: Store, clock: Clock, *, version: str, new_id: Callable[[], str], proven: bool, unsafe_single_writer: bool
) -> Descriptor:
    """Return the descriptor under *store*, created if there is none.

    Unless *proven* by this writer before, exclusive create is proven first;
    where it fails, ``NoExclusiveCreateError`` unless *unsafe_single_writer*.
    """
    found = _read(store)
    if found is not None:
        return _accepted(store, found, proven=proven, unsafe=unsafe_single_writer)
    exclusive = proven or _prove(store, unsafe=unsafe_single_writer)
    if not layout.parse(store.list()).empty:
        # Another creator may have been quicker since; a log that nobody described is damage.
        found = _read(store)
        if found is None:
            raise IntegrityError(
                f"{store.url}: a log without its {layout.DESCRIPTOR}; run verify, or use another prefix"
            )
        return _accepted(store, found, proven=True, unsafe=unsafe_single_writer)
    descriptor = Descriptor(new_id(), clock.now_ns(), version, exclusive)
    try:
        store.put(layout.DESCRIPTOR, encode_descriptor(descriptor))
    except (ObjectExistsError, OutcomeUnknownError) as error:
        # I6: whoever created it first decides, be it our own attempt whose answer was lost.
        found = _read(store)
        if found is None:
            raise OutcomeUnknownError(
                f"{store.url}: {layout.DESCRIPTOR} could not be created, no answer came; try again"
            ) from error
        return _accepted(store, found, proven=True, unsafe=unsafe_single_writer)
    logger.info("new replica at %s, stream %s", store.url, descriptor.stream, extra=about("replica_created"))
    return descriptor


def _accepted(store: Store, found: Descriptor, *, proven: bool, unsafe: bool) -> Descriptor:
    """Return *found* once it is clear that this writer may write under it."""
    if found.exclusive_create:
        if not proven:
            _prove(store, unsafe=unsafe)
    elif not unsafe:
        raise NoExclusiveCreateError(
            f"{store.url} was set up for a single writer, because its backend cannot create exclusively; "
            "pass --unsafe-single-writer if this is that writer"
        )
    return found


def _read(store: Store) -> Descriptor | None:
    try:
        return _read_twice(store)
    except ObjectMissingError:
        return None


def _read_twice(store: Store) -> Descriptor:
    try:
        return decode_descriptor(store.get(layout.DESCRIPTOR, 0, NOTE_OBJECT_SIZE_MAX), layout.DESCRIPTOR)
    except IntegrityError:
        # Damage is what was read twice: an answer can be garbled on its way.
        return decode_descriptor(store.get(layout.DESCRIPTOR, 0, NOTE_OBJECT_SIZE_MAX), layout.DESCRIPTOR)


def _prove(store: Store, *, unsafe: bool) -> bool:
    try:
        prove_exclusive_create(store)
    except NoExclusiveCreateError:
        if not unsafe:
            raise
        logger.warning(
            "%s cannot create exclusively: a second writer would not be noticed (single writer, by request)",
            store.url,
            extra=about("unsafe"),
        )
        return False
    return True
