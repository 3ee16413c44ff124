"""Keys are values: they come back, sort as history does, and strangers are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream import layout
from confstream.layout import Fork, Listing, parse
from tests.strategies import law

numbers = st.integers(1, 10**20 - 1)
writers = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=64)
tag_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
ranges = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))


@law
@given(
    log=st.sets(numbers),
    packs=st.sets(ranges),
    snapshots=st.sets(numbers),
    tags=st.sets(tag_names, max_size=3),
    heartbeats=st.sets(writers, max_size=3),
    blobs=st.sets(st.binary(min_size=32, max_size=32), max_size=3),
    forks=st.dictionaries(st.builds(Fork, writers, st.integers(1, 10**18)), st.sets(numbers, min_size=1), max_size=2),
    random=st.randoms(use_true_random=False),
)
def test_what_was_written_as_keys_is_read_from_them(  # noqa: PLR0917
    log: set[int],
    packs: set[tuple[int, int]],
    snapshots: set[int],
    tags: set[str],
    heartbeats: set[str],
    blobs: set[bytes],
    forks: dict[Fork, set[int]],
    random: object,
) -> None:
    keys = [
        layout.DESCRIPTOR,
        *map(layout.log_key, log),
        *(layout.pack_key(*closed) for closed in packs),
        *map(layout.snapshot_key, snapshots),
        *map(layout.tag_key, tags),
        *map(layout.heartbeat_key, heartbeats),
        *map(layout.blob_key, blobs),
        *(fork.prefix + layout.log_key(number) for fork, held in forks.items() for number in held),
    ]
    random.shuffle(keys)  # type: ignore[attr-defined]

    assert parse(keys) == Listing(
        described=True,
        log=tuple(sorted(log)),
        packs=tuple(sorted(packs)),
        snapshots=tuple(sorted(snapshots)),
        tags=tuple(sorted(tags)),
        heartbeats=tuple(sorted(heartbeats)),
        blobs=frozenset(blobs),
        forks={fork: tuple(sorted(held)) for fork, held in forks.items()},
    )


@law
@given(numbers, numbers)
def test_keys_sort_as_history_does(one: int, other: int) -> None:
    assert (layout.log_key(one) < layout.log_key(other)) == (one < other)
    assert (layout.snapshot_key(one) < layout.snapshot_key(other)) == (one < other)


@pytest.mark.parametrize(
    "key",
    [
        "log/1",
        "log/00000000000000000000",
        "log/0000000000000000001x",
        "log/000000000000000000001",
        "log/00000000000000000001\n",
        "log/0000000000000000000\N{ARABIC-INDIC DIGIT ONE}",
        "log/00000000000000000001/x",
        "LOG/00000000000000000001",
        "pack/00000000000000000005-00000000000000000004",
        "pack/00000000000000000000-00000000000000000004",
        "pack/00000000000000000001",
        "snapshot/00000000000000000000",
        "blob/" + "A" * 64,
        "blob/" + "a" * 63,
        "tag/.hidden",
        "tag/a/b",
        "tag/",
        "heartbeat/UPPER",
        "heartbeat/",
        "fork/w-0/log/00000000000000000001",
        "fork/w-01/log/00000000000000000001",
        "fork/w-1/log/00000000000000000000",
        "fork/w-" + "9" * 5000 + "/log/00000000000000000001",
        "fork/w-1/pack/00000000000000000001",
        "confstream.json.tmp",
        "",
        "other",
    ],
)
def test_a_key_that_no_confstream_wrote_is_strange(key: str) -> None:
    assert parse([key]) == Listing(strange=(key,))


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "a b", "ü", "x" * 129, "a\n", "../a"])
def test_a_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a tag"):
        layout.tag_key(name)


@pytest.mark.parametrize("writer", ["", "A", "a-b", "a/b", "x" * 65, "a\n"])
def test_a_writer_that_cannot_be_a_key_is_refused(writer: str) -> None:
    with pytest.raises(ValueError, match="cannot name a writer"):
        layout.heartbeat_key(writer)


@pytest.mark.parametrize(
    ("listing", "head"),
    [
        (Listing(), 0),
        (Listing(log=(1, 2)), 2),
        (Listing(packs=((1, 9),)), 9),
        (Listing(log=(3,), packs=((1, 2),)), 3),
        (Listing(log=(3,), packs=((1, 9), (2, 5))), 9),
    ],
)
def test_the_head_is_the_highest_revision_that_a_key_names(listing: Listing, head: int) -> None:
    assert listing.head == head


def test_a_prefix_is_empty_unless_confstream_wrote_there() -> None:
    assert parse([]).empty
    assert parse(["somebody/else"]).empty
    for key in (layout.DESCRIPTOR, layout.log_key(1), layout.pack_key(1, 2), layout.snapshot_key(1)):
        assert not parse([key]).empty
