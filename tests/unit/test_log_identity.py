import threading

import pytest

from confstream.codec.notes import Descriptor, decode_descriptor, encode_descriptor
from confstream.errors import IntegrityError, NoExclusiveCreateError, OutcomeUnknownError
from confstream.layout import DESCRIPTOR
from confstream.log.identity import find_or_create
from confstream.log.intent import Writer
from confstream.store import Keys, Store
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, damage, delay_put, fail_on
from tests.logs import grow


class CarelessStore(MemoryStore):
    """A backend that overwrites where it should refuse."""

    def put(self, key: str, body: bytes) -> None:
        self.replace(key, body)


def found_or_created(store: Store, stream: str = "a" * 32, *, proven: bool = False, unsafe: bool = False) -> Descriptor:
    """Return the descriptor as a writer gets it."""
    return find_or_create(
        store, ManualClock(), version="0.1.0", new_id=lambda: stream, proven=proven, unsafe_single_writer=unsafe
    )


def test_the_first_writer_describes_the_replica_and_later_ones_find_it() -> None:
    store = MemoryStore()

    made = found_or_created(store)

    assert made == decode_descriptor(store.objects[DESCRIPTOR], DESCRIPTOR)
    assert made.exclusive_create
    assert found_or_created(store, "b" * 32) == made
    assert [*store.objects] == [DESCRIPTOR]


def test_rule_6_a_backend_that_overwrites_is_refused() -> None:
    store = CarelessStore()

    with pytest.raises(NoExclusiveCreateError, match="--unsafe-single-writer"):
        found_or_created(store)

    assert DESCRIPTOR not in store.objects


def test_rule_6_a_single_writer_may_accept_it_and_nobody_else_joins_unawares() -> None:
    store = CarelessStore()

    assert not found_or_created(store, unsafe=True).exclusive_create
    assert not found_or_created(store, unsafe=True).exclusive_create
    with pytest.raises(NoExclusiveCreateError, match="set up for a single writer"):
        found_or_created(store)


def test_rule_6_a_replica_that_moved_to_a_backend_that_overwrites_is_refused() -> None:
    store = CarelessStore()
    store.put(DESCRIPTOR, encode_descriptor(Descriptor("a" * 32, 1, "0.1.0", exclusive_create=True)))

    with pytest.raises(NoExclusiveCreateError):
        found_or_created(store)
    assert found_or_created(store, proven=True).stream == "a" * 32


def test_a_log_without_its_descriptor_is_not_described_anew() -> None:
    store = MemoryStore()
    grow(store, 2)
    store.delete([DESCRIPTOR])

    with pytest.raises(IntegrityError, match="a log without its confstream"):
        found_or_created(store)


def test_a_creator_that_was_quicker_between_the_look_and_the_list_is_believed() -> None:
    quicker = Descriptor("b" * 32, 1, "0.1.0", exclusive_create=True)

    class Raced(MemoryStore):
        def list(self, prefix: str = "") -> Keys:
            if DESCRIPTOR not in self.objects:
                self.put(DESCRIPTOR, encode_descriptor(quicker))
            return super().list(prefix)

    assert found_or_created(Raced()) == quicker


def test_two_creators_at_once_agree() -> None:
    barrier = threading.Barrier(4)
    found: list[Descriptor] = []

    def create(number: int) -> None:
        barrier.wait()
        found.append(found_or_created(MemoryStore("creators"), f"{number:032x}"))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len({one.stream for one in found}) == 1


def test_p4_a_descriptor_whose_answer_was_lost_is_read_back() -> None:
    store = FaultyStore(MemoryStore(), [fail_on("put", prefix=DESCRIPTOR, after_apply=True)])

    assert found_or_created(store).stream == "a" * 32


def test_p4_a_descriptor_that_may_yet_arrive_is_not_taken_for_there() -> None:
    fault = delay_put(prefix=DESCRIPTOR)
    store = FaultyStore(MemoryStore(), [fault])
    with pytest.raises(OutcomeUnknownError):
        found_or_created(store)

    fault.release()

    assert found_or_created(store, "b" * 32).stream == "a" * 32


@pytest.mark.parametrize("name", ["writer-1", "Writer", "", "a/b", "w" * 65])
def test_p5_a_writer_whose_name_fits_no_key_left_a_fork_that_nobody_could_list(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a writer"):
        Writer(name, "host")


def test_p8_an_answer_that_was_garbled_once_on_its_way_was_called_damage_of_the_descriptor() -> None:
    store = MemoryStore()
    made = found_or_created(store)

    assert found_or_created(FaultyStore(store, [damage(prefix=DESCRIPTOR, keep=50)]), proven=True) == made
