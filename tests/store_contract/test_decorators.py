"""Retrying, counting, failing on purpose, and the proof under faults."""

import random
import threading

import pytest

from confstream.errors import (
    AccessDeniedError,
    NoExclusiveCreateError,
    ObjectExistsError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.store import Keys, MeteredStore, RetryingStore, Store, prove_exclusive_create
from confstream.store.retry import Retry
from confstream.testing import Fault, FaultyStore, ManualClock, MemoryStore, damage, delay_put, fail_on
from tests.servers import wait_until

EVERY = 10**9


def retrying(inner: Store, clock: ManualClock, told: list[Retry] | None = None, seconds: float = 60) -> RetryingStore:
    on_retry = None if told is None else told.append
    return RetryingStore(inner, clock, seconds, on_retry=on_retry, rng=random.Random(1))  # noqa: S311 - jitter is no secret.


def test_a_failed_put_leaves_nothing_behind() -> None:
    store = MemoryStore(before=fail_on("put"))

    with pytest.raises(UnavailableError, match="injected"):
        store.put("log/a", b"1")

    assert store.objects == {}


def test_a_lost_acknowledgement_leaves_the_object_behind() -> None:
    store = MemoryStore(after=fail_on("put", after_apply=True))

    with pytest.raises(OutcomeUnknownError, match="injected"):
        store.put("log/a", b"1")

    assert store.objects == {"log/a": b"1"}


@pytest.mark.parametrize("operation", ["put", "replace", "get", "list", "delete"])
def test_every_operation_is_repeated_until_it_succeeds(operation: str) -> None:
    memory, told = MemoryStore(), list[Retry]()
    memory.put("log/0", b"x")
    faulty = FaultyStore(memory, [fail_on(operation, times=3)])
    store = retrying(faulty, ManualClock(), told)

    store.put("log/1", b"x")
    store.replace("heartbeat/w", b"x")
    assert store.get("log/1") == b"x"
    assert store.list("log/") == ["log/0", "log/1"]
    store.delete(["log/0"])

    assert memory.list() == ["heartbeat/w", "log/1"]
    assert [(retry.operation, retry.attempt) for retry in told] == [(operation, number) for number in (1, 2, 3)]


def test_p7_the_first_failure_is_told_before_the_first_pause() -> None:
    clock = ManualClock()
    pauses_when_told: list[int] = []
    store = RetryingStore(
        MemoryStore(before=fail_on("list")), clock, on_retry=lambda _retry: pauses_when_told.append(len(clock.waits))
    )

    store.list()

    assert pauses_when_told == [0]


def test_pauses_grow_to_a_limit_and_end_at_the_deadline() -> None:
    clock = ManualClock()
    store = retrying(MemoryStore(before=fail_on("get", times=EVERY)), clock, seconds=120)

    with pytest.raises(UnavailableError, match=r"injected .* \(gave up after \d+ attempts\)"):
        store.get("log/1")

    assert sum(clock.waits) == pytest.approx(120)
    assert clock.waits[0] < 0.3
    assert 7 < max(clock.waits) <= 15
    assert all(later > earlier * 0.9 for earlier, later in zip(clock.waits[:5], clock.waits[1:6], strict=True))


def test_p4_a_put_of_unknown_outcome_is_the_callers_to_resolve() -> None:
    inner = MeteredStore(MemoryStore(after=fail_on("put", after_apply=True)))

    with pytest.raises(OutcomeUnknownError):
        retrying(inner, ManualClock()).put("log/1", b"x")

    assert inner.calls == {"put": 1}


def test_what_another_try_cannot_mend_is_not_tried_again() -> None:
    for error in (AccessDeniedError("no"), ObjectExistsError("there"), NoExclusiveCreateError("cannot")):
        inner = MeteredStore(MemoryStore(before=fail_on("put", error=error)))

        with pytest.raises(type(error)):
            retrying(inner, ManualClock()).put("log/1", b"x")

        assert inner.calls == {"put": 1}


def test_closing_ends_a_pause_at_once() -> None:
    clock = ManualClock(auto=False)
    store = retrying(MemoryStore(before=fail_on("list", times=EVERY)), clock)
    ended: list[Exception] = []

    def listen() -> None:
        try:
            store.list()
        except UnavailableError as error:
            ended.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    wait_until(lambda: clock.sleepers == 1, 5, "the store to pause")
    store.close()
    thread.join(5)

    assert len(ended) == 1


def test_a_metered_store_counts_calls_and_bytes_failed_ones_included() -> None:
    store = MeteredStore(MemoryStore())
    store.put("log/1", b"12345")
    with pytest.raises(ObjectExistsError):
        store.put("log/1", b"12345")
    store.get("log/1", 0, 2)
    store.list()
    store.delete(["log/1", "log/2", "log/3"])

    assert store.calls == {"put": 2, "get": 1, "list": 1, "delete": 1}
    assert store.sizes_bytes["put"] == 10
    assert store.sizes_bytes["get"] == 2
    store.reset()
    assert store.calls == {}


def test_a_fault_hits_its_operation_and_keys_as_often_as_planned() -> None:
    store = FaultyStore(MemoryStore(), [fail_on("put", prefix="log/", skip=1, times=2)])
    failed = []

    for key in ("tag/a", "log/1", "log/2", "log/3", "log/4"):
        try:
            store.put(key, b"x")
        except UnavailableError:
            failed.append(key)

    assert failed == ["log/2", "log/3"]


def test_damaged_reads_are_short_or_have_one_wrong_bit() -> None:
    memory = MemoryStore()
    memory.put("log/1", b"0123456789")
    store = FaultyStore(memory, [damage(keep=4), damage(flip=2)])

    assert store.get("log/1") == b"0123"
    assert store.get("log/1") == b"0133456789"
    assert store.get("log/1") == b"0123456789"


def test_a_delayed_put_arrives_when_released_and_never_overwrites() -> None:
    fault = delay_put(times=2)
    store = FaultyStore(MemoryStore(), [fault])
    for key in ("log/1", "log/2"):
        with pytest.raises(OutcomeUnknownError):
            store.put(key, b"late")
    store.put("log/1", b"in time")
    assert store.list() == ["log/1"]

    fault.release()

    assert store.get("log/1") == b"in time"
    assert store.get("log/2") == b"late"


class Careless(MemoryStore):
    """A backend that overwrites, always or only when it is raced."""

    def __init__(self, *, only_in_a_race: bool) -> None:
        super().__init__()
        self._only_in_a_race = only_in_a_race
        self._gate = threading.Barrier(2)

    def put(self, key: str, body: bytes) -> None:
        if not self._only_in_a_race:
            self.replace(key, body)
            return
        taken = key in self.objects
        if threading.current_thread() is not threading.main_thread() and not taken:
            # Two look at the same moment, as two processes would; a third comes too late to meet anybody.
            try:
                self._gate.wait(0.2)
            except threading.BrokenBarrierError:
                self._gate.reset()
        if taken:
            raise ObjectExistsError(key)
        self.replace(key, body)


@pytest.mark.parametrize("only_in_a_race", [False, True])
def test_p5_a_backend_that_overwrites_is_found_out(*, only_in_a_race: bool) -> None:
    store = Careless(only_in_a_race=only_in_a_race)

    with pytest.raises(NoExclusiveCreateError, match=r"two writers|created"):
        prove_exclusive_create(store)

    assert store.objects == {}


class Liar(MemoryStore):
    """A backend that refuses the second create, and stores it all the same."""

    def put(self, key: str, body: bytes) -> None:
        taken = key in self.objects
        self.replace(key, body)
        if taken:
            raise ObjectExistsError(key)


def test_p5_a_backend_that_refuses_and_overwrites_is_found_out() -> None:
    with pytest.raises(NoExclusiveCreateError, match="not what was put first"):
        prove_exclusive_create(Liar())


@pytest.mark.parametrize(
    "fault",
    [
        fail_on("put", after_apply=True),
        fail_on("put", after_apply=True, skip=1),
        fail_on("put", after_apply=True, skip=2, times=2),
        fail_on("put", after_apply=True, error=ObjectExistsError("our own, repeated")),
        delay_put(times=3),
    ],
)
def test_p5_lost_acknowledgements_do_not_make_a_good_backend_look_bad(fault: Fault) -> None:
    memory = MemoryStore()

    prove_exclusive_create(FaultyStore(memory, [fault]))

    assert memory.objects == {}


@pytest.mark.parametrize("at", [0, 1])
def test_p5_a_read_that_was_spoiled_on_its_way_does_not_make_a_good_backend_look_bad(at: int) -> None:
    memory = MemoryStore()

    prove_exclusive_create(FaultyStore(memory, [damage(skip=at, flip=3)]))

    assert memory.objects == {}


def test_a_proof_that_never_gets_an_answer_is_unavailable_and_not_a_verdict() -> None:
    store = FaultyStore(MemoryStore(), [fail_on("put", times=EVERY, after_apply=True)])

    with pytest.raises(UnavailableError, match="cannot tell whether"):
        prove_exclusive_create(store)


def test_the_proof_accepts_a_policy_that_forbids_deleting() -> None:
    memory = MemoryStore(before=fail_on("delete", times=EVERY, error=AccessDeniedError("append only")))

    prove_exclusive_create(memory)

    assert all(key.startswith("probe/") for key in memory.objects)


def test_a_manual_clock_blocks_until_it_is_advanced() -> None:
    clock = ManualClock(auto=False)
    event, results = threading.Event(), list[bool]()
    thread = threading.Thread(target=lambda: results.append(clock.wait(event, 10)))
    thread.start()
    wait_until(lambda: clock.sleepers == 1, 5, "a sleeper")

    clock.advance(9)
    assert thread.is_alive()
    clock.advance(2)
    thread.join(5)

    assert results == [False]
    assert clock.elapsed_seconds() == 11


def test_a_manual_clock_can_be_set_without_time_passing() -> None:
    clock = ManualClock(1_000_000_000)

    clock.jump(-0.5)

    assert (clock.now_ns(), clock.elapsed_seconds()) == (500_000_000, 0)


def test_a_store_in_memory_gives_a_copy_of_its_objects() -> None:
    store = MemoryStore("shared/prefix")
    store.put("log/1", b"x")

    store.objects.clear()

    assert store.objects == {"log/1": b"x"}
    assert MemoryStore("shared").objects == {"prefix/log/1": b"x"}
    keys: Keys = MemoryStore("shared").list()
    assert keys == ["prefix/log/1"]
