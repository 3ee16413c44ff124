import pytest

from confstream.errors import ObjectExistsError, OutcomeUnknownError, UnavailableError
from confstream.layout import log_key
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, delay_put, fail_on
from confstream.verifier import verify
from tests.logs import Scribe, grow, read_all


def test_p4_a_put_whose_answer_was_lost_is_recognized_as_our_own() -> None:
    inner = MemoryStore()
    scribe = Scribe(FaultyStore(inner, [fail_on("put", prefix="log/", after_apply=True)]))

    published = scribe.write(a_yml=b"1\n")

    assert (published.position.number, published.adopted) == (1, ())
    assert [key for key in inner.objects if key.startswith("log/")] == [log_key(1)]


def test_p4_a_client_that_retries_by_itself_and_says_exists_for_our_own_object() -> None:
    fault = fail_on("put", prefix="log/", after_apply=True, error=ObjectExistsError)
    scribe = Scribe(FaultyStore(MemoryStore(), [fault]))

    assert scribe.write(a_yml=b"1\n").position.number == 1
    assert scribe.write(a_yml=b"2\n").position.number == 2


def test_p4_a_put_that_was_never_applied_is_repeated_with_the_same_bytes() -> None:
    inner, fault = MemoryStore(), delay_put(prefix="log/", times=3)
    scribe = Scribe(FaultyStore(inner, [fault]))

    scribe.write(a_yml=b"1\n")
    landed = inner.objects
    fault.release()

    assert inner.objects == landed
    assert fault.hits == 3
    assert verify(inner).restorable == ((1, 1),)


def test_p4_while_the_outcome_is_unknown_nothing_else_is_published_and_nothing_is_claimed() -> None:
    inner, fault = MemoryStore(), delay_put(prefix="log/", times=4)
    scribe = Scribe(FaultyStore(inner, [fault]))
    intent = scribe.intent({"a.yml": b"1\n"})

    with pytest.raises(OutcomeUnknownError):
        scribe.send(intent)

    doubted = scribe.publisher.in_doubt
    assert doubted == intent.write_id
    assert scribe.publisher.head.position.number == 0
    with pytest.raises(AssertionError, match="same intent"):
        scribe.write(b_yml=b"other\n")
    fault.release()
    assert scribe.send(intent).position.number == 1
    assert scribe.write(a_yml=b"2\n").position.number == 2
    assert verify(inner).restorable == ((1, 2),)


def test_p4_a_delayed_put_that_lost_its_slot_arrives_in_vain() -> None:
    inner, fault = MemoryStore(), delay_put(prefix="log/", times=4)
    slow = Scribe(FaultyStore(inner, [fault]), writer="slow")
    slow.publisher.epoch = 5
    intent = slow.intent({"a.yml": b"slow\n"})
    with pytest.raises(OutcomeUnknownError):
        slow.send(intent)
    quick = Scribe(inner, writer="quick")
    quick.write(b_yml=b"quick\n")

    published = slow.send(intent)
    fault.release()

    assert (published.position.number, published.adopted) == (2, (1,))
    assert read_all(inner, 1) == {"b.yml": b"quick\n"}
    assert read_all(inner, 2) == {"a.yml": b"slow\n"}
    assert verify(inner).ok


def test_a_failed_put_leaves_nothing_in_doubt() -> None:
    inner = MemoryStore()
    scribe = Scribe(FaultyStore(inner, [fail_on("put", prefix="log/")]))

    with pytest.raises(UnavailableError, match="injected"):
        scribe.write(a_yml=b"1\n")

    assert scribe.publisher.in_doubt is None
    assert scribe.write().position.number == 1


def test_a_slot_that_is_taken_and_cannot_be_read_is_an_unknown_outcome() -> None:
    fault = fail_on("put", prefix="log/", times=9, error=ObjectExistsError)
    scribe = Scribe(FaultyStore(MemoryStore(), [fault]))

    with pytest.raises(OutcomeUnknownError, match="cannot be read"):
        scribe.write(a_yml=b"1\n")

    assert scribe.publisher.in_doubt is not None


def test_i2_blobs_are_durable_before_the_revision_that_names_them() -> None:
    order: list[str] = []
    store = MemoryStore(after=lambda operation, key: order.append(key) if operation == "put" else None)

    Scribe(store).write({"a.bin": b"a" * (2 << 20), "b.bin": b"b" * (2 << 20), "c.yml": b"c\n"})

    assert [key.partition("/")[0] for key in order] == ["confstream.json", "blob", "blob", "log"]


def test_i2_a_revision_is_not_published_without_its_blob() -> None:
    inner = MemoryStore()
    scribe = Scribe(FaultyStore(inner, [delay_put(prefix="blob/", times=4)]))

    with pytest.raises(UnavailableError, match="blob/"):
        scribe.write({"a.bin": b"a" * (2 << 20)})

    assert [*inner.objects] == ["confstream.json"]


def test_a_tag_whose_answer_was_lost_may_be_given_again_but_not_moved() -> None:
    scribe = grow(FaultyStore(MemoryStore(), [fail_on("put", prefix="tag/", after_apply=True)]), 3)
    scribe.reader.refresh()
    second, third = scribe.reader.revision(2), scribe.reader.revision(3)
    with pytest.raises(OutcomeUnknownError):
        scribe.publisher.tag("v1", second)

    assert scribe.publisher.tag("v1", second).number == 2
    with pytest.raises(ObjectExistsError):
        scribe.publisher.tag("v1", third)
