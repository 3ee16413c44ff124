"""What holds for every store, whatever is behind it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from confstream.errors import ConfstreamError, ObjectExistsError, ObjectMissingError, UsageError
from confstream.store import Store, open_store, prove_exclusive_create
from tests.servers import S3Server

ODD_KEYS = [
    "odd/ space",
    "odd/100%",
    "odd/%41",
    "odd/a+b",
    "odd/a=b&c=d",
    "odd/what?",
    "odd/frag#ment",
    "odd/quote'\"",
    "odd/<tag>",
    "odd/[set]{brace}*",
    "odd/~tilde^`|",
    "odd/.hidden",
    "odd/semi;colon:comma,at@",
    "odd/" + "n" * 200,
]
RANGES = {
    (0, 1): b"0",
    (0, None): b"0123456789",
    (3, None): b"3456789",
    (3, 4): b"3456",
    (9, 1): b"9",
    (8, 100): b"89",
    (10, None): b"",
    (10, 5): b"",
    (99, 5): b"",
}
BAD_KEYS = [
    "", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a\0b", "a\nb", "a\\b", "caf\xe9",
    "a/.confstream-tmp-1", "n" * 201, "a/" * 400 + "b",
]  # fmt: skip


def test_what_was_put_is_read_back(store: Store) -> None:
    store.put("log/1", b"first")

    assert store.get("log/1") == b"first"


def test_bodies_of_all_sizes_come_back_as_they_were(store: Store) -> None:
    pattern = bytes(number * 7 % 251 for number in range(5021))

    for size_bytes in (1, 1000, 70_000, 5 * 2**20):
        body = (pattern * (size_bytes // len(pattern) + 1))[:size_bytes]
        store.put(f"blob/{size_bytes}", body)
        assert store.get(f"blob/{size_bytes}") == body


def test_an_empty_body_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="never empty"):
        store.put("log/1", b"")
    with pytest.raises(UsageError, match="never empty"):
        store.replace("log/1", b"")

    assert store.list() == []


def test_p5_a_second_create_is_refused_and_changes_nothing(store: Store) -> None:
    store.put("log/1", b"first")

    with pytest.raises(ObjectExistsError, match="log/1"):
        store.put("log/1", b"second")

    assert store.get("log/1") == b"first"


def test_p5_a_race_for_one_key_has_one_winner_and_its_body(store: Store) -> None:
    racers = 4
    barrier = threading.Barrier(racers)

    def race(number: int) -> int | None:
        barrier.wait()
        try:
            store.put("log/1", b"%d" % number * 1000)
        except ObjectExistsError:
            return None
        return number

    with ThreadPoolExecutor(racers) as pool:
        winners = [number for number in pool.map(race, range(racers)) if number is not None]

    assert len(winners) == 1
    assert store.get("log/1") == b"%d" % winners[0] * 1000


def test_p5_the_proof_of_exclusive_create_passes_and_leaves_nothing(store: Store) -> None:
    prove_exclusive_create(store)

    assert store.list() == []


def test_a_key_can_be_created_again_after_it_was_deleted(store: Store) -> None:
    store.put("log/1", b"first")
    store.delete(["log/1"])

    store.put("log/1", b"second")

    assert store.get("log/1") == b"second"


def test_a_range_is_cut_out_exactly(store: Store) -> None:
    store.put("pack/p", b"0123456789")

    assert {asked: store.get("pack/p", *asked) for asked in RANGES} == RANGES


def test_what_is_no_range_is_refused(store: Store) -> None:
    for first, size in [(-1, None), (0, 0), (0, -5)]:
        with pytest.raises(UsageError, match="range"):
            store.get("pack/p", first, size)


def test_a_missing_key_is_told_apart_from_every_failure(store: Store) -> None:
    store.put("log/1", b"x")

    for asked in [("log/2",), ("log/2", 0, 5), ("log",)]:
        with pytest.raises(ObjectMissingError):
            store.get(*asked)  # type: ignore[arg-type]


def test_an_empty_replica_lists_nothing(store: Store) -> None:
    assert store.list() == []
    assert store.list("log/") == []


def test_a_listing_has_the_keys_of_its_prefix_sorted_and_no_others(store: Store) -> None:
    keys = ["log/10", "log/2", "log/1", "logs/1", "confstream.json", "fork/w-1/log/1", "snapshot/2"]
    for key in keys:
        store.put(key, b"x")

    assert store.list() == sorted(keys)
    assert store.list("log/") == ["log/1", "log/10", "log/2"]
    assert store.list("log/1") == ["log/1", "log/10"]
    assert store.list("log") == ["log/1", "log/10", "log/2", "logs/1"]
    assert store.list("fork/") == ["fork/w-1/log/1"]
    assert store.list("conf") == ["confstream.json"]
    assert store.list("nothing/") == []


def test_what_is_created_or_deleted_shows_in_the_next_listing_and_read(store: Store) -> None:
    for number in range(3):
        with pytest.raises(ObjectMissingError):
            store.get(f"log/{number}")
        store.put(f"log/{number}", b"%d" % number)
        assert store.list("log/") == [f"log/{seen}" for seen in range(number + 1)]
        assert store.get(f"log/{number}") == b"%d" % number

    store.delete(["log/0", "log/2"])

    assert store.list("log/") == ["log/1"]


def test_what_another_client_creates_or_deletes_shows_in_the_next_listing_and_read(
    direct: Store, moto_server: S3Server
) -> None:
    other = open_store(direct.url, storage_options=moto_server.quick_options)
    assert direct.list("log/") == []

    other.put("log/1", b"x")
    assert direct.list("log/") == ["log/1"]
    assert direct.get("log/1") == b"x"

    other.delete(["log/1"])
    assert direct.list("log/") == []


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.put("log/1", b"x")

    store.delete([])
    store.delete(["log/9"])
    store.delete(["log/9", "log/1", "log/1", "nothing/at/all"])

    assert store.list() == []


def test_replace_creates_and_overwrites(store: Store) -> None:
    store.replace("heartbeat/w", b"one, and long")
    assert store.get("heartbeat/w") == b"one, and long"

    store.replace("heartbeat/w", b"two")

    assert store.get("heartbeat/w") == b"two"
    assert store.list() == ["heartbeat/w"]


def test_odd_keys_are_keys_like_others(store: Store) -> None:
    for key in ODD_KEYS:
        store.put(key, key.encode())

    assert store.list("odd/") == sorted(ODD_KEYS)
    assert [store.get(key) for key in ODD_KEYS] == [key.encode() for key in ODD_KEYS]
    store.delete(ODD_KEYS)
    assert store.list() == []


def test_p12_a_key_that_could_leave_the_prefix_is_refused(store: Store) -> None:
    for key in BAD_KEYS:
        calls: list[Callable[[], object]] = [
            partial(store.put, key, b"x"),
            partial(store.replace, key, b"x"),
            partial(store.get, key),
            partial(store.delete, [key]),
        ]
        for call in calls:
            with pytest.raises(UsageError, match="not a key"):
                call()


def test_threads_can_share_a_store(store: Store) -> None:
    def work(number: int) -> bytes:
        store.put(f"log/{number}", b"%d" % number)
        assert f"log/{number}" in store.list("log/")
        return store.get(f"log/{number}")

    with ThreadPoolExecutor(8) as pool:
        bodies = [*pool.map(work, range(16))]

    assert bodies == [b"%d" % number for number in range(16)]
    store.delete(store.list())
    assert store.list() == []


def test_more_keys_than_one_page_holds_are_listed_and_deleted(big_store: Store) -> None:
    keys = [f"log/{number:020d}" for number in range(1005)]

    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda key: big_store.put(key, b"x"), keys)]

    assert big_store.list("log/") == keys
    big_store.delete([*keys[1:], "log/absent"])
    assert big_store.list() == keys[:1]


def test_errors_are_all_of_one_family(store: Store) -> None:
    with pytest.raises(ConfstreamError):
        store.get("nothing")

    store.close()
