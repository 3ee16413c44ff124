"""What is read ahead: at the same time, once, and with the answers and errors that a read would have had."""

import random
import threading
from pathlib import Path

import pytest

from confstream.compactor import compact
from confstream.errors import ObjectMissingError, UnavailableError
from confstream.history import History
from confstream.log.ahead import ReadAhead
from confstream.log.reader import LogReader
from confstream.store.memory import MemoryStore
from confstream.store.metered import MeteredStore
from confstream.testing import FaultyStore, ManualClock, fail_on
from tests.logs import Scribe, grow
from tests.restoring import Replica

PATIENCE_SECONDS = 20.0


class Together:
    """A hook that answers no read before *count* of them are asked for."""

    def __init__(self, count: int) -> None:
        self.asked: list[str] = []
        self.late = False
        self._count = count
        self._all = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, operation: str, key: str) -> None:
        if operation != "get":
            return
        with self._lock:
            self.asked.append(key)
            if len(self.asked) == self._count:
                self._all.set()
        self.late = not self._all.wait(PATIENCE_SECONDS) or self.late


def _restorable(revisions: int) -> Replica:
    made = Replica()
    for number in range(revisions):
        made.publish({"config.yml": b"a: %d\n" % number, "other.yml": b"b: 1\n"})
    made.publisher.snapshot(made.known)
    for number in range(5):
        made.publish({"config.yml": b"c: %d\n" % number, "other.yml": b"b: 1\n"})
    made.publisher.beat(300.0, 0.0, "0.1")
    return made


@pytest.mark.parametrize("revision", [None, "latest", "latest-good", "-1", "13"])
def test_p11_a_restore_lists_once_and_then_asks_for_all_it_needs_at_once(tmp_path: Path, revision: str | None) -> None:
    replica = _restorable(10)
    tail = 4 if revision == "-1" else 3 if revision == "13" else 5
    others = 0 if tail == 5 else 1
    together = Together(1 + tail + others + 1)  # the snapshot, the tail, the newest record, the heartbeat
    listed: list[str] = []

    def before(operation: str, key: str) -> None:
        if operation == "list":
            listed.append(key)
        together(operation, key)

    replica.store = _copy(replica.store, before)
    report = replica.restore(tmp_path / "tree", revision=revision)

    assert report.revision == 10 + tail
    assert not together.late
    assert len(listed) == 1
    assert len(together.asked) == len(set(together.asked)) == 1 + tail + others + 1


@pytest.mark.parametrize(("size", "requests"), [(10, 1), (1 << 17, 2)])
def test_what_was_begun_is_read_once_and_given_out_in_parts_too(size: int, requests: int) -> None:
    store = MeteredStore(MemoryStore())
    body = bytes(range(10)) * (size // 10)
    store.put("log/1", body)
    ahead = ReadAhead(store, 4)

    ahead.begin([("log/1", 0, None), ("log/1", 0, None)])

    assert (ahead.get("log/1", 0, 4), ahead.get("log/1", 8, 4)) == (body[:4], body[8:12])
    assert (ahead.get("log/1"), ahead.get("log/1")) == (body, body)
    assert ahead.get("log/1") == body
    # What is large is not held for longer than it was named (P14).
    assert store.calls["get"] == requests


def test_an_error_of_what_was_begun_is_raised_where_it_is_asked_for() -> None:
    inner = MemoryStore()
    inner.put("log/1", b"1")
    ahead = ReadAhead(FaultyStore(inner, [fail_on("get")]), 4)

    ahead.begin([("log/1", 0, None)])
    with pytest.raises(UnavailableError):
        ahead.get("log/1")
    assert ahead.get("log/1") == b"1"
    ahead.begin([("log/2", 0, None)])
    with pytest.raises(ObjectMissingError):
        ahead.get("log/2")


def test_what_was_dropped_is_read_anew() -> None:
    store = MeteredStore(MemoryStore())
    store.put("log/1", b"1")
    ahead = ReadAhead(store, 4)

    ahead.begin([("log/1", 0, None)])
    ahead.drop()

    assert ahead.get("log/1") == b"1"


def test_p11_any_instant_of_a_long_log_is_found_in_a_few_requests() -> None:
    clock = ManualClock()
    inner = MemoryStore()
    scribe = grow(inner, 1, clock)
    times = {}
    for number in range(2, 301):
        clock.advance(60)
        scribe.write(_yml=b"a: %d\n" % number)
        times[number] = clock.now_ns()
    for number in (2, 137, 138, 299, 300):
        store = MeteredStore(inner)

        assert LogReader(store).at_time(times[number]) == number
        assert LogReader(store).at_time(times[number] + 1) == number
        assert store.calls["get"] <= 2 * 36


def _copy(store: object, before: object) -> MemoryStore:
    assert isinstance(store, MemoryStore)
    made = MemoryStore(before=before)  # type: ignore[arg-type]
    made._shelf = store._shelf
    return made


def test_p11_a_diff_asks_for_both_moments_at_once_and_for_nothing_twice() -> None:
    replica = _restorable(10)
    together = Together(1 + 5)  # one snapshot for both, and the tail
    with History(_copy(replica.store, together), replica.clock) as history:
        text = "".join(history.diff(13, "latest"))

    assert ("-c: 2" in text, "+c: 4" in text, "other.yml" in text) == (True, True, False)
    assert not together.late
    assert sorted(together.asked) == sorted(set(together.asked))


def test_p11_a_diff_within_a_large_pack_reads_it_once() -> None:
    inner, clock = MemoryStore(), ManualClock()
    scribe = Scribe(inner, clock)
    chance = random.Random(7)  # noqa: S311 - a seed, not a secret
    for number in range(30):
        scribe.write(a_yml=b"a: %d\n" % number, b_yml=chance.randbytes(20_000))
    compact(inner, clock, pack_size=25, minimum=5, tail=5)
    store = MeteredStore(inner)

    text = "".join(History(store, clock).diff(11, 17))

    assert ("-a: 10" in text, "+a: 16" in text) == (True, True)
    assert (store.calls["list"], store.calls["get"]) == (1, 1)
