from collections.abc import Sequence

import pytest

from confstream.compactor import compact
from confstream.layout import log_key
from confstream.log.reader import LogReader
from confstream.recount import SPAN_MAX, gist, gists
from confstream.testing import ManualClock, MemoryStore
from tests.logs import DAY, Scribe

COUNT = 2 * SPAN_MAX + 7


@pytest.fixture
def store() -> MemoryStore:
    """Give a replica on which ``port`` is the number of the revision."""
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, COUNT + 1):
        scribe.write({"config.yml": f"mqtt:\n  port: {number}\n  password: canary-{number}\n".encode()})
        if number % 50 == 0:
            scribe.snapshot()
    return store


def expected(number: int) -> str:
    if number == 1:
        return "+ config.yml (37 B)"
    return f"config.yml: mqtt.port {number - 1} → {number}, mqtt.password *** → ***"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "numbers", [range(COUNT, 0, -1), range(1, COUNT + 1), [COUNT, 70, 69, 3, 2, 1], [50, 51], [1], []]
)
def test_revisions_are_said_in_words_wherever_their_contents_lie(
    store: MemoryStore, numbers: Sequence[int], packed: bool
) -> None:
    if packed:
        clock = ManualClock()
        clock.advance(30 * DAY)
        compact(store, clock, pack_size=40, minimum=1, tail=10, grace_seconds=0.0)

    found = list(gists(LogReader(store), numbers))

    assert found == [(number, expected(number)) for number in numbers]


def test_two_checkouts_are_compared_in_words(store: MemoryStore) -> None:
    reader = LogReader(store)
    before, after = reader.checkout(20), reader.checkout(21)

    assert gist(reader.revision(21).revision.changes, before, after) == expected(21)


def test_what_cannot_be_read_is_only_named(store: MemoryStore) -> None:
    reader = LogReader(store)
    list(reader.revisions(60, 63))
    # The record is at hand already; what the object holds of contents is not.
    store.delete([log_key(61)])

    assert [text for _, text in gists(reader, [62, 63])] == ["config.yml", "config.yml"]
