"""How a tree stands to the log when a journal opens, and what is published of it: by content, never by time."""

import logging
from pathlib import Path

import pytest

from confstream.errors import FencedError
from confstream.journal.phase import Phase
from confstream.revision import Status
from confstream.testing import fail_on
from tests.journals import PATIENCE_SECONDS, Open, Replica, eventually, files_of, opener


def put(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / name).write_text(text)


def seed(root: Path, start: Open, **files: str) -> None:
    """Leave a journal that published *files* and was closed."""
    with start(root) as journal:
        for name, text in files.items():
            journal.write(name, text)


def test_a_tree_equal_to_the_log_is_in_sync_and_publishes_nothing(root: Path, replica: Replica, start: Open) -> None:
    seed(root, start, a="1", b="2")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().phase is Phase.PUBLISHING
        assert journal.status().detail == ""

    assert replica.head == 2


def test_states_that_another_writer_published_already_are_not_published_again(
    root: Path, replica: Replica, start: Open
) -> None:
    put(root, a="1")
    with start(root, publish=False) as journal:
        for text in ("2", "3"):
            put(root, a=text)
            journal.capture()
        journal.abort()
    for content in (b"1", b"2", b"3"):
        replica.edit({"a": content})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert (journal.status().pending, journal.status().position.number) == (0, 3)

    assert [made.tree_hash for made in replica.revisions()] == list(
        dict.fromkeys(made.tree_hash for made in replica.revisions())
    )
    assert replica.head == 3


def test_a_state_that_only_this_writer_saw_is_published_though_the_newest_is_known(
    root: Path, replica: Replica, start: Open
) -> None:
    put(root, a="1")
    with start(root, publish=False) as journal:
        for text in ("only here", "3"):
            put(root, a=text)
            journal.capture()
        journal.abort()
    for content in (b"1", b"3"):
        replica.edit({"a": content})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.head == 4
    assert replica.files() == {"a": b"3"}


def test_what_changed_while_nobody_looked_is_published(root: Path, replica: Replica, start: Open) -> None:
    seed(root, start, a="1")
    put(root, a="2")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"2"}
    assert replica.revisions()[-1].supersedes is None


def test_p1_a_tree_that_is_behind_is_kept_and_not_published_until_something_changes(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    seed(root, start, a="1")
    replica.edit({"a": b"theirs", "b": b"theirs"})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        status = journal.status()
        assert status.phase is Phase.BEHIND
        assert "unchanged since revision 1, the log is at 2" in status.detail
        assert "restore --fast-forward" in caplog.text
        assert (files_of(root), replica.head) == ({"a": b"1"}, 2)

        journal.write("c", "new")
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().phase is Phase.PUBLISHING

    made = replica.revisions()[-1]
    assert replica.files() == files_of(root) == {"a": b"1", "c": b"new"}
    assert made.supersedes == (2, 2)


def test_p1_a_tree_that_diverged_is_published_over_the_log_and_says_what_it_supersedes(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    seed(root, start, a="1")
    replica.edit({"a": b"theirs"})
    replica.edit({"a": b"theirs 2"}, "others")
    put(root, a="ours")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"ours"}
    assert replica.files(3) == {"a": b"theirs 2"}
    assert replica.revisions()[-1].supersedes == (2, 3)
    assert [record.levelno for record in caplog.records if "differs from the log" in record.message] == [
        logging.WARNING
    ]


def test_a_fresh_journal_of_a_tree_equal_to_the_head_is_in_sync(root: Path, replica: Replica, start: Open) -> None:
    replica.edit({"a": b"1"})
    put(root, a="1")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().pending == 0
        journal.write("a", "2")

    assert [made.supersedes for made in replica.revisions()] == [None, None]


def test_p1_a_fresh_journal_of_an_older_tree_is_behind(root: Path, replica: Replica, start: Open) -> None:
    scribe = replica.scribe()
    for text in (b"1", b"2", b"3"):
        scribe.write({"a": text})
    put(root, a="2")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().phase is Phase.BEHIND
        assert "since revision 2, the log is at 3" in journal.status().detail

    assert replica.head == 3


def test_p1_a_fresh_journal_of_a_tree_that_the_log_never_had_diverged(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.edit({"a": b"1", "b": b"1"})
    put(root, a="mine", b="1")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"mine", "b": b"1"}
    assert replica.revisions()[-1].supersedes == (1, 1)


def test_p10_a_gutted_tree_published_over_a_full_log_is_suspicious(root: Path, replica: Replica, start: Open) -> None:
    replica.edit({str(number): b"x%d" % number for number in range(10)})
    put(root, a="the only one")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    made = replica.revisions()[-1]
    assert made.verdict.status is Status.SUSPICIOUS
    assert made.verdict.reasons == ("10 of 10 files are gone",)
    assert replica.history().resolve("latest-good").number == 1


def test_p10_an_empty_tree_over_a_full_log_is_held_back_until_files_are_there(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    replica.edit({"a": b"1", "b": b"1"})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().phase is Phase.HELD
        assert "2 tracked files are gone" in caplog.text
        for name in ("cache", "logs"):
            (root / name).mkdir()
            assert journal.capture().changes
            journal.sync(PATIENCE_SECONDS)
        assert (replica.head, journal.status().phase) == (1, Phase.HELD)

        put(root, a="back")
        journal.capture()
        journal.sync(PATIENCE_SECONDS)
        assert journal.status().phase is Phase.PUBLISHING

    assert replica.files() == {"a": b"back"}
    assert replica.files(1) == {"a": b"1", "b": b"1"}


def test_p10_without_guards_an_empty_tree_is_believed_over_a_full_log(
    root: Path, replica: Replica, start: Open
) -> None:
    replica.edit({"a": b"1"})

    with start(root, guards=False) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {}
    assert replica.files(1) == {"a": b"1"}


def test_p4_another_replica_gets_the_whole_tree_before_sync_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    seed(root, start, a="1", b="2")
    other = Replica("other")

    with opener(monkeypatch, other)(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert other.files() == {"a": b"1", "b": b"2"}
        assert "belonged to another replica" in caplog.text

    with opener(monkeypatch, other)(root) as journal:
        journal.sync(PATIENCE_SECONDS)
    assert other.head == 1


def test_p4_what_was_pending_for_one_replica_goes_to_the_other(
    root: Path, replica: Replica, monkeypatch: pytest.MonkeyPatch, start: Open
) -> None:
    seed(root, start, a="1")
    replica.plan.append(fail_on("put", times=1000))
    journal = start(root)
    journal.write("a", "2")
    journal.abort()
    other = Replica("other")

    with opener(monkeypatch, other)(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert other.files() == {"a": b"2"}


def test_p4_a_replica_that_lost_its_history_gets_the_tree_again(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    seed(root, start, a="1", b="1", c="1")
    kept = {key: body for key, body in replica.memory.objects.items() if not key.endswith(("2", "3"))}
    replica.memory.delete([key for key in replica.memory.objects if key not in kept])
    assert replica.head == 1

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert "the replica lost revisions that it had confirmed" in caplog.text

    assert replica.files() == files_of(root)
    assert replica.revisions()[-1].supersedes == (1, 1)


def test_p4_a_replica_with_another_revision_than_the_confirmed_one_gets_the_tree(
    root: Path, replica: Replica, start: Open
) -> None:
    seed(root, start, a="1", b="1")
    second = next(key for key in replica.memory.objects if key.startswith("log/") and key.endswith("2"))
    replica.memory.delete([second])
    replica.edit({"other": b"x"})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == files_of(root)


def test_p4_a_publication_whose_acknowledgement_was_lost_is_found_after_a_restart(
    root: Path, replica: Replica, start: Open
) -> None:
    seed(root, start, a="1")
    journal = start(root)
    journal.sync(PATIENCE_SECONDS)
    replica.plan += [fail_on("put", prefix="log/", after_apply=True, times=1000), fail_on("get", times=1000)]
    journal.write("a", "2")
    eventually(lambda: replica.head == 2, "the put to arrive")
    journal.abort()
    replica.plan.clear()
    put(root, a="3")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert [replica.files(number)["a"] for number in range(1, replica.head + 1)] == [b"1", b"2", b"3"]
    assert [made.supersedes for made in replica.revisions()] == [None, None, None]
    assert len({made.write_id for made in replica.revisions()}) == 3


def test_p5_a_publication_found_after_a_restart_below_those_of_another_writer(
    root: Path, replica: Replica, start: Open
) -> None:
    seed(root, start, a="1")
    replica.plan += [fail_on("put", prefix="log/", after_apply=True, times=1000)]
    journal = start(root)
    journal.write("a", "2")
    eventually(lambda: replica.head == 2, "the put to arrive")
    journal.abort()
    replica.plan.clear()
    replica.edit({"a": b"theirs"})

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        assert "unchanged since revision 2, the log is at 3" in journal.status().detail

    assert [made.writer for made in replica.revisions()][-1] == "theirs"


def test_two_journals_of_equal_trees_publish_once(tmp_path: Path, replica: Replica, start: Open) -> None:
    trees = [tmp_path / name for name in ("one", "two")]
    for tree in trees:
        tree.mkdir()
        put(tree, a="same", b="same")

    with start(trees[0]) as journal:
        journal.sync(PATIENCE_SECONDS)
    with start(trees[1]) as journal:
        journal.sync(PATIENCE_SECONDS)
        put(trees[1], a="new")
        journal.capture()
        journal.sync(PATIENCE_SECONDS)

    assert replica.head == 2
    assert replica.revisions()[-1].supersedes is None


def test_p5_of_two_journals_that_write_at_once_one_is_fenced_and_loses_nothing(
    tmp_path: Path, replica: Replica, start: Open
) -> None:
    trees = [tmp_path / name for name in ("one", "two")]
    for tree in trees:
        tree.mkdir()
    first = start(trees[0])
    first.write("a", "first")
    first.sync(PATIENCE_SECONDS)
    second = start(trees[1])
    second.write("a", "second")
    second.sync(PATIENCE_SECONDS)

    first.write("a", "first again")
    with pytest.raises(FencedError):
        first.sync(PATIENCE_SECONDS)
    with pytest.raises(FencedError):
        first.close()
    second.close()

    assert replica.files() == {"a": b"second"}
    (fork,) = replica.history().forks()
    found = replica.history().reader.fork_checkout(fork.fork, fork.number)  # type: ignore[arg-type]
    assert [found.content(entry.hash) for entry in found.tree.files] == [b"first again"]
