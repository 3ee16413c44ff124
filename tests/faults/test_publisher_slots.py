import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream.errors import FencedError, UnavailableError
from confstream.layout import Fork, log_key
from confstream.log.reader import LogReader
from confstream.store import MeteredStore, Store
from confstream.store.local import LocalStore
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, fail_on
from confstream.verifier import verify
from tests.logs import Scribe, read_all


def test_p11_a_revision_costs_one_put_and_nothing_else() -> None:
    store = MeteredStore(MemoryStore())
    scribe = Scribe(store)
    scribe.write(a_yml=b"1\n")
    store.reset()

    for number in range(10):
        scribe.write(a_yml=b"%d\n" % (number + 2))

    assert store.calls == {"put": 10}


def test_nothing_is_published_where_nothing_differs() -> None:
    store = MeteredStore(MemoryStore())
    scribe = Scribe(store)
    scribe.write(a_yml=b"1\n")
    store.reset()

    assert scribe.write().revision is None
    assert store.calls == {}
    assert scribe.send(scribe.intent(scribe.files, keep=True)).position.number == 2


def test_p5_a_lower_epoch_in_the_slot_is_adopted_and_superseded() -> None:
    store = MemoryStore()
    old, new = Scribe(store, writer="old"), Scribe(store, writer="new")
    new.publisher.epoch = old.publisher.epoch + 1
    for number in range(3):
        old.write(a_yml=b"old %d\n" % number)

    published = new.write(b_yml=b"new\n")

    assert published.adopted == (1, 2, 3)
    assert published.revision is not None
    assert (published.revision.number, published.revision.supersedes) == (4, (1, 3))
    assert read_all(store, 4) == {"b.yml": b"new\n"}
    assert new.write(c_yml=b"next\n").revision.supersedes is None  # type: ignore[union-attr]
    assert verify(store).ok


def test_p5_a_higher_epoch_in_the_slot_fences_and_what_is_left_becomes_a_fork() -> None:
    store = MemoryStore()
    old = Scribe(store, writer="old")
    old.write(a_yml=b"shared\n")
    new = Scribe(store, writer="new")
    new.write({"a.yml": b"new\n"})

    with pytest.raises(FencedError, match=r"writer new on host-of-new .* revision 2 with epoch 2"):
        old.write(b_yml=b"old\n")
    fork = old.fork(old.intent({"a.yml": b"shared\n", "b.yml": b"old\n"}), old.intent({"b.yml": b"older\n"}))

    assert old.publisher.fenced_by is not None
    assert old.publisher.fenced_by.revision.writer == "new"
    reader = LogReader(store)
    assert [made.revision.number for made in reader.fork(fork)] == [2, 3]
    found = reader.fork_checkout(fork, 3)
    assert {entry.path: found.content(entry.hash) for entry in found.tree.files} == {b"b.yml": b"older\n"}
    assert read_all(store, 2) == {"a.yml": b"new\n"}
    assert verify(store).ok


def test_p5_an_equal_epoch_makes_the_loser_take_a_higher_one() -> None:
    store = MemoryStore()
    one, other = Scribe(store, writer="one"), Scribe(store, writer="other")
    assert one.publisher.epoch == other.publisher.epoch == 1
    one.write(a_yml=b"one\n")

    published = other.write(b_yml=b"other\n")

    assert published.revision is not None
    assert (published.revision.number, published.revision.epoch, published.revision.supersedes) == (2, 2, (1, 1))
    with pytest.raises(FencedError):
        one.write(c_yml=b"late\n")
    assert verify(store).ok


def test_two_writers_of_one_volume_publish_a_change_once() -> None:
    store = MemoryStore()
    one, other = Scribe(store, writer="one"), Scribe(store, writer="other")
    one.write(a_yml=b"same\n")

    published = other.write(a_yml=b"same\n")

    assert (published.revision, published.adopted, published.position.number) == (None, (1,), 1)
    assert other.publisher.supersedes is None
    assert other.write(a_yml=b"next\n").revision.supersedes is None  # type: ignore[union-attr]


def test_a_content_is_written_once_and_an_edit_costs_what_it_changes() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    base = b"".join(b"key%05d: %d\n" % (number, number * 7919 % 104_729) for number in range(1200))
    scribe.write(a_yml=base)
    scribe.write(b_yml=base)
    scribe.write(a_yml=base + b"more: 1\n")

    sizes = [len(store.objects[log_key(number)]) for number in (1, 2, 3)]
    assert sizes[0] > 5000
    assert max(sizes[1:]) < 600
    assert read_all(store, 3) == {"a.yml": base + b"more: 1\n", "b.yml": base}


def test_an_edit_without_the_old_content_at_hand_is_stored_whole() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.write(a_yml=b"1\n" * 50)
    intent = scribe.intent({"a.yml": b"1\n" * 51})

    scribe.publisher.publish(intent, scribe.contents.__getitem__, lambda _digest: None)

    assert LogReader(store).revision(2).prefix == ()
    assert read_all(store, 2) == {"a.yml": b"1\n" * 51}


def test_rule_5_an_epoch_is_above_every_one_in_the_log_and_the_heartbeats() -> None:
    store = MemoryStore()
    first = Scribe(store, writer="first")
    first.publisher.epoch = 7
    first.write(a_yml=b"1\n")
    silent = Scribe(store, writer="silent")
    assert silent.publisher.epoch == 8
    silent.publisher.beat(300.0, 0.0, "0.1.0")

    assert Scribe(store, writer="third").publisher.epoch == 9


def test_a_damaged_heartbeat_keeps_nobody_from_writing() -> None:
    store = MemoryStore()
    store.replace("heartbeat/w7", b"damaged")

    assert Scribe(store).write(a_yml=b"1\n").position.number == 1
    assert [problem.key for problem in verify(store).problems] == ["heartbeat/w7"]


@pytest.mark.parametrize("fatal", [0, 1, 2])
@pytest.mark.parametrize("after_apply", [False, True])
def test_p5_a_fork_is_completed_after_a_failure_in_the_middle(fatal: int, after_apply: bool) -> None:
    inner = MemoryStore()
    old = Scribe(
        FaultyStore(inner, [fail_on("put", prefix="fork/", skip=fatal, after_apply=after_apply)]), writer="old"
    )
    old.write(a_yml=b"shared\n")
    Scribe(inner, writer="new").write({"a.yml": b"new\n"})
    intents = [old.intent({"a.yml": b"shared\n", "b.yml": b"%d\n" % number}) for number in range(3)]
    with pytest.raises(FencedError):
        old.send(intents[0])

    with pytest.raises(UnavailableError):
        old.fork(*intents)
    fork = old.fork(*intents)

    assert fork == Fork("old", 1)
    assert [made.revision.write_id for made in LogReader(inner).fork(fork)] == [one.write_id for one in intents]
    assert verify(inner).ok


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("writers", [2, 4])
def test_p5_racing_writers_share_every_slot_out_and_the_chain_holds(kind: str, writers: int, tmp_path: Path) -> None:
    describe_at: Callable[[], Store] = (
        (lambda: MemoryStore("race")) if kind == "memory" else (lambda: LocalStore(tmp_path / "replica"))
    )
    barrier = threading.Barrier(writers)
    published: list[tuple[int, str]] = []
    fenced: list[str] = []
    failures: list[Exception] = []

    def work(name: str) -> None:
        try:
            scribe = Scribe(describe_at(), writer=name)
            barrier.wait()
            for number in range(15):
                made = scribe.write({f"{name}.yml": b"%d\n" % number})
                if made.revision is not None:
                    published.append((made.position.number, name))
        except FencedError:
            fenced.append(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells.
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(fenced) < writers
    report = verify(describe_at())
    assert report.ok, str(report)
    reader = LogReader(describe_at())
    assert sorted(published) == [(made.revision.number, made.revision.writer) for made in reader.revisions()]
