from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confstream.compactor import compact
from confstream.errors import IntegrityError, NoReplicaError, NotFoundError
from confstream.layout import log_key, pack_key, snapshot_key
from confstream.log.reader import LogReader
from confstream.revision import Status, Verdict
from confstream.store import MeteredStore
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, damage
from confstream.tree import diff
from tests.logs import DAY, Scribe, grow, read_all

BAD = Verdict(Status.SUSPICIOUS, ("blank",))


def test_p14_of_a_note_no_more_is_read_than_one_can_have() -> None:
    store = MeteredStore(MemoryStore())
    grow(store, 1)
    for key in ("tag/v1", "heartbeat/w7"):
        store.replace(key, bytes(1 << 20))
    store.reset()
    reader = LogReader(store)

    with pytest.raises(IntegrityError):
        reader.tag("v1")
    assert reader.heartbeats() == []
    reader.descriptor()
    assert store.sizes_bytes["get"] < 3 << 17


def test_no_replica_and_an_empty_log_are_different_things() -> None:
    store = MemoryStore()
    with pytest.raises(NoReplicaError):
        LogReader(store).head()

    Scribe(store)

    assert LogReader(store).head() == 0
    assert LogReader(store).checkout(0).tree == {}
    with pytest.raises(NotFoundError, match="no revision yet"):
        LogReader(store).checkout(1)


def test_p8_a_gap_is_an_error_that_names_the_nearest_revisions() -> None:
    store = MemoryStore()
    grow(store, 20, snapshot_every=10)
    store.delete([log_key(7)])

    with pytest.raises(IntegrityError, match=rf"revision 8 .*{log_key(7)} is missing; .*: revision 6 and revision 10"):
        LogReader(store).checkout(8)
    with pytest.raises(IntegrityError, match="revision 6 and revision 10"):
        LogReader(store).revision(7)
    assert LogReader(store).checkout(15).position.number == 15


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"tree_hash": bytes(32)}, "the tree does not match the hash"), ({"previous": bytes(32)}, "does not follow")],
    ids=["another tree", "another log"],
)
def test_p9_a_revision_that_is_whole_and_yet_wrong_is_neither_restored_nor_built_on(
    wrong: dict[str, Any], said: str
) -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.write(a_yml=b"1\n")
    other = Scribe(store, writer="w2")
    publisher, intent = scribe.publisher, scribe.intent({"a.yml": b"2\n", "b.yml": b"3\n"})
    # As a writer with a fault would leave it, or somebody who copied an object: every checksum is right.
    made = replace(publisher._next(intent, tuple(diff(publisher.head.tree, intent.tree))), **wrong)
    store.put(log_key(2), publisher._encode(made, scribe.contents.__getitem__, scribe.contents.get))

    with pytest.raises(IntegrityError, match=said):
        LogReader(store).checkout(2)
    with pytest.raises(IntegrityError, match=said):
        other.write({"a.yml": b"other\n"})
    assert read_all(store, 1) == {"a.yml": b"1\n"}


def test_p8_a_damaged_revision_is_an_error_that_names_it_and_the_nearest_revisions() -> None:
    store = MemoryStore()
    grow(store, 20, snapshot_every=10)
    store.replace(log_key(7), b"damaged")

    with pytest.raises(IntegrityError, match=rf"{log_key(7)}.*: revision 6 and revision 10"):
        LogReader(store).checkout(9)


def test_p8_a_damaged_pack_is_gone_around_while_its_log_objects_are_there() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, 20, clock)
    before = read_all(store, 7)
    compact(store, clock, pack_size=10, minimum=5, tail=2)
    store.replace(pack_key(1, 10), b"damaged")

    assert read_all(store, 7) == before
    assert LogReader(store).revision(7).revision.number == 7


@pytest.mark.parametrize("body", [b"damaged", None])
def test_p8_a_damaged_snapshot_is_gone_around_through_the_log(body: bytes | None) -> None:
    store = MemoryStore()
    grow(store, 20, snapshot_every=5)
    before = read_all(store, 18)
    # Without a body: the snapshot of another revision.
    store.replace(snapshot_key(15), store.objects[snapshot_key(10)] if body is None else body)

    assert read_all(store, 18) == before
    assert read_all(store, 15) is not None


def test_p8_a_snapshot_that_the_log_does_not_follow_is_gone_around() -> None:
    store, other = MemoryStore(), MemoryStore()
    grow(store, 20, snapshot_every=5)
    before = read_all(store, 18)
    scribe = Scribe(other)
    for number in range(15):
        scribe.write(other_yml=b"%d\n" % number)
    scribe.snapshot()
    store.replace(snapshot_key(15), other.objects[snapshot_key(15)])

    assert read_all(store, 18) == before


def test_p9_a_lie_of_the_storage_is_noticed_and_the_next_reader_is_well() -> None:
    inner = MemoryStore()
    grow(inner, 5)

    with pytest.raises(IntegrityError, match=log_key(3)):
        read_all(FaultyStore(inner, [damage(times=2, prefix=log_key(3), flip=90)]), 5)
    assert read_all(inner, 5)


def test_p8_an_answer_that_was_garbled_once_on_its_way_was_called_damage_of_the_replica() -> None:
    inner = MemoryStore()
    grow(inner, 6)
    reader = LogReader(FaultyStore(inner, [damage(prefix=log_key(3), keep=60)]))

    assert reader.checkout(6).tree == LogReader(inner).checkout(6).tree


def test_readers_survive_a_packer_that_deletes_between_listing_and_reading() -> None:
    store, clock = MemoryStore("shared"), ManualClock()
    scribe = grow(store, 30, clock)
    expected = read_all(store, 17)
    reader = LogReader(MemoryStore("shared"))
    reader.refresh()
    compact(store, clock, pack_size=10, minimum=5, tail=2)
    clock.advance(2 * DAY)
    scribe.publisher.beat(300.0, 0.0, "0.1.0")
    assert compact(store, clock, pack_size=10, minimum=5, tail=2).deleted

    found = reader.checkout(17)

    assert {entry.path.decode(): found.content(entry.hash) for entry in found.tree.files} == expected
    assert [made.revision.number for made in reader.revisions()] == list(range(1, 31))


def test_revisions_come_in_either_order_and_before_a_gap_is_reached() -> None:
    store = MemoryStore()
    grow(store, 150)
    reader = LogReader(store)
    assert [made.revision.number for made in reader.revisions(3, 140)] == list(range(3, 141))
    newest_first = [made.revision.number for made in reader.revisions(newest_first=True)]
    assert newest_first == list(range(150, 0, -1))

    store.delete([log_key(100)])
    told: list[int] = []
    with pytest.raises(IntegrityError, match="revision 100"):
        told.extend(made.revision.number for made in LogReader(store).revisions(newest_first=True))
    assert told == list(range(150, 100, -1))


def test_a_time_is_the_last_revision_at_or_before_it() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    start = clock.now_ns()
    for number in range(20):
        scribe.write(a_yml=b"%d\n" % number)
        clock.advance(60.0)
    reader = LogReader(store)

    assert reader.at_time(start) == 1
    assert reader.at_time(start + 119 * 10**9) == 2
    assert reader.at_time(start + 120 * 10**9) == 3
    assert reader.at_time(start + 10**15) == 20
    with pytest.raises(NotFoundError, match="no revision that old; the first is revision 1"):
        reader.at_time(start - 1)


def test_time_never_goes_back_along_the_log_whatever_the_clock_does() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(6):
        scribe.write(a_yml=b"%d\n" % number)
        clock.jump(-3600.0)

    times = [made.revision.time_ns for made in LogReader(store).revisions()]

    assert times == sorted(times)
    assert LogReader(store).at_time(times[-1]) == 6


def test_the_newest_good_revision_and_what_was_skipped() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    assert LogReader(store).newest_good() == (0, [])
    scribe.write(a_yml=b"1\n")
    scribe.write(a_yml=b"\n", verdict=BAD)
    scribe.write(b_yml=b"\n", verdict=BAD)

    number, skipped = LogReader(store).newest_good()

    assert (number, [made.revision.number for made in skipped]) == (1, [3, 2])


def test_p8_damage_far_back_does_not_hide_the_newest_good_revision() -> None:
    store = MemoryStore()
    grow(store, 20, snapshot_every=10)
    store.delete([log_key(5)])

    assert LogReader(store).newest_good() == (20, [])


def test_a_tag_is_found_and_an_unknown_one_names_those_that_there_are() -> None:
    store = MemoryStore()
    scribe = grow(store, 5)
    scribe.reader.refresh()
    scribe.publisher.tag("v1", scribe.reader.revision(3))
    reader = LogReader(store)

    assert reader.tag("v1").number == 3
    with pytest.raises(NotFoundError, match="no tag 'v2'; it has v1"):
        reader.tag("v2")
    with pytest.raises(NotFoundError):
        reader.tag("../x")


def test_a_missing_blob_is_damage_that_names_the_blob() -> None:
    store = MemoryStore()
    Scribe(store).write({"a.bin": b"a" * (2 << 20)})
    store.delete([key for key in store.objects if key.startswith("blob/")])

    with pytest.raises(IntegrityError, match="blob/"):
        read_all(store, 1)


def test_only_contents_that_are_wanted_are_decoded() -> None:
    store = MemoryStore()
    grow(store, 12)

    found = LogReader(store).checkout(12, lambda path: path == b"file1.yml")

    entries = {entry.path: entry.hash for entry in found.tree.files}
    assert found.content(entries[b"file1.yml"])
    with pytest.raises(IntegrityError, match="nowhere"):
        found.content(entries[b"file2.yml"])


def test_a_pruned_history_says_what_is_no_longer_kept() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = grow(store, 30, clock)
    compact(store, clock, pack_size=10, minimum=5, tail=2)
    clock.advance(2 * DAY)
    scribe.publisher.beat(300.0, 0.0, "0.1.0")
    compact(store, clock, pack_size=10, minimum=5, tail=2)
    stray = store.objects[log_key(29)]
    store.delete([pack_key(1, 10)])
    store.put(log_key(4), stray)
    reader = LogReader(store)

    assert reader.oldest() == 11
    with pytest.raises(NotFoundError, match=r"revision 5 is no longer kept: .* revisions 11 to 30"):
        reader.revision(5)
    assert next(iter(reader.revisions())).revision.number == 11


def _packed(count: int) -> tuple[MemoryStore, ManualClock]:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, count + 1):
        scribe.write({"a.yml": b"%d\n" % number})
        if number % 50 == 0:
            scribe.snapshot()
    if count > 1000:
        compact(store, clock)
        clock.advance(2 * DAY)
        scribe.publisher.beat(300.0, 0.0, "0.1.0")
        compact(store, clock)
    return store, clock


@pytest.mark.exhaustive
@pytest.mark.parametrize(("most", "few"), [(10, 10), (10_049, 2_049)])
def test_p11_a_restore_costs_the_same_whatever_the_length_of_history(
    most: int, few: int, amount: Callable[[int, int], int]
) -> None:
    count = amount(most, few)
    store, _ = _packed(count)
    metered = MeteredStore(store)
    reader = LogReader(metered)

    number, _ = reader.newest_good()
    found = reader.checkout(number)

    assert found.position.number == count
    assert {entry.path: found.content(entry.hash) for entry in found.tree.files} == {b"a.yml": b"%d\n" % count}
    assert metered.calls["list"] == 1
    assert metered.calls["get"] <= 52
    assert metered.sizes_bytes["get"] < 100_000


def test_p11_any_moment_of_a_packed_history_costs_a_handful_of_requests() -> None:
    store, _ = _packed(1100)
    metered = MeteredStore(store)
    reader = LogReader(metered)

    number = reader.at_time(store_time := reader.revision(437).revision.time_ns)
    found = reader.checkout(437)

    assert found.content(next(found.tree.files).hash) == b"437\n"
    assert reader.revision(number).revision.time_ns == store_time
    assert metered.calls["get"] < 30
