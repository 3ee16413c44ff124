"""How a replica answers, from real round trips: what counts as a failure, since when, and what ends it."""

import threading

import pytest

from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.meter import Meter
from confstream.store.contact import OUTCOMES, PATIENCE_SECONDS, Contact, outcome_of
from confstream.store.metered import MeteredStore
from confstream.testing import ManualClock, MemoryStore, fail_on


class Counted:
    """A store in memory behind a metered one, with the clock of both."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.contact = Contact(self.clock)
        self.meter = Meter()
        self.memory = MemoryStore()

    def connect(self, **faults: object) -> MeteredStore:
        inner = MemoryStore(**faults) if faults else self.memory  # type: ignore[arg-type]  # faults of its own
        return MeteredStore(inner, self.meter, self.contact, clock=self.clock)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (ObjectExistsError("x"), "exists"),
        (ObjectMissingError("x"), "missing"),
        (AccessDeniedError("x"), "denied"),
        (OutcomeUnknownError("x"), "unknown"),
        (UnavailableError("x"), "unavailable"),
        (NoExclusiveCreateError("x"), "refused"),
        (ConfstreamError("x"), "error"),
        (KeyError("x"), "error"),
    ],
)
def test_every_way_to_end_has_one_word(error: Exception | None, outcome: str) -> None:
    assert outcome_of(error) == outcome
    assert outcome in OUTCOMES


def test_nobody_answered_before_the_first_answer() -> None:
    found = Counted().contact.read()

    assert (found.answered_ns, found.waiting_ns, found.failures) == (0, 0, {})


def test_p7_a_failure_counts_from_the_first_attempt_on_and_keeps_its_beginning() -> None:
    counted = Counted()
    store = counted.connect(before=fail_on("put", times=2))
    began_ns = counted.clock.now_ns()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            store.put("a", b"1")
        counted.clock.advance(10)

    failure = counted.contact.read().failures["write"]

    assert (failure.outcome, failure.since_ns) == ("unavailable", began_ns)
    assert "injected" in failure.text


def test_p12_an_error_that_is_none_of_ours_is_not_quoted() -> None:
    counted = Counted()
    store = counted.connect(before=fail_on("put", error=KeyError("canary-7261")))
    with pytest.raises(KeyError):
        store.put("a", b"1")

    assert counted.contact.read().failures["write"].text == "KeyError"


def test_an_answer_of_the_storage_is_no_failure() -> None:
    counted = Counted()
    store = counted.connect()
    store.put("a", b"1")
    counted.clock.advance(5)
    with pytest.raises(ObjectExistsError):
        store.put("a", b"2")
    with pytest.raises(ObjectMissingError):
        store.get("b")

    found = counted.contact.read()

    assert found.failures == {}
    assert found.answered_ns == counted.clock.now_ns()


def test_p7_a_read_that_succeeds_does_not_hide_that_writes_are_refused() -> None:
    counted = Counted()
    store = counted.connect(before=fail_on("put", error=AccessDeniedError("denied")))
    with pytest.raises(AccessDeniedError):
        store.put("a", b"1")

    store.list()

    assert counted.contact.read().failures.keys() == {"write"}


def test_a_write_that_succeeds_ends_what_failed_before_on_another_connection_too() -> None:
    counted = Counted()
    failing = counted.connect(before=fail_on("get"))
    with pytest.raises(UnavailableError):
        failing.get("a")
    assert counted.contact.read().failures.keys() == {"read"}

    counted.connect().replace("beat", b"1")

    assert counted.contact.read().failures == {}


def test_a_refused_delete_is_told_apart() -> None:
    counted = Counted()
    store = counted.connect(before=fail_on("delete", error=AccessDeniedError("denied")))
    with pytest.raises(AccessDeniedError):
        store.delete(["a"])

    store.put("a", b"1")

    assert counted.contact.read().failures.keys() == {"delete"}


@pytest.mark.parametrize(("size_bytes", "allowed_seconds"), [(0, PATIENCE_SECONDS), (1_000_000, PATIENCE_SECONDS + 10)])
def test_p7_a_request_without_an_answer_is_told_while_it_waits(size_bytes: int, allowed_seconds: float) -> None:
    clock = ManualClock()
    contact = Contact(clock)
    began_ns = clock.now_ns()
    call = contact.begin(size_bytes)

    clock.advance(allowed_seconds)
    assert contact.read().waiting_ns == 0
    clock.advance(0.1)
    assert contact.read().waiting_ns == began_ns
    contact.end(call, "put", None)
    assert contact.read().waiting_ns == 0
    assert contact.read().took_seconds == pytest.approx(allowed_seconds + 0.1)


def test_counters_go_on_over_connections_and_threads() -> None:
    counted = Counted()

    def work(number: int) -> None:
        store = counted.connect()
        store.put(f"{number}", b"123")
        store.get(f"{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    read = counted.meter.read()
    assert read.count("storage_requests_total", op="put", outcome="ok") == 4
    assert read.count("storage_requests_total", op="get", outcome="ok") == 4
    assert read.count("storage_bytes_total", direction="sent") == 12
    assert read.count("storage_bytes_total", direction="received") == 12
    assert sum(one.count for one in read.distributions.values()) == 8


def test_a_wall_clock_that_jumps_makes_no_replica_silent() -> None:
    counted = Counted()
    counted.connect().put("a", b"1")

    counted.clock.jump(3600)
    counted.clock.advance(3)

    assert counted.contact.read().silent_seconds == pytest.approx(3)


@pytest.mark.parametrize(("key", "overdue"), [("log/1", True), ("snapshot/1", False)])
def test_reading_what_may_be_large_is_given_more_time(key: str, overdue: bool) -> None:
    counted = Counted()

    def slow(_operation: str, _key: str) -> None:
        counted.clock.advance(PATIENCE_SECONDS + 1)
        seen.append(bool(counted.contact.read().waiting_ns))

    seen: list[bool] = []
    store = counted.connect(before=slow)
    with pytest.raises(ObjectMissingError):
        store.get(key)

    assert seen == [overdue]
