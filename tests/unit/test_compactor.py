from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from confstream import layout
from confstream.codec.notes import encode_heartbeat
from confstream.codec.objects import decode_pack
from confstream.compactor import (
    CompactPlan,
    CompactReport,
    Manner,
    compact,
    needed,
    packing,
    scattered,
    snapshot_at,
    superfluous,
)
from confstream.errors import IntegrityError, UnavailableError
from confstream.layout import Listing, heartbeat_key, log_key, pack_key, snapshot_key
from confstream.log.publisher import GRACE_SECONDS
from confstream.log.reader import LogReader
from confstream.revision import Heartbeat
from confstream.store import MeteredStore, Store
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, delay_put, fail_on
from confstream.verifier import Flaw, verify
from tests.logs import DAY, Scribe, grow, read_all

COUNT = 34


def pack(store: Store, clock: ManualClock, *, grace_seconds: float = GRACE_SECONDS) -> CompactReport:
    """Compact *store* in packs of ten, with a tail of four."""
    return compact(store, clock, pack_size=10, minimum=5, tail=4, grace_seconds=grace_seconds)


def later(store: Store, clock: ManualClock, seconds: float = 2 * DAY) -> None:
    """Let time pass, as a living writer witnesses it."""
    clock.advance(seconds)
    beat = Heartbeat(
        "w9", "h", 1, 1, LogReader(store).checkout(1).tree.digest, clock.now_ns(), 300.0, 0.0, "1", released=False
    )
    store.replace(heartbeat_key("w9"), encode_heartbeat(beat))


def listing_of(store: MemoryStore) -> Listing:
    """Return what lies on *store*."""
    return layout.parse(store.objects)


def history(store: Store) -> list[dict[str, bytes]]:
    """Return all files at every revision."""
    return [read_all(store, number) for number in range(1, COUNT + 1)]


def test_p5_every_revision_is_the_same_after_packing_and_after_deleting() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock, snapshot_every=7)
    before = history(store)

    first = pack(store, clock)
    assert first.packs == ((1, 10), (11, 20), (21, 30))
    assert history(store) == before
    later(store, clock)
    second = pack(store, clock)

    assert len(second.deleted) == 30 + 4
    assert listing_of(store).log == (31, 32, 33, 34)
    assert listing_of(store).snapshots == (10, 20, 30)
    assert history(store) == before
    assert verify(store).problems == ()


def test_packing_again_changes_nothing() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    later(store, clock)
    pack(store, clock)
    once = store.objects

    report = pack(store, clock)

    assert (report.packs, report.deleted, str(report.plan)) == ((), (), "nothing to do")
    assert store.objects == once


def test_a_dry_run_writes_nothing_and_says_what_would_be_done() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    before = store.objects

    report = compact(store, clock, pack_size=10, minimum=5, tail=4, dry_run=True)

    assert store.objects == before
    assert str(report) == "pack revisions 1 to 10\npack revisions 11 to 20\npack revisions 21 to 30"
    assert report.plan == CompactPlan(packs=((1, 10), (11, 20), (21, 30)))


def test_too_few_revisions_are_left_alone() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, 8, clock)

    assert pack(store, clock).packs == ()
    assert compact(store, clock).packs == ()


@pytest.mark.parametrize(("log", "head", "expected"), [(249, None, False), (250, None, True), (10, 250, True)])
def test_a_writer_knows_from_a_listing_whether_packing_is_worth_it(log: int, head: int | None, expected: bool) -> None:
    assert needed(Listing(log=tuple(range(1, log + 1))), head=head) is expected


def test_nothing_is_deleted_within_the_grace_period() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    later(store, clock, GRACE_SECONDS - 1)

    report = pack(store, clock)

    assert report.deleted == ()
    assert report.plan.waiting == 30
    assert len(listing_of(store).log) == COUNT


def test_p5_the_grace_period_begins_when_the_pack_is_stored_however_long_it_took_to_make() -> None:
    clock = ManualClock()
    slept: list[str] = []

    def sleep(operation: str, key: str) -> None:
        if operation == "put" and key.startswith("snapshot/") and not slept:
            slept.append(key)
            later(MemoryStore("slow packer"), clock)

    grow(MemoryStore("slow packer"), COUNT, clock)
    store = MemoryStore("slow packer", before=sleep)
    assert pack(store, clock).packs

    assert slept
    assert pack(store, clock).deleted == ()
    later(store, clock)
    assert pack(store, clock).deleted


def test_p5_a_clock_that_jumps_ahead_deletes_nothing() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    clock.jump(400 * DAY)

    assert pack(store, clock).deleted == ()


@pytest.mark.parametrize("server_is_right", [True, False])
def test_p5_the_clock_of_a_machine_that_jumped_bore_witness_for_a_packer_on_the_same_machine(
    *, server_is_right: bool
) -> None:
    class Serving(MemoryStore):
        server_date = ""

    inner, clock = Serving(), ManualClock()
    store = MeteredStore(inner, clock=clock)
    grow(store, COUNT, clock)
    pack(store, clock)
    if server_is_right:
        inner.server_date = format_datetime(datetime.fromtimestamp(clock.now_ns() / 1e9, UTC), usegmt=True)
    clock.jump(2 * DAY)
    later(store, clock, 60.0)

    # Where no server tells the time, a clock that is wrong on every machine is taken as it is.
    assert (pack(store, clock).deleted == ()) is server_is_right


def test_p5_a_clock_that_was_behind_when_it_packed_deletes_nothing_once_it_is_right() -> None:
    store, clock, behind = MemoryStore(), ManualClock(), ManualClock()
    behind.jump(-30 * DAY)
    grow(store, COUNT, behind)
    later(store, clock, 0.0)
    pack(store, behind)
    behind.jump(30 * DAY)
    later(store, clock, 60.0)

    assert pack(store, behind).deleted == ()


def test_p5_a_clock_that_jumps_back_deletes_nothing_early() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    clock.jump(-10 * DAY)
    later(store, clock, 2 * DAY)

    assert pack(store, clock).deleted == ()


def test_p5_p8_a_snapshot_inside_of_a_pack_stays_where_nothing_else_leads_into_that() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock, snapshot_every=5)
    pack(store, clock)
    first = [pack_key(1, 10), *map(snapshot_key, (5, 10)), *map(log_key, range(1, 21))]
    store.delete([key for key in first if key in store.objects])
    before = {number: read_all(store, number) for number in range(15, 21)}

    deleted = pack(store, clock, grace_seconds=0).deleted

    assert snapshot_key(25) in deleted
    assert snapshot_key(15) not in deleted
    assert {number: read_all(store, number) for number in range(15, 21)} == before


def test_young_revisions_under_an_old_pack_wait() -> None:
    store, clock, ahead = MemoryStore(), ManualClock(), ManualClock()
    ahead.jump(10 * DAY)
    grow(store, COUNT, ahead)
    pack(store, clock)
    later(store, clock, 5 * DAY)

    assert pack(store, clock).deleted == ()


def _run(store: MemoryStore, clock: ManualClock, fatal: int, *, after: bool) -> bool:
    """Compact until store call number *fatal* fails; return whether it got there."""
    calls = [0]

    def strike(_operation: str, _key: str) -> None:
        calls[0] += 1
        if calls[0] >= fatal:
            raise UnavailableError("killed")

    name = store.url.removeprefix("memory://")
    doomed = MemoryStore(name, after=strike) if after else MemoryStore(name, before=strike)
    try:
        pack(doomed, clock)
    except UnavailableError:
        return True
    return False


@pytest.mark.exhaustive
@pytest.mark.parametrize("deleting", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_p5_killed_at_any_call_the_replica_is_whole_and_the_next_run_completes(deleting: bool, after: bool) -> None:
    for fatal in range(1, 400):
        clock, name = ManualClock(), f"killed-{deleting}-{after}-{fatal}"
        store = MemoryStore(name)
        grow(store, 18, clock, snapshot_every=6)
        if deleting:
            pack(store, clock)
            later(store, clock)

        struck = _run(store, clock, fatal, after=after)

        assert verify(store).restorable == ((1, 18),)
        pack(store, clock)
        assert (5 not in listing_of(store).log) is deleting
        report = verify(store)
        assert report.ok, str(report)
        assert report.restorable == ((1, 18),)
        if not struck:
            assert fatal > 15
            return
    pytest.fail("it never ran through")


def test_another_packer_with_the_same_ranges_does_no_harm() -> None:
    store, clock = MemoryStore("raced"), ManualClock()
    grow(store, COUNT, clock)
    raced: list[str] = []

    def race(operation: str, key: str) -> None:
        if operation == "put" and key == pack_key(1, 10) and not raced:
            raced.append(key)
            pack(MemoryStore("raced"), clock)

    report = pack(MemoryStore("raced", before=race), clock)

    assert raced
    assert report.packs == ((1, 10), (11, 20), (21, 30))
    assert verify(store).ok


def test_p5_overlapping_packs_are_both_right_and_a_snapshot_between_is_enough() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, COUNT + 1):
        # A content that leaves and comes back must be found, wherever a reader begins.
        files = {"a.yml": b"always: %d\n" % number}
        scribe.write(files | ({"b.yml": b"now and then\n" * 9} if number % 6 in {1, 2, 5} else {}))
        if number in {9, 15}:
            scribe.snapshot()
    before = history(store)
    reader = LogReader(store)
    list(packing.pack_range(reader, 1, 12, lambda: 1))
    list(packing.pack_range(reader, 8, 20, lambda: 1))
    store.delete([log_key(number) for number in range(1, 21)])
    assert verify(store).ok
    for kept in ({9}, {12}, {15}, {20}, {9, 15}, set[int]()):
        copy = MemoryStore()
        for key, body in store.objects.items():
            if not key.startswith("snapshot/") or int(key.removeprefix("snapshot/")) in kept:
                copy.put(key, body)

        assert history(copy) == before


def _packed_now_and_then(store: MemoryStore, clock: ManualClock, revisions: int) -> list[dict[str, bytes]]:
    """Publish *revisions*, some that leave and come back, packing every five or so; return all files at each."""
    scribe = Scribe(store, clock)
    for number in range(1, revisions + 1):
        files = {"a.yml": b"always: %d\n" % number}
        scribe.write(files | ({"b.yml": b"now and then\n" * 9} if number % 6 in {1, 2, 5} else {}))
        clock.advance(60)
        if number % 5 == 4:
            compact(store, clock, pack_size=20, minimum=3, tail=2)
    return [read_all(store, number) for number in range(1, revisions + 1)]


def test_p11_short_packs_are_merged_once_they_make_a_whole_one() -> None:
    store, clock = MemoryStore(), ManualClock()
    before = _packed_now_and_then(store, clock, 54)

    later(store, clock)
    report = compact(store, clock, pack_size=20, minimum=3, tail=2)

    found = listing_of(store)
    assert [pair for pair in found.packs if pair[1] - pair[0] == 19] == [(1, 20), (21, 40)]
    assert len(found.packs) <= 2 + 4
    assert {last for _, last in found.packs} == set(found.snapshots)
    assert {pack_key(1, 7), snapshot_key(7)} <= set(report.deleted)
    assert [read_all(store, number) for number in range(1, 55)] == before
    assert verify(store).problems == ()


@pytest.mark.parametrize("early", [0, 1])
def test_p11_a_pack_is_merged_as_soon_as_what_comes_after_it_is_about_as_long(early: int) -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe, seen, before = Scribe(store, clock), list[list[int]](), list[dict[str, bytes]]()
    for number in range(1, 53):
        scribe.write(a_yml=b"version: %d\n" % number)
        before.append(read_all(store, number))
        # The first pack may be longer than the others.
        if number > 10 and number % 8 == (4 + early if number < 20 else 4):
            later(store, clock)
            # The first call packs; what the packs cover goes with the second.
            for _ in range(2):
                compact(store, clock, pack_size=40, minimum=5, tail=4, merge_ratio=1.5, grace_seconds=0)
            seen.append([last - first + 1 for first, last in listing_of(store).packs])

    assert seen == [[8 + early], [16], [16, 8], [32], [40], [40, 8]]
    assert [read_all(store, number) for number in range(1, 53)] == before
    assert verify(store).problems == ()


@pytest.mark.parametrize(
    ("ratio", "packs"), [(1.5, [(1, 32)]), (16.0, [(1, 34)]), (17.0, [(1, 34)]), (15.9, [(1, 32)])]
)
def test_p11_who_asks_for_a_compaction_gets_few_new_revisions_into_the_pack_before(
    ratio: float, packs: list[tuple[int, int]]
) -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, 37):
        scribe.write(a_yml=b"version: %d\n" % number)
    later(store, clock)
    before = [read_all(store, number) for number in range(1, 37)]
    compact(store, clock, pack_size=100, minimum=5, tail=4, grace_seconds=0)
    for number in (37, 38):
        scribe.write(a_yml=b"version: %d\n" % number)

    # The first call packs; what the pack covers goes with the second.
    for _ in range(2):
        compact(store, clock, pack_size=100, minimum=5, tail=4, merge_ratio=ratio, grace_seconds=0)

    assert list(listing_of(store).packs) == packs
    assert [read_all(store, number) for number in range(1, 37)] == before
    assert verify(store).problems == ()


def test_p11_where_nobody_asks_for_it_no_pack_is_merged_and_later_all_are_though_nothing_is_new() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, 53):
        scribe.write(a_yml=b"version: %d\n" % number)
        if number % 16 == 4:
            for _ in range(2):
                compact(store, clock, pack_size=40, minimum=5, tail=4, merge_ratio=0, grace_seconds=0)
    before = [read_all(store, number) for number in range(1, 53)]
    assert list(listing_of(store).packs) == [(1, 16), (17, 32), (33, 48)]
    assert scattered(listing_of(store), 40)

    # Their log objects are gone: packs can only be merged as they are, though the first three are more than a whole.
    for _ in range(2):
        compact(store, clock, pack_size=40, minimum=5, tail=4, grace_seconds=0)

    assert list(listing_of(store).packs) == [(1, 48)]
    assert not scattered(listing_of(store), 40)
    assert [read_all(store, number) for number in range(1, 53)] == before
    assert verify(store).problems == ()


@pytest.mark.parametrize(
    ("size_max", "packs"), [(1 << 20, [(1, 24)]), (450_000, [(1, 16), (17, 24)]), (10_000, [(1, 8), (9, 16), (17, 24)])]
)
def test_p14_packs_are_merged_only_up_to_a_size(size_max: int, packs: list[tuple[int, int]]) -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, 29):
        scribe.write(a_yml=scribe.random.randbytes(25_000))
        if number % 8 == 4:
            compact(store, clock, pack_size=40, minimum=5, tail=4, merge_ratio=0, grace_seconds=0)
    before = [read_all(store, number) for number in range(1, 29)]

    for _ in range(2):
        manner = Manner(contents_size_max=size_max)
        compact(store, clock, pack_size=40, minimum=5, tail=4, manner=manner, grace_seconds=0)

    assert list(listing_of(store).packs) == packs
    assert [read_all(store, number) for number in range(1, 29)] == before


@pytest.mark.parametrize(
    ("slack", "every", "end"),
    [(0, 7, 30), (2, 7, 30), (3, 7, 28), (10, 7, 28), (20, 7, 28), (4, 31, 30), (5, 31, 31), (9, 32, 30), (10, 32, 32)],
)
def test_p11_a_pack_ends_at_a_snapshot_that_is_there_if_one_is_close(slack: int, every: int, end: int) -> None:
    name, clock = f"slack-{slack}-{every}", ManualClock()
    store = MemoryStore(name)
    grow(store, COUNT, clock, snapshot_every=every)
    before, sent = history(store), list[str]()
    watched = MemoryStore(name, before=lambda operation, key: sent.append(f"{operation} {key}"))

    report = compact(watched, clock, pack_size=100, minimum=5, tail=4, manner=Manner(slack=slack))

    assert report.packs == ((1, end),)
    assert (f"put {snapshot_key(end)}" in sent) is (end == 30)
    assert history(store) == before


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (Listing(log=(1, 2, 3)), False),
        (Listing(log=(3,), packs=((1, 2),), snapshots=(2,)), False),
        (Listing(log=(1, 3), packs=((1, 2),), snapshots=(2,)), True),
        (Listing(log=(2, 3), packs=((1, 2),), snapshots=(2,)), True),
        (Listing(log=(3,), packs=((1, 2),), snapshots=(1, 2)), True),
        (Listing(log=(5,), packs=((1, 2), (1, 4)), snapshots=(4,)), True),
    ],
)
def test_a_writer_knows_from_a_listing_whether_something_is_left_to_be_deleted(
    listing: Listing, *, expected: bool
) -> None:
    assert superfluous(listing) is expected


def test_p5_a_pack_inside_of_another_one_stays_for_the_grace_period_and_if_it_differs() -> None:
    store, clock = MemoryStore(), ManualClock()
    _packed_now_and_then(store, clock, 29)
    inside = {pair for pair in listing_of(store).packs if pair[1] <= 20 and pair != (1, 20)}
    assert inside
    assert not compact(store, clock, pack_size=20, minimum=3, tail=2).deleted

    chosen = min(inside)
    store.delete([pack_key(*chosen)])
    other = Scribe(MemoryStore(), ManualClock(), "w7")
    for number in range(1, chosen[1] + 1):
        other.write(a_yml=b"another: %d\n" % number)
    list(packing.pack_range(LogReader(other.store), *chosen, lambda: 1))
    store.put(pack_key(*chosen), other.store.get(pack_key(*chosen)))
    later(store, clock)
    report = compact(store, clock, pack_size=20, minimum=3, tail=2)

    assert report.strays == (pack_key(*chosen),)
    assert chosen in listing_of(store).packs
    assert {pair for pair in listing_of(store).packs if pair in inside} == {chosen}


@pytest.mark.exhaustive
def test_p11_what_a_listing_has_stays_in_bounds_however_long_the_log_is() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    most = 0
    for day in range(1, 31):
        for number in range(20):
            scribe.write(a_yml=b"a: %d.%d\n" % (day, number))
        later(store, clock, 2 * DAY)
        compact(store, clock, pack_size=100, minimum=10, tail=5)
        most = max(most, len(store.objects))

    # Packs and their snapshots, one for each hundred; what is not merged yet, and waits; and the log's own end.
    assert most <= 2 * 6 + 2 * 2 * 5 + 2 * 20 + 5 + 3


def test_a_content_that_a_pack_has_already_is_not_stored_again() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, 15):
        scribe.write({"a.yml": b"one\n" if number % 2 else b"two\n"})
    pack(store, clock)

    body = store.objects[pack_key(1, 10)]
    assert sum(1 for _ in decode_pack(body, "k").read("k")) == 2


def test_large_contents_stay_blobs() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    scribe.write({"large.bin": b"large" * (1 << 18)})
    for number in range(14):
        scribe.write(scribe.files | {"a.yml": b"%d\n" % number})
    pack(store, clock)
    later(store, clock)
    pack(store, clock)

    assert len(store.objects[pack_key(1, 10)]) < 10_000
    assert read_all(store, 5)["large.bin"] == b"large" * (1 << 18)
    assert verify(store).ok


def test_p14_a_pack_ends_early_rather_than_outgrow_its_bounds() -> None:
    store, clock = MemoryStore(), ManualClock()
    scribe = Scribe(store, clock)
    for number in range(1, COUNT + 1):
        scribe.write({"a.yml": b"%03d\n" % number * 100})
    before = history(store)

    report = compact(store, clock, pack_size=10, minimum=5, tail=4, manner=Manner(contents_size_max=1600))

    assert report.packs[:3] == ((1, 4), (5, 8), (9, 10))
    assert history(store) == before


def test_p14_a_pack_of_long_records_ends_early_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, 10, clock)
    monkeypatch.setattr(packing, "PACK_RECORDS_SIZE_MAX", 1)

    assert pack(store, clock).packs == tuple((number, number) for number in range(1, 7))


def test_a_stray_inside_a_pack_is_kept_and_reported() -> None:
    store, other, clock = MemoryStore(), MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    grow(other, 4, clock).write(stray_yml=b"mine\n")
    pack(store, clock)
    later(store, clock)
    store.delete([log_key(5), log_key(6)])
    store.put(log_key(5), other.objects[log_key(5)])
    store.put(log_key(6), b"damaged")

    report = pack(store, clock)

    assert report.strays == (log_key(5), log_key(6))
    assert listing_of(store).log[:3] == (5, 6, 31)
    assert {problem.flaw for problem in verify(store).problems} == {Flaw.STRAY, Flaw.DAMAGED}


@pytest.mark.parametrize("spoiled", [pack_key(1, 10), snapshot_key(10)])
def test_p9_nothing_is_deleted_under_a_pack_or_snapshot_that_cannot_be_read(spoiled: str) -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    later(store, clock)
    body = bytearray(store.objects[spoiled])
    body[-40] ^= 1
    store.replace(spoiled, bytes(body))

    with pytest.raises(IntegrityError, match=spoiled):
        pack(store, clock)

    assert listing_of(store).log == tuple(range(1, COUNT + 1))
    assert history(store)[4] == read_all(store, 5)


def test_a_missing_snapshot_at_the_end_of_a_pack_is_made_again_before_anything_goes() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    pack(store, clock)
    later(store, clock)
    store.delete([snapshot_key(20)])

    report = pack(store, clock)

    assert report.plan.snapshots == (20,)
    assert len(report.deleted) == 30
    assert verify(store).ok


def test_p9_a_damaged_revision_is_not_packed() -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    store.replace(log_key(13), store.objects[log_key(12)])

    with pytest.raises(IntegrityError, match=log_key(13)):
        pack(store, clock)

    assert listing_of(store).packs == ((1, 10),)


@pytest.mark.parametrize("fault", [fail_on("put", prefix="pack/", after_apply=True), delay_put(prefix="pack/")])
def test_p4_a_put_of_unknown_outcome_is_repeated_until_it_is_known(fault: object) -> None:
    store, clock = MemoryStore(), ManualClock()
    grow(store, COUNT, clock)
    faulty = FaultyStore(store, [fault])  # type: ignore[list-item]

    assert pack(faulty, clock).packs == ((1, 10), (11, 20), (21, 30))
    assert verify(store).ok


def test_a_snapshot_can_be_made_of_any_revision() -> None:
    store = MemoryStore()
    grow(store, 12)
    reader = LogReader(store)

    assert snapshot_at(reader, store, 7)
    assert not snapshot_at(reader, store, 7)

    assert verify(store).ok
    reader.refresh()
    assert reader.snapshot_object(7).snapshot.tree == reader.checkout(7).tree
