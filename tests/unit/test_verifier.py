import random
from collections.abc import Callable

import pytest

from confstream import layout
from confstream.codec.objects import encode_snapshot
from confstream.compactor import compact
from confstream.errors import NoReplicaError, UnavailableError
from confstream.layout import log_key, pack_key, snapshot_key
from confstream.log.reader import LogReader
from confstream.revision import OK, Position, Snapshot
from confstream.store.memory import MemoryStore
from confstream.store.metered import MeteredStore
from confstream.testing import ManualClock, fail_on
from confstream.tree import EMPTY
from confstream.verifier import Flaw, VerifyReport, verify
from tests.logs import DAY, Scribe, grow

SEED = 20_260_227
FLIPS = 500


def store_of(objects: dict[str, bytes]) -> MemoryStore:
    """Return a store that holds *objects*."""
    store = MemoryStore()
    for key, body in objects.items():
        store.put(key, body)
    return store


def make_rich() -> dict[str, bytes]:
    """Return the objects of a replica that has one of everything: packs, a tail, snapshots, a blob, a fork."""
    store, clock = MemoryStore(), ManualClock()
    scribe = grow(store, 12, clock, snapshot_every=5)
    scribe.write(scribe.files | {"large.bin": b"large" * (1 << 18)})
    scribe.write(scribe.files | {"sub/odd.yml": b"a: 1\n"})
    for number in range(8):
        scribe.write(scribe.files | {"sub/odd.yml": b"a: %d\n" % number})
    compact(store, clock, pack_size=8, minimum=4, tail=6)
    clock.advance(2 * DAY)
    scribe.publisher.beat(300.0, 0.0, "0.1.0")
    compact(store, clock, pack_size=8, minimum=4, tail=6)
    scribe.reader.refresh()
    scribe.publisher.tag("v1", scribe.reader.revision(9))
    scribe.fork(scribe.intent(scribe.files | {"fork.yml": b"mine\n"}), scribe.intent({"fork.yml": b"mine too\n"}))
    return store.objects


RICH = make_rich()


def make_tiny() -> dict[str, bytes]:
    """Return the objects of the smallest replica that is one."""
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.write(config_yml=b"mqtt:\n  host: one\n")
    scribe.write(config_yml=b"mqtt:\n  host: two\n")
    scribe.snapshot()
    return store.objects


def flaws(report: VerifyReport) -> dict[str, Flaw]:
    """Return what was found, by key."""
    return {problem.key: problem.flaw for problem in report.problems}


def test_a_whole_replica_has_no_problem_and_all_of_it_can_be_restored() -> None:
    report = verify(store_of(RICH))

    assert report.problems == ()
    assert report.ok
    assert (report.first, report.head, report.revisions, report.restorable) == (1, 22, 22, ((1, 22),))
    assert report.objects == len(RICH)
    assert report.bytes == sum(map(len, RICH.values()))


def test_the_replica_of_these_tests_has_one_of_everything() -> None:
    listing = layout.parse(RICH)

    assert listing.packs == ((1, 8), (9, 16))
    assert listing.log == (17, 18, 19, 20, 21, 22)
    assert listing.snapshots == (8, 16)
    assert [len(listing.blobs), len(listing.tags), len(listing.heartbeats), len(listing.forks)] == [1, 1, 1, 1]


def test_no_replica_is_an_error_of_its_own() -> None:
    with pytest.raises(NoReplicaError):
        verify(MemoryStore())


@pytest.mark.exhaustive
def test_p9_every_flipped_bit_is_found_wherever_it_is(amount: Callable[[int, int], int]) -> None:
    rng = random.Random(SEED)  # noqa: S311 - a seed, not a secret.
    missed = []
    for _ in range(amount(FLIPS, FLIPS // 4)):
        key = rng.choice(sorted(RICH))
        at, bit = rng.randrange(len(RICH[key])), rng.randrange(8)
        body = bytearray(RICH[key])
        body[at] ^= 1 << bit
        report = verify(store_of(RICH | {key: bytes(body)}))
        if report.ok or key not in {problem.key for problem in report.problems}:
            missed.append((key, at, bit))

    assert missed == []


@pytest.mark.exhaustive
def test_p9_a_flip_at_every_single_byte_of_a_tiny_replica_is_found() -> None:
    tiny = make_tiny()
    missed = []
    for key, whole in tiny.items():
        for at in range(len(whole)):
            body = bytearray(whole)
            body[at] ^= 1 << (at % 8)
            if key not in flaws(verify(store_of(tiny | {key: bytes(body)}))):
                missed.append((key, at))

    assert missed == []


@pytest.mark.parametrize("key", sorted(RICH))
@pytest.mark.parametrize("keep", [1, 60, -1, -33])
def test_p9_a_truncated_object_is_found(key: str, keep: int) -> None:
    report = verify(store_of(RICH | {key: RICH[key][:keep]}))

    assert flaws(report)[key] is Flaw.DAMAGED


def test_p9_bytes_after_an_object_are_found() -> None:
    for key, body in RICH.items():
        assert key in flaws(verify(store_of(RICH | {key: body + b"\0"}))), key


def test_p9_what_is_removed_from_the_history_is_found() -> None:
    # The newest is told of by nothing else but a heartbeat; a history without its first pack may have been pruned.
    ends = {log_key(22), pack_key(1, 8)}
    beyond_proof = ("tag/", "heartbeat/")
    for key in RICH:
        if key.startswith(beyond_proof) or key in ends or (key.startswith("fork/") and key.endswith("24")):
            continue
        rest = {other: body for other, body in RICH.items() if other != key}
        assert not verify(store_of(rest)).ok, key


def test_p9_the_newest_revision_is_missed_when_a_heartbeat_tells_of_it() -> None:
    rest = {key: body for key, body in RICH.items() if key != log_key(22)}

    report = verify(store_of(rest))

    assert flaws(report) == {log_key(22): Flaw.MISSING} | {
        key: flaw for key, flaw in flaws(report).items() if key.startswith("fork/")
    }
    assert (report.head, report.lost, report.restorable) == (22, ((22, 22),), ((1, 21),))


def _swap(one: str, other: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda objects: objects | {one: objects[other], other: objects[one]}


def _rename(one: str, other: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda objects: {(other if key == one else key): body for key, body in objects.items()}


@pytest.mark.parametrize(
    ("spoil", "keys"),
    [
        (_swap(log_key(18), log_key(19)), {log_key(18), log_key(19)}),
        (_swap(pack_key(1, 8), pack_key(9, 16)), {pack_key(1, 8), pack_key(9, 16)}),
        (_swap(snapshot_key(8), snapshot_key(16)), {snapshot_key(8), snapshot_key(16)}),
        (_swap(log_key(18), snapshot_key(8)), {log_key(18), snapshot_key(8)}),
        (_rename(log_key(22), log_key(23)), {log_key(23)}),
        (_rename(snapshot_key(16), snapshot_key(19)), {snapshot_key(19)}),
        (_rename(pack_key(9, 16), pack_key(9, 15)), {pack_key(9, 15)}),
        (_rename("tag/v1", "tag/v2"), {"tag/v2"}),
        (_rename("heartbeat/w1", "heartbeat/w2"), {"heartbeat/w2"}),
    ],
)
def test_p9_an_object_in_another_place_is_found(
    spoil: Callable[[dict[str, bytes]], dict[str, bytes]], keys: set[str]
) -> None:
    report = verify(store_of(spoil(RICH)))

    assert keys <= flaws(report).keys()


def test_p9_the_same_slot_of_another_log_is_found_by_the_chain() -> None:
    store = MemoryStore()
    other = grow(store, 16)
    for number in range(8):
        other.write(config_yml=b"other: %d\n" % number)
    foreign = store.objects[log_key(19)]

    report = verify(store_of(RICH | {log_key(19): foreign}))

    assert flaws(report)[log_key(19)] is Flaw.DAMAGED
    assert report.restorable == ((1, 18),)


def test_p8_a_damaged_revision_costs_those_up_to_the_next_snapshot_and_no_more() -> None:
    store = MemoryStore()
    grow(store, 20, snapshot_every=10)

    report = verify(store_of(store.objects | {log_key(7): b"?"}))

    assert flaws(report) == {log_key(7): Flaw.DAMAGED}
    assert report.restorable == ((1, 6), (10, 20))
    assert report.lost == ((7, 9),)
    assert report.nearest(8) == [6, 10]
    assert "cannot be restored: revisions 7 to 9" in str(report)


def test_p8_what_a_report_calls_restorable_can_be_restored_and_the_rest_cannot() -> None:
    rng = random.Random(SEED)  # noqa: S311 - a seed, not a secret.
    for _ in range(12):
        victims = rng.sample(sorted(RICH), 2)
        store = store_of({key: body[:-1] if key in victims else body for key, body in RICH.items()})
        report = verify(store)
        good = {number for first, last in report.restorable for number in range(first, last + 1)}
        for number in range(1, 23):
            try:
                found = LogReader(store).checkout(number)
                for entry in found.tree.files:
                    found.content(entry.hash)
            except Exception:  # noqa: BLE001 - any failure is one.
                assert number not in good, victims
            else:
                assert number in good, victims


def test_every_problem_is_named_not_only_the_first() -> None:
    spoiled = RICH | {key: RICH[key][:-1] for key in (log_key(18), log_key(20), pack_key(1, 8), "tag/v1")}

    report = verify(store_of(spoiled))

    assert {log_key(18), log_key(20), pack_key(1, 8), "tag/v1"} <= flaws(report).keys()
    assert report.restorable == ((8, 17),)


def test_a_problem_says_what_was_found_and_what_was_expected() -> None:
    report = verify(store_of(RICH | {log_key(18): RICH[log_key(19)]}))

    problem = next(one for one in report.problems if one.key == log_key(18))
    assert str(problem) == f"{log_key(18)}: damaged: holds revision 19, expected 18; expected revision 18"


def test_foreign_objects_are_named_and_do_no_harm() -> None:
    report = verify(store_of(RICH | {"notes.txt": b"hello"}))

    assert flaws(report) == {"notes.txt": Flaw.FOREIGN}
    assert report.ok


def test_a_stray_inside_a_pack_is_named_and_the_pack_is_believed() -> None:
    store = MemoryStore()
    stray = grow(store, 4)
    stray.write(other_yml=b"stray\n")

    report = verify(store_of(RICH | {log_key(5): store.objects[log_key(5)]}))

    assert flaws(report) == {log_key(5): Flaw.STRAY}
    assert report.restorable == ((1, 22),)


def test_a_missing_blob_costs_the_revisions_that_hold_its_content() -> None:
    rest = {key: body for key, body in RICH.items() if not key.startswith("blob/")}

    report = verify(store_of(rest))

    assert report.restorable == ((1, 12),)
    assert [key for key in flaws(report) if key.startswith("blob/")]


def test_a_snapshot_of_another_tree_is_found() -> None:
    reader = LogReader(store_of(RICH))
    made = reader.revision(18)
    body = encode_snapshot(Snapshot(made.position, OK, EMPTY), lambda _digest: b"")

    report = verify(store_of(RICH | {snapshot_key(18): body}))

    assert flaws(report) == {snapshot_key(18): Flaw.DAMAGED}


def test_a_snapshot_of_another_log_is_found() -> None:
    body = encode_snapshot(Snapshot(Position(18, b"x" * 32, 1, 1), OK, EMPTY), lambda _digest: b"")

    assert snapshot_key(18) in flaws(verify(store_of(RICH | {snapshot_key(18): body})))


def test_a_pruned_history_begins_at_a_snapshot_and_is_whole() -> None:
    rest = {key: body for key, body in RICH.items() if key != pack_key(1, 8) and not key.startswith("tag/")}

    report = verify(store_of(rest))

    assert report.ok, str(report)
    assert report.restorable == ((8, 22),)


def test_a_history_without_its_beginning_is_not_whole() -> None:
    rest = {key: body for key, body in RICH.items() if key not in {pack_key(1, 8), snapshot_key(8)}}

    report = verify(store_of(rest))

    assert flaws(report)[log_key(1)] is Flaw.MISSING
    assert report.restorable == ((16, 22),)


def test_quick_reads_less_and_still_finds_damage_to_records() -> None:
    store = MeteredStore(store_of(RICH))
    report = verify(store, quick=True)
    assert report.ok
    assert report.quick
    assert not any("blob" in key for key in flaws(report))

    assert flaws(verify(store_of(RICH | {log_key(18): b"?"}), quick=True)) == {log_key(18): Flaw.DAMAGED}


def test_a_hostile_number_costs_neither_time_nor_memory() -> None:
    strange = {log_key(10**18): RICH[log_key(18)], pack_key(30, 10**19): RICH[pack_key(1, 8)]}

    report = verify(store_of(RICH | strange))

    assert set(strange) <= flaws(report).keys()
    assert report.restorable == ((1, 22),)


def test_progress_ends_at_the_number_of_objects() -> None:
    told: list[tuple[int, int]] = []

    verify(store_of(RICH), progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (len(RICH), len(RICH))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_a_packer_deletes_meanwhile_is_no_problem() -> None:
    clock = ManualClock()
    shared = MemoryStore("verified")
    scribe = grow(shared, 30, clock)
    compact(shared, clock, pack_size=10, minimum=5, tail=5)
    clock.advance(2 * DAY)
    scribe.publisher.beat(300.0, 0.0, "0.1.0")
    packed: list[str] = []

    def pack_once(operation: str, key: str) -> None:
        if operation == "get" and key == log_key(4) and not packed:
            packed.append(key)
            compact(MemoryStore("verified"), clock, pack_size=10, minimum=5, tail=5)

    report = verify(MemoryStore("verified", before=pack_once))

    assert packed
    assert report.ok, str(report)
    assert report.restorable == ((1, 30),)


def test_a_storage_that_fails_is_not_called_damage() -> None:
    store = MemoryStore("failing", before=fail_on("get", prefix="log/"))
    for key, body in RICH.items():
        store.put(key, body)

    with pytest.raises(UnavailableError, match="injected"):
        verify(store)
