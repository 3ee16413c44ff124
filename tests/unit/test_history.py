"""What a replica says of its past: every way to name a moment, and what was there then."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from confstream.errors import IntegrityError, NoReplicaError, NotFoundError, UsageError
from confstream.history import History, LogEntry
from confstream.layout import tag_key
from confstream.revision import OK, Authorship, Status, Verdict
from confstream.testing import ManualClock, MemoryStore
from confstream.tree import Change, Entry, Op
from tests.logs import Scribe, describe

NOON_NS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 10**9
DOUBT = Verdict(Status.SUSPICIOUS, ("because",))


class Six:
    """Six revisions, a minute apart from noon on; the last two are doubtful, the third is tagged."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = ManualClock(NOON_NS)
        scribe = Scribe(self.store, self.clock)
        for number in range(1, 7):
            published = scribe.write(
                {"config.yml": f"n: {number}\npassword: hunter{number}\n".encode(), "sub/a.yml": b"a" * (number // 3)},
                verdict=DOUBT if number > 4 else OK,
            )
            if number == 3:
                scribe.reader.refresh()
                scribe.publisher.tag("before-upgrade", scribe.reader.revision(3))
            assert published.position.number == number
            self.clock.advance(60)
        self.history = History(self.store, self.clock)


@pytest.fixture
def six() -> Six:
    return Six()


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (2, 2), ("6", 6), ("latest", 6), (None, 6), ("-1", 5), ("-3", 3), (-2, 4), ("latest-good", 4),
        ("before-upgrade", 3), ("2026-03-01T12:01:30Z", 2), ("2026-03-01T12:00:00Z", 1), ("4m30s", 2), ("2m ago", 5),
        ("now", 6), (datetime(2026, 3, 1, 12, 2, 0, tzinfo=UTC), 3), (datetime(2026, 3, 1, 12, 1, 59, tzinfo=UTC), 2),
    ],
)  # fmt: skip
def test_a_moment_is_resolved(six: Six, at: int | str | datetime | None, number: int) -> None:
    assert six.history.resolve(at).number == number


def test_p5_a_revision_of_a_fork_is_resolved_and_read_like_any_other() -> None:
    store = MemoryStore()
    ours = Scribe(store, writer="ours")
    ours.write({"config.yml": b"n: 1\n", "kept.yml": b"k\n"})
    Scribe(store, writer="theirs").write({"config.yml": b"n: theirs\n"})
    edits = [{"config.yml": b"n: %d\n" % number, "kept.yml": b"k\n"} for number in (2, 3)]
    fork = ours.fork(*map(ours.intent, edits))
    history = History(store, ManualClock())

    target = history.resolve(f"{fork.name}/3")

    assert (target.number, target.entry.fork, target.meaning) == (3, fork, f"fork {fork.name}")
    for at in (target, f"{fork.name}/3"):
        assert history.read("config.yml", at) == b"n: 3\n"
        assert history.read("kept.yml", at) == b"k\n"
        assert history.tree(at).keys() == {b"config.yml", b"kept.yml"}
    assert "-n: 2\n+n: 3\n" in "".join(history.diff(f"{fork.name}/2", target))
    for number, before in ((3, b"n: 2\n"), (2, b"n: 1\n")):
        found = history.checkout(f"{fork.name}/{number}", before=True)
        assert found.content(found.tree[b"config.yml"].hash) == before
    with pytest.raises(NotFoundError, match=rf"the fork {fork.name} .* has no revision 1; it has 2 to 3"):
        history.resolve(f"{fork.name}/1")
    with pytest.raises(NotFoundError, match=f"has no fork other-1; it has {fork.name}"):
        history.resolve("other-1/2")


def test_the_default_moment_is_the_callers(six: Six) -> None:
    assert six.history.resolve(None, default="latest-good").number == 4


def test_p10_the_doubtful_revisions_that_latest_good_skips_are_told_newest_first(six: Six) -> None:
    target = six.history.resolve("latest-good")

    assert [entry.number for entry in target.skipped] == [6, 5]
    assert target.skipped[0].verdict == DOUBT


def test_p8_the_resolved_instant_is_part_of_the_answer(six: Six) -> None:
    assert "2026-03-01T12:01:30" in six.history.resolve("2026-03-01T12:01:30Z").meaning
    assert "2026-03-01T12:02:00" in six.history.resolve(datetime(2026, 3, 1, 12, 2, tzinfo=UTC)).meaning
    assert six.history.resolve("before-upgrade").meaning == "tag before-upgrade"


def test_p8_a_time_before_history_names_the_first_revision(six: Six) -> None:
    with pytest.raises(NotFoundError, match="the first is revision 1"):
        six.history.resolve("2026-03-01T11:59:00Z")
    with pytest.raises(NotFoundError, match="the first is revision 1"):
        six.history.resolve(datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("at", "said"), [(7, "no revision 7"), ("-6", "only 6 revisions"), ("no-such-tag", "no tag")])
def test_p8_what_history_does_not_have_is_said(six: Six, at: int | str, said: str) -> None:
    with pytest.raises(NotFoundError, match=said):
        six.history.resolve(at)


@pytest.mark.parametrize("at", ["0", "-0", "", "2026-13-45", "2099-01-01", "12:99"])
def test_what_cannot_be_meant_is_a_usage_error(six: Six, at: int | str) -> None:
    with pytest.raises(UsageError):
        six.history.resolve(at)


def test_a_time_without_a_zone_is_refused(six: Six) -> None:
    with pytest.raises(UsageError, match="zone"):
        six.history.resolve(datetime(2026, 3, 1, 12, 2))  # noqa: DTZ001 - that is the point.


def test_the_time_that_an_entry_tells_finds_that_entry_though_it_has_no_nanoseconds() -> None:
    store, clock = MemoryStore(), ManualClock(NOON_NS + 1)
    scribe = Scribe(store, clock)
    for number in range(5):
        scribe.write({"a": b"%d" % number})
        clock.advance(1.000_000_499)

    history = History(store, clock)

    assert [history.resolve(entry.time).number for entry in history.log(newest_first=False)] == [1, 2, 3, 4, 5]


def test_a_datetime_in_another_zone_means_the_same_instant(six: Six) -> None:
    from datetime import timezone  # noqa: PLC0415

    assert six.history.resolve(datetime(2026, 3, 1, 14, 2, tzinfo=timezone(timedelta(hours=2)))).number == 3


def test_a_tag_wins_over_a_time_that_it_looks_like() -> None:
    store = MemoryStore()
    scribe = Scribe(store, ManualClock(NOON_NS))
    scribe.write({"a": b"1"})
    scribe.write({"a": b"2"})
    scribe.reader.refresh()
    scribe.publisher.tag("now", scribe.reader.revision(1))

    assert History(store, ManualClock(NOON_NS)).resolve("now").number == 1


def test_p9_a_tag_that_names_another_revision_than_the_log_has_is_damage(six: Six) -> None:
    other = Scribe(MemoryStore())
    other.write({"other": b"x"})
    other.reader.refresh()
    other.publisher.tag("forged", other.reader.revision(1))
    body = other.store.get(tag_key("forged"))
    six.store.put(tag_key("forged"), body)

    with pytest.raises(IntegrityError, match="forged"):
        six.history.resolve("forged")


def test_only_doubtful_revisions_leave_no_good_one() -> None:
    store = MemoryStore()
    Scribe(store).write({"a": b"1"}, verdict=DOUBT)

    with pytest.raises(NotFoundError, match="without a doubt"):
        History(store).resolve("latest-good")


def test_p10_where_a_file_was_invalid_from_the_beginning_the_newest_such_revision_has_to_do() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    for number, status in enumerate((Status.INVALID, Status.INVALID, Status.SUSPICIOUS), 1):
        scribe.write({"a": b"%d" % number}, verdict=Verdict(status, ("a:1:1: is wrong",)))

    target = History(store).resolve("latest-good")

    assert (target.number, [entry.number for entry in target.skipped]) == (2, [3])
    assert "none is without a doubt" in target.meaning


def test_an_empty_replica_and_none_at_all_are_different_errors() -> None:
    store = MemoryStore()
    with pytest.raises(NoReplicaError):
        History(store).resolve()

    describe(store)
    with pytest.raises(NotFoundError, match="no revision yet"):
        History(store).resolve()


def test_a_file_is_read_at_any_moment(six: Six) -> None:
    assert six.history.read("config.yml", 2) == b"n: 2\npassword: hunter2\n"
    assert six.history.read(b"sub/a.yml") == b"aa"


def test_a_mistyped_path_gets_a_hint(six: Six) -> None:
    with pytest.raises(NotFoundError, match=r"revision 6 has no confg\.yml; is config\.yml meant\?"):
        six.history.read("confg.yml")
    with pytest.raises(NotFoundError, match=r"has no zzz$"):
        six.history.read("zzz")


def test_a_directory_has_no_content_to_read(six: Six) -> None:
    with pytest.raises(NotFoundError, match="is a directory"):
        six.history.read("sub")


def test_the_log_has_every_revision_in_either_direction(six: Six) -> None:
    assert [entry.number for entry in six.history.log()] == [6, 5, 4, 3, 2, 1]
    assert [entry.number for entry in six.history.log(first=2, last=4, newest_first=False)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("path", "expected"), [("sub", [6, 3, 1]), ("sub/a.yml", [6, 3, 1]), ("su", []), ("sub/", [6, 3, 1])]
)
def test_the_log_of_a_path_has_what_changed_it_or_below_it(six: Six, path: str, expected: list[int]) -> None:
    assert [entry.number for entry in six.history.log(path=path)] == expected


def test_a_tree_has_entries_and_needs_no_content(six: Six) -> None:
    tree = six.history.tree(1)

    assert sorted(tree) == [b"config.yml", b"sub", b"sub/a.yml"]
    assert tree[b"sub/a.yml"].size == 0


def test_p12_a_diff_masks_secrets_unless_it_is_told_not_to(six: Six) -> None:
    masked = "".join(six.history.diff(1, 2))
    plain = "".join(six.history.diff(1, 2, mask=False))

    assert "hunter" not in masked
    assert "-n: 1" in masked
    assert "+password: hunter2" in plain


def test_a_diff_can_be_of_one_path_or_below_it(six: Six) -> None:
    assert len(list(six.history.diff(2, 6))) == 2
    assert ["sub/a.yml" in text for text in six.history.diff(2, 6, "sub")] == [True]
    assert list(six.history.diff(2, 6, "no-such")) == []
    assert list(six.history.diff(4, 4)) == []


def test_what_is_published_later_shows_after_a_refresh(six: Six) -> None:
    assert six.history.head == 6
    Scribe(six.store, six.clock, "other").write({"config.yml": b"new"})

    assert six.history.head == 6
    six.history.refresh()
    assert six.history.head == 7


def test_forks_are_listed_with_their_name() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.write({"a": b"1"})
    scribe.fork(scribe.intent({"a": b"2"}), scribe.intent({"a": b"3"}))

    forks = History(store).forks()

    assert [(entry.number, entry.as_json()["fork"]) for entry in forks] == [(2, "w1-1"), (3, "w1-1")]


def test_the_json_form_of_a_revision_is_whole_and_serialisable(six: Six) -> None:
    (entry,) = six.history.log(first=5, last=5)

    row = json.loads(json.dumps(entry.as_json()))

    assert row | {"hash": ""} == {
        "revision": 5,
        "time": "2026-03-01T12:04:00.000000000Z",
        "author": "",
        "source": "api",
        "message": "a test",
        "labels": {},
        "changes": [{"op": "put", "path": "config.yml", "kind": "file", "mode": "0644", "size": 23}],
        "verdict": {"status": "suspicious", "reasons": ["because"]},
        "hash": "",
        "epoch": 1,
        "writer": "w1",
        "host": "host-of-w1",
        "supersedes": None,
        "published": True,
        "fork": None,
    }
    assert entry.time == datetime(2026, 3, 1, 12, 4, tzinfo=UTC)


def test_the_json_form_knows_metas_deletes_and_names_that_are_not_utf_8() -> None:
    from confstream.tree import Meta  # noqa: PLC0415

    changes = (
        Change(Op.META, b"a", meta=Meta(0o600, 1, 2)),
        Change(Op.DELETE, b"b\xff"),
        Change.put(Entry.symlink(b"c", b"a")),
    )
    entry = LogEntry(1, 0, Authorship(labels={"ticket": "7"}), changes, supersedes=(3, 4), published=False)

    row = entry.as_json()

    assert row["changes"] == [
        {"op": "meta", "path": "a", "mode": "0600", "uid": 1, "gid": 2},
        {"op": "delete", "path": "b\\xff", "path_hex": "62ff"},
        {"op": "put", "path": "c", "kind": "symlink", "mode": "0777", "size": 1},
    ]
    assert (row["supersedes"], row["published"], row["labels"]) == ([3, 4], False, {"ticket": "7"})
    assert entry.touches(b"b\xff")
    assert not entry.touches("b")


def test_a_history_opens_from_a_path_and_asks_nothing_before_it_must(tmp_path: Path) -> None:
    with History.open(str(tmp_path / "none")) as history, pytest.raises(NoReplicaError):
        history.resolve()
    assert not (tmp_path / "none").exists()
