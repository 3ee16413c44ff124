"""What a revision is worth, and which doubts outlive it."""

from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.history import History
from confstream.journal.journal import Journal
from confstream.revision import Status
from confstream.testing import ManualClock

GOOD, TORN = "cameras:\n  door: {fps: 5}\n", "cameras:\n  door: {fps: 5\nother: 1\n"


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


def _open(tree: Path, *, guards: bool = True, clock: ManualClock | None = None) -> Journal:
    return Journal.open(tree, str(tree.parent / "replica"), heartbeat_seconds=0, guards=guards, clock=clock)


def _newest_good(tree: Path) -> int:
    with History.open(str(tree.parent / "replica")) as history:
        return history.resolve("latest-good").number


def test_p6_an_invalid_file_is_recorded_all_the_same_with_line_and_column(tree: Path) -> None:
    with _open(tree) as journal:
        journal.write("config.yml", TORN)
        journal.sync(30)
        entry = next(iter(journal.history()))

    assert entry.verdict.status is Status.INVALID
    assert entry.verdict.reasons[0].startswith("config.yml:3:")


def test_p10_a_file_that_became_invalid_keeps_every_later_revision_from_being_good(tree: Path) -> None:
    with _open(tree) as journal:
        journal.write("config.yml", GOOD)
        journal.write("config.yml", TORN)
        journal.write("other.yml", "a: 1\n")
        journal.sync(30)

        assert _newest_good(tree) == 1

        journal.write("config.yml", GOOD)
        journal.sync(30)

    assert _newest_good(tree) == 4


def test_p10_a_file_that_became_blank_keeps_every_later_revision_from_being_good(tree: Path) -> None:
    with _open(tree) as journal:
        journal.write("config.yml", GOOD)
        journal.write("config.yml", "")
        journal.write("other.yml", "a: 1\n")
        journal.sync(30)
        reasons = next(iter(journal.history())).verdict.reasons

    assert reasons == ("still blank: config.yml",)
    assert _newest_good(tree) == 1


def test_p10_what_is_doubted_is_doubted_after_a_restart(tree: Path) -> None:
    with _open(tree) as journal:
        journal.write("config.yml", GOOD)
        journal.write("config.yml", "")
        journal.write("list.json", "[1]")
        journal.write("list.json", "[1")
    with _open(tree) as journal:
        journal.write("other.yml", "a: 1\n")
        journal.sync(30)
        verdict = next(iter(journal.history())).verdict

    assert verdict.status is Status.INVALID
    assert [reason for reason in verdict.reasons if "still" in reason] == [
        verdict.reasons[0],
        "still blank: config.yml",
    ]
    assert verdict.reasons[0].startswith("still invalid: list.json:")


def test_p10_a_doubt_about_a_file_ends_when_it_is_filled_or_deleted(tree: Path) -> None:
    with _open(tree) as journal:
        for name in ("a.yml", "b.yml"):
            journal.write(name, GOOD)
        for name in ("a.yml", "b.yml"):
            journal.write(name, "")
        journal.write("a.yml", GOOD)
        journal.delete("b.yml")
        journal.write("other.yml", "a: 1\n")
        journal.sync(30)

    assert _newest_good(tree) == 7


def test_p10_a_gutted_tree_is_doubted_for_a_day_and_then_believed(tree: Path) -> None:
    clock = ManualClock(SystemClock().now_ns(), auto=False)
    names = [f"{number}.yml" for number in range(10)]
    with _open(tree, clock=clock) as journal:
        with journal.transaction() as transaction:
            for name in names:
                transaction.write(name, f"name: {name}\n")
        with journal.transaction() as transaction:
            for name in names[:8]:
                transaction.delete(name)
        journal.write("default.yml", "a: 1\n")
        gutted, still = list(journal.history(newest_first=False))[1:3]
        clock.advance(86_401)
        journal.write("default.yml", "a: 2\n")
        believed = next(iter(journal.history()))

    assert gutted.verdict.reasons == ("8 of 10 files are gone",)
    assert still.verdict.reasons == ("still gutted: 10 files were here",)
    assert believed.verdict.status is Status.OK


def test_p10_without_guards_nothing_is_suspicious_but_invalid_stays_invalid(tree: Path) -> None:
    with _open(tree, guards=False) as journal:
        journal.write("config.yml", GOOD)
        journal.write("config.yml", "")
        journal.write("config.yml", TORN)
        journal.sync(30)
        verdicts = [entry.verdict.status for entry in journal.history(newest_first=False)]

    assert verdicts == [Status.OK, Status.OK, Status.INVALID]
