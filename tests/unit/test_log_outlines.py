"""The log as a list: the same as the revisions themselves, decoded no further than it is looked at."""

from itertools import islice
from typing import Any

import pytest

from confstream import plan
from confstream.codec.fields import Changes, change_from, decode_record, pack, pack_array
from confstream.codec.outline import decode_outline
from confstream.compactor import compact
from confstream.errors import IntegrityError, NoReplicaError, NotFoundError
from confstream.history import History, LogEntry
from confstream.layout import log_key, pack_key
from confstream.log.outlines import outline, outlines
from confstream.log.reader import LogReader
from confstream.naming import mentions, summary
from confstream.store import MeteredStore
from confstream.store.memory import MemoryStore
from tests.forgery import revision_of, rich_record
from tests.logs import Scribe, grow
from tests.servers import wait_until


def _packed(count: int = 230, tail: int = 30) -> MemoryStore:
    store = MemoryStore()
    scribe = grow(store, count)
    compact(store, scribe.clock, pack_size=90, minimum=1, tail=tail, grace_seconds=0)
    return store


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("first", "last"), [(1, None), (1, 90), (40, 220), (230, 230)])
def test_they_are_the_revisions_in_the_same_order(first: int, last: int | None, newest_first: bool) -> None:
    reader = LogReader(_packed())

    found = list(outlines(reader, first, last, newest_first=newest_first))

    made = list(reader.revisions(first, last, newest_first=newest_first))
    assert [one.hash for one in found] == [one.hash for one in made]
    assert [one.revision for one in found] == [one.revision for one in made]


class _Asked(MemoryStore):
    """Remembers what it was asked for."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        for key, body in objects.items():
            self.put(key, body)
        self.asked: list[str] = []

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        self.asked.append(key)
        return super().get(key, first, size)


@pytest.mark.parametrize("newest_first", [True, False])
def test_who_looks_at_all_of_them_waits_for_all_at_once_and_asks_for_each_once(newest_first: bool) -> None:
    store = _Asked(_packed().objects)
    reader = LogReader(store)
    keys = {unit.key for unit in plan.units(reader.listing, 1, 230) or ()}

    found = outlines(reader, newest_first=newest_first, expected=230)
    first = next(found)

    wait_until(lambda: keys <= {*store.asked}, 20, "all objects to be asked for")
    assert [one.hash for one in (first, *found)] == [
        one.hash for one in LogReader(_packed()).revisions(newest_first=newest_first)
    ]
    assert sorted(store.asked) == sorted(keys)


def test_who_expects_some_does_not_ask_for_more() -> None:
    store = _Asked(_packed().objects)

    found = [one.revision.number for one in islice(outlines(LogReader(store), newest_first=True, expected=9), 9)]

    assert found == [*range(230, 221, -1)]
    assert set(store.asked) == {log_key(number) for number in found}


def test_a_damaged_object_is_told_of_as_ever_where_all_are_expected() -> None:
    store = _packed()
    store.replace(log_key(215), b"garbled")

    found = outlines(LogReader(store), newest_first=True, expected=230)

    assert [next(found).revision.number for _ in range(15)] == [*range(230, 215, -1)]
    with pytest.raises(IntegrityError, match="revision 215"):
        next(found)


def test_what_changed_is_not_decoded_for_the_words_that_a_list_has_of_it() -> None:
    entry = next(History(_packed()).log())

    assert entry.summary == "file2.yml"
    assert entry.touches("file2.yml")
    assert not entry.touches("file1.yml")
    assert isinstance(entry.changes, Changes)
    assert "decoded" not in vars(entry.changes)
    assert summary(entry.changes) == entry.summary


def test_changes_that_are_decoded_later_are_those_of_the_record() -> None:
    at_once, later = decode_record(rich_record(), "k"), decode_record(rich_record(), "k", outline=True)

    assert isinstance(later.changes, Changes)
    assert later.changes.mentions() == mentions(at_once.changes)
    assert (later, later.changes[1], later.changes[1:3], len(later.changes)) == (
        at_once, at_once.changes[1], at_once.changes[1:3], 5
    )  # fmt: skip
    assert hash(later.changes) == hash(at_once.changes)
    assert decode_outline(revision_of(rich_record()), "k").revision == at_once


@pytest.mark.parametrize("wrong", [(), (0,), (7, b"a"), (1, "a"), (1, b"b", 3), (0, b"../a", 2, 0, 0, 0), 5])
def test_p9_changes_that_the_format_does_not_know_are_told_when_somebody_looks(wrong: Any) -> None:
    encoded = pack_array([pack(wrong)], 1)
    changes = Changes(encoded[1:], 1, "k")

    with pytest.raises(IntegrityError, match="k: "):
        list(changes)
    with pytest.raises((ValueError, TypeError, LookupError)):
        change_from(wrong)


def test_p9_changes_out_of_order_and_bytes_behind_them_are_told_when_somebody_looks() -> None:
    ascending = [pack((1, b"b")), pack((1, b"a"))]

    for encoded in (ascending, [*reversed(ascending), b"\xc0"]):
        with pytest.raises(IntegrityError, match="k: "):
            list(Changes(b"".join(encoded), 2, "k"))


def test_p8_a_damaged_pack_is_gone_around_while_its_log_objects_are_there() -> None:
    store = MemoryStore()
    scribe = grow(store, 200)
    compact(store, scribe.clock, pack_size=90, minimum=1, tail=20)
    store.replace(pack_key(1, 90), b"damaged")

    assert [made.revision.number for made in outlines(LogReader(store))] == list(range(1, 201))


def test_p8_what_lies_before_the_damage_is_told_and_then_the_damage() -> None:
    store = MemoryStore()
    grow(store, 20)
    store.replace(log_key(7), b"damaged")
    told: list[int] = []

    def tell() -> None:
        for made in outlines(LogReader(store), newest_first=True):
            told.append(made.revision.number)  # noqa: PERF401 - those before the damage count

    with pytest.raises(IntegrityError, match="revision 7"):
        tell()
    assert told == list(range(20, 7, -1))


def test_p9_a_revision_that_does_not_follow_the_one_before_is_told() -> None:
    store, other = MemoryStore(), MemoryStore()
    grow(store, 9)
    scribe = Scribe(other, writer="w2")
    for number in range(9):
        scribe.write(a_yml=b"%d" % number)
    store.replace(log_key(5), other.get(log_key(5)))

    with pytest.raises(IntegrityError, match="does not follow"):
        list(outlines(LogReader(store)))


@pytest.mark.parametrize("number", [1, 90, 200, 201, 230])
def test_one_of_them_is_the_revision_of_that_number(number: int) -> None:
    reader = LogReader(_packed())

    found, made = outline(reader, number), reader.revision(number)

    assert (found.revision, found.hash) == (made.revision, made.hash)
    for absent in (0, 231):
        with pytest.raises(NotFoundError):
            outline(reader, absent)


def test_no_replica_has_no_list() -> None:
    with pytest.raises(NoReplicaError):
        list(outlines(LogReader(MemoryStore())))


def test_p11_of_single_revisions_their_contents_are_not_read() -> None:
    store = MeteredStore(MemoryStore())
    scribe = Scribe(store)
    for number in range(4):
        scribe.write(a_yml=scribe.random.randbytes(200_000) + b"%d" % number)
    store.reset()

    assert len(list(History(store).log())) == 4
    assert store.sizes_bytes["get"] < 4 * 10_000


def test_entries_of_the_journal_have_the_same_words() -> None:
    made = decode_record(rich_record(), "k")
    entry = LogEntry(number=9, time_ns=0, authorship=made.authorship, changes=made.changes)

    assert entry.summary == summary(made.changes) == "+3 \N{MINUS SIGN}1 files"
