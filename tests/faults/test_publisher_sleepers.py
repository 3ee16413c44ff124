import pytest

from confstream.compactor import compact
from confstream.errors import FencedError, IntegrityError, UnavailableError
from confstream.layout import log_key
from confstream.log.publisher import GRACE_SECONDS
from confstream.store import MeteredStore, Store
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, fail_on
from confstream.verifier import Flaw, verify
from tests.logs import DAY, Scribe, grow, read_all


@pytest.mark.parametrize("epoch", [1, 3])
def test_p5_rule_4_a_writer_that_slept_does_not_fill_a_slot_that_was_packed_and_deleted(epoch: int) -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, 3, clock)
    sleeper = Scribe(store, clock, writer="sleeper")
    sleeper.publisher.epoch = epoch
    active = Scribe(store, clock, writer="active")
    active.publisher.epoch = 2
    for number in range(30):
        active.write(config_yml=b"%d\n" % number)
    _pack_and_delete(store, clock, active)
    before = {key for key in store.objects if key.startswith("log/")}

    if epoch < 2:
        with pytest.raises(FencedError):
            sleeper.write(late_yml=b"late\n")
    else:
        published = sleeper.write({"late.yml": b"late\n"})
        assert published.revision is not None
        assert published.adopted == tuple(range(4, 34))
        assert (published.position.number, published.revision.supersedes) == (34, (4, 33))

    assert {key for key in store.objects if key.startswith("log/")} - before <= {log_key(34)}
    assert verify(store).ok


def test_rule_4_a_young_listing_is_trusted_and_an_old_one_is_made_again() -> None:
    store, clock = MeteredStore(MemoryStore()), ManualClock()
    scribe = Scribe(store, clock)
    store.reset()
    clock.advance(GRACE_SECONDS / 4)
    scribe.write(a_yml=b"1\n")
    assert store.calls == {"put": 1}
    clock.advance(1.0)
    scribe.write(a_yml=b"2\n")

    assert store.calls == {"put": 2, "list": 1}


def test_rule_4_a_wall_clock_that_jumps_does_not_make_a_listing_younger() -> None:
    store, clock = MeteredStore(MemoryStore()), ManualClock()
    scribe = Scribe(store, clock)
    store.reset()
    clock.advance(GRACE_SECONDS)
    clock.jump(-2 * GRACE_SECONDS)

    scribe.write(a_yml=b"1\n")

    assert store.calls == {"put": 1, "list": 1}


def test_rule_4_a_machine_that_was_paused_lists_again_though_its_steady_clock_did_not_count_it() -> None:
    store, clock = MeteredStore(MemoryStore()), ManualClock()
    scribe = Scribe(store, clock)
    store.reset()
    clock.jump(GRACE_SECONDS)

    scribe.write(a_yml=b"1\n")

    assert store.calls == {"put": 1, "list": 1}


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("fails", [False, True])
def test_p4_rule_4_a_writer_that_slept_between_its_look_and_its_put_claims_no_slot_of_the_past(
    epoch: int, fails: bool
) -> None:
    clock = ManualClock()
    slept: list[str] = []
    active = grow(MemoryStore("asleep"), 3, clock)
    active.publisher.epoch = 2

    def sleep(operation: str, key: str) -> None:
        if operation == "put" and key == log_key(4) and not slept:
            slept.append(key)
            for number in range(30):
                active.write(config_yml=b"%d\n" % number)
            _pack_and_delete(MemoryStore("asleep"), clock, active)

    late = MemoryStore("asleep", before=sleep)
    sleeper = Scribe(FaultyStore(late, [fail_on("list", skip=1)] if fails else []), clock, writer="sleeper")
    sleeper.publisher.epoch = epoch
    intent = sleeper.intent({"late.yml": b"late\n"})
    if fails:
        with pytest.raises(UnavailableError):
            sleeper.send(intent)
        assert sleeper.publisher.in_doubt == intent.write_id

    if epoch < 2:
        with pytest.raises(FencedError):
            sleeper.send(intent)
    else:
        published = sleeper.send(intent)
        assert published.adopted == tuple(range(4, 34))
        assert published.position.number == 34
        assert read_all(late, 34) == {"late.yml": b"late\n"}

    assert slept
    report = verify(late)
    assert report.restorable == ((1, active.publisher.head.position.number + (epoch > 2)),)
    # Who could not find out at once leaves it, and it is named.
    assert [(problem.key, problem.flaw) for problem in report.problems] == [(log_key(4), Flaw.STRAY)] * fails


@pytest.mark.parametrize("epoch", [1, 3])
def test_p4_rule_4_a_lost_answer_does_not_make_a_slot_of_the_past_this_writers_revision(epoch: int) -> None:
    clock = ManualClock(auto=True)
    slept: list[str] = []
    active = grow(MemoryStore("lost"), 3, clock)
    active.publisher.epoch = 2

    def sleep(operation: str, key: str) -> None:
        if operation == "put" and key == log_key(4) and not slept:
            slept.append(key)
            for number in range(30):
                active.write(config_yml=b"%d\n" % number)
            _pack_and_delete(MemoryStore("lost"), clock, active)

    late = MemoryStore("lost", before=sleep)
    lost = FaultyStore(late, [fail_on("put", prefix=log_key(4), after_apply=True)])
    sleeper = Scribe(lost, clock, writer="sleeper")
    sleeper.publisher.epoch = epoch
    intent = sleeper.intent({"late.yml": b"late\n"})

    if epoch < 2:
        with pytest.raises(FencedError):
            sleeper.send(intent)
    else:
        published = sleeper.send(intent)
        assert published.adopted == tuple(range(4, 34))
        assert published.position.number == 34
        assert read_all(late, 34) == {"late.yml": b"late\n"}

    assert slept
    assert verify(late).ok


def test_a_slot_that_was_packed_and_deleted_between_the_put_and_the_look_is_found_in_its_pack() -> None:
    store, clock = MemoryStore("look"), ManualClock()
    first = grow(store, 12, clock)
    late = Scribe(store, clock, writer="late")
    late.publisher.epoch = 9
    for number in range(12):
        first.write(other_yml=b"%d\n" % number)
    packed: list[str] = []

    def pack_first(operation: str, key: str) -> None:
        if operation == "get" and key == log_key(13) and not packed:
            packed.append(key)
            _pack_and_delete(MemoryStore("look"), clock, first)

    late.publisher._store = MemoryStore("look", before=pack_first)
    late.publisher.reader.store = late.publisher.reader.ahead.inner = late.publisher._store
    published = late.write({"late.yml": b"late\n"})

    assert packed
    assert published.adopted == tuple(range(13, 25))
    assert verify(store).ok


def test_p5_a_writer_whose_place_in_history_was_pruned_stops() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, 3, clock)
    sleeper = Scribe(store, clock, writer="sleeper")
    sleeper.publisher.epoch = 9
    active = Scribe(store, clock, writer="active")
    for number in range(30):
        active.write(config_yml=b"%d\n" % number)
    _pack_and_delete(store, clock, active)
    store.delete([key for key in store.objects if key.startswith("pack/") and not key.endswith("30")])

    with pytest.raises(FencedError, match="no longer kept"):
        sleeper.write(late_yml=b"late\n")


def test_history_that_was_confirmed_and_is_gone_is_an_error() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = grow(store, 3, clock)
    store.delete([log_key(3)])
    clock.advance(GRACE_SECONDS)

    with pytest.raises(IntegrityError, match="revision 3 was confirmed"):
        scribe.write(a_yml=b"1\n")


def test_a_slot_that_does_not_follow_what_this_writer_knows_is_an_error() -> None:
    store, other = MemoryStore(), MemoryStore()
    scribe = grow(store, 3)
    scribe.publisher.epoch = 9
    foreign = grow(other, 2)
    foreign.write(config_yml=b"foreign\n")
    foreign.write(config_yml=b"more\n")
    store.put(log_key(4), other.objects[log_key(4)])

    with pytest.raises(IntegrityError, match="does not follow"):
        scribe.write(a_yml=b"1\n")


def _pack_and_delete(store: Store, clock: ManualClock, witness: Scribe) -> None:
    compact(store, clock, pack_size=10, minimum=5, tail=3)
    clock.advance(2 * DAY)
    witness.publisher.beat(300.0, 0.0, "0.1.0")
    assert compact(store, clock, pack_size=10, minimum=5, tail=3).deleted
