"""When a changed file is finished."""

from hypothesis import given
from hypothesis import strategies as st

from confstream.settle import Mark, Ready, Settler
from confstream.stamp import Stamp
from confstream.tree import Kind

CLOSE, LONG, LATEST = 0.02, 2.0, 60.0


def a_stamp(number: int = 1, kind: Kind = Kind.FILE) -> Stamp:
    return Stamp(kind, 1, 1, number, number, number, 0o644, 0, 0)


def settler(*, close_events: bool = True) -> Settler:
    return Settler(close_events=close_events, close_seconds=CLOSE, seconds=LONG, max_seconds=LATEST)


def run(
    waiting: Settler, stamps: dict[bytes, Stamp | None], start: float, until: float
) -> dict[bytes, tuple[float, bool]]:
    """Look whenever something is due, as an engine does; return when each path became ready."""
    ready: dict[bytes, tuple[float, bool]] = {}
    now = start
    while now <= until:
        for path in waiting.due(now):
            waiting.observe(path, stamps[path], now)
        for path, settled in waiting.take(now):
            ready[path] = (now, settled)
        following = waiting.next_look()
        if following is None:
            break
        now = max(following, now + 1e-6)
    return ready


def test_a_closed_file_is_ready_after_the_short_time() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.MODIFIED, 10.0)
    waiting.note(b"a", Mark.CLOSED, 10.3)

    ready = run(waiting, {b"a": a_stamp()}, 10.3, 100)

    assert list(ready) == [b"a"]
    assert abs(ready[b"a"][0] - (10.3 + CLOSE)) < 1e-3
    assert ready[b"a"][1] is True


def test_a_file_that_is_not_closed_waits_for_the_long_time() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.MODIFIED, 10.0)

    ready = run(waiting, {b"a": a_stamp()}, 10.0, 100)

    assert ready[b"a"][0] >= 10.0 + LONG


def test_p6_a_file_that_a_writer_has_open_waits_longer_than_one_of_which_nothing_is_known() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.MODIFIED, 10.0)
    waiting.note(b"b", Mark.SEEN, 10.0)

    ready = run(waiting, {b"a": a_stamp(), b"b": a_stamp()}, 10.0, 100)

    assert abs(ready[b"b"][0] - (10.0 + LONG)) < 1e-3
    assert abs(ready[b"a"][0] - (10.0 + 5 * LONG)) < 1e-3
    assert ready[b"a"][1] is True


def test_a_write_after_the_close_begins_anew() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.CLOSED, 10.0)
    waiting.observe(b"a", a_stamp(1), 10.0)
    waiting.note(b"a", Mark.MODIFIED, 10.01)
    waiting.observe(b"a", a_stamp(2), 10.01)

    assert waiting.take(10.5) == []
    assert run(waiting, {b"a": a_stamp(2)}, 10.5, 100)[b"a"][0] >= 10.01 + LONG


def test_without_close_events_a_close_means_nothing() -> None:
    waiting = settler(close_events=False)
    waiting.note(b"a", Mark.CLOSED, 10.0)

    assert run(waiting, {b"a": a_stamp()}, 10.0, 100)[b"a"][0] >= 10.0 + LONG


def test_lost_events_void_the_closes_that_were_seen() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.CLOSED, 10.0)
    waiting.lose_closes()

    assert run(waiting, {b"a": a_stamp()}, 10.0, 100)[b"a"][0] >= 10.0 + LONG


def test_a_file_that_a_scan_found_waits_long_and_one_already_waited_for_is_not_delayed() -> None:
    waiting = settler()
    waiting.note(b"found", Mark.SEEN, 10.0)
    waiting.note(b"closed", Mark.CLOSED, 10.0)
    waiting.note(b"closed", Mark.SEEN, 10.0)

    ready = run(waiting, {b"found": a_stamp(), b"closed": a_stamp()}, 10.0, 100)

    assert ready[b"found"][0] >= 10.0 + LONG
    assert ready[b"closed"][0] < 10.1


def test_a_deletion_is_ready_after_the_short_time_even_when_polling() -> None:
    waiting = settler(close_events=False)
    waiting.note(b"a", Mark.SEEN, 10.0)

    assert run(waiting, {b"a": None}, 10.0, 100)[b"a"][0] < 10.1


def test_a_file_that_comes_back_at_once_was_never_deleted() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.DELETED, 10.0)
    waiting.observe(b"a", None, 10.0)
    waiting.note(b"a", Mark.RENAMED, 10.01)
    waiting.observe(b"a", a_stamp(), 10.01)

    assert waiting.take(10.02) == []
    waiting.observe(b"a", a_stamp(), 10.04)
    assert waiting.take(10.04) == [Ready(b"a", settled=True)]


def test_a_symlink_or_directory_needs_no_close() -> None:
    waiting = settler()
    waiting.note(b"link", Mark.CREATED, 10.0)
    waiting.note(b"folder", Mark.CREATED, 10.0)

    ready = run(waiting, {b"link": a_stamp(kind=Kind.SYMLINK), b"folder": a_stamp(kind=Kind.DIRECTORY)}, 10.0, 100)

    assert max(when for when, _ in ready.values()) < 10.1


def test_another_mode_does_not_close_an_open_file() -> None:
    waiting = settler()
    waiting.note(b"a", Mark.MODIFIED, 10.0)
    waiting.note(b"a", Mark.ATTRIB, 10.1)
    waiting.note(b"b", Mark.ATTRIB, 10.1)

    ready = run(waiting, {b"a": a_stamp(), b"b": a_stamp()}, 10.1, 100)

    assert ready[b"a"][0] >= 10.1 + LONG
    assert ready[b"b"][0] < 10.2


def test_a_rename_is_ready_as_a_whole() -> None:
    waiting = settler()
    waiting.note_all({b"a": Mark.DELETED, b"b": Mark.RENAMED}, [(b"a", b"b")], 10.0)
    waiting.note(b"b", Mark.MODIFIED, 10.01)
    stamps = {b"a": None, b"b": a_stamp()}
    waiting.observe(b"a", None, 10.0)
    waiting.observe(b"a", None, 10.1)

    assert waiting.take(10.1) == []
    ready = run(waiting, stamps, 10.1, 100)
    assert ready[b"a"][0] == ready[b"b"][0]


def test_a_file_renamed_while_it_is_written_stays_open_under_its_new_name() -> None:
    waiting = settler()
    waiting.note(b"a/x", Mark.MODIFIED, 9.0)
    waiting.note_all({b"a": Mark.DELETED, b"b": Mark.RENAMED, b"b/x": Mark.RENAMED}, [(b"a", b"b")], 10.0)
    waiting.note_move(b"c", b"d", 10.0)
    waiting.note(b"e", Mark.CREATED, 9.0)
    waiting.note_all({b"e": Mark.DELETED, b"f": Mark.RENAMED}, [(b"e", b"f")], 10.0)

    folder = a_stamp(kind=Kind.DIRECTORY)
    stamps = {b"a": None, b"a/x": None, b"b": folder, b"b/x": a_stamp(), b"c": None, b"d": a_stamp(), b"e": None}
    ready = run(waiting, stamps | {b"f": a_stamp()}, 10.0, 100)

    assert ready[b"f"][0] >= 10.0 + LONG
    assert ready[b"d"][0] < 10.1


def test_a_link_and_a_deletion_wait_for_the_files_that_began_to_change_before_them() -> None:
    waiting = settler()
    for path in (b"new", b"new/app"):
        waiting.note(path, Mark.CREATED, 10.0)
    waiting.note_all({b"link.tmp": Mark.DELETED, b"link": Mark.RENAMED}, [(b"link.tmp", b"link")], 10.01)
    waiting.note(b"old/app", Mark.DELETED, 10.02)
    waiting.note(b"other", Mark.CLOSED, 10.03)
    stamps = {
        b"new": a_stamp(kind=Kind.DIRECTORY),
        b"link": a_stamp(kind=Kind.SYMLINK),
        b"new/app": a_stamp(),
        b"other": a_stamp(),
    }
    ready = run(waiting, stamps | {b"link.tmp": None, b"old/app": None}, 10.03, 100)

    assert ready.pop(b"other")[0] < 10.1
    assert len({when for when, _ in ready.values()}) == 1, ready


def test_a_file_that_never_rests_holds_links_and_deletions_up_only_for_a_while() -> None:
    waiting = settler()
    seen: dict[bytes, float] = {}
    for tick in range(100):
        now = 10.0 + tick / 10
        waiting.note(b"log", Mark.MODIFIED, now)
        if tick == 5:
            waiting.note(b"old", Mark.DELETED, now)
            waiting.note(b"link", Mark.CREATED, now)
            waiting.note(b"a.new", Mark.DELETED, now)
            waiting.note_all({b"a.new": Mark.DELETED, b"a": Mark.RENAMED}, [(b"a.new", b"a")], now)
        stamps = {b"log": a_stamp(tick), b"link": a_stamp(kind=Kind.SYMLINK), b"a": a_stamp()}
        for path in waiting.due(now):
            waiting.observe(path, stamps.get(path), now)
        seen |= dict.fromkeys((path for path, _ in waiting.take(now)), now)

    assert seen.keys() == {b"old", b"link", b"a", b"a.new"}
    assert seen[b"a"] == seen[b"a.new"] < 10.8
    assert seen[b"old"] == seen[b"link"] < 10.5 + 2 * LONG + 0.2


def test_a_file_that_never_rests_is_captured_after_the_maximum_and_marked() -> None:
    waiting = settler()
    captured = []
    for tick in range(70):
        waiting.note(b"a", Mark.MODIFIED, float(tick))
        waiting.observe(b"a", a_stamp(tick), float(tick))
        captured += [(tick, path, settled) for path, settled in waiting.take(float(tick))]

    assert captured == [(60, b"a", False)]


MARKS = st.sampled_from(Mark)
STEPS = st.lists(
    st.tuples(
        st.floats(0, 3), st.sampled_from([b"a", b"b"]), MARKS | st.just("look") | st.just("move"), st.integers(0, 2)
    ),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_nothing_is_ready_within_a_write_and_everything_in_bounded_time(
    steps: list[tuple[float, bytes, Mark | str, int]], close_events: bool
) -> None:
    waiting = settler(close_events=close_events)
    stamps: dict[bytes, Stamp | None] = {b"a": a_stamp(), b"b": a_stamp()}
    last: dict[bytes, tuple[str, float]] = {}
    first: dict[bytes, float] = {}
    now = 0.0

    def look() -> None:
        for path in waiting.due(now):
            waiting.observe(path, stamps[path], now)
        for path, settled in waiting.take(now):
            assert now - first.pop(path) <= LATEST + 10
            mark, when = last[path]
            if settled and stamps[path] is not None and (not close_events or mark == "modified"):
                assert now - when >= LONG - 1e-6
            assert settled or now >= LATEST

    for seconds, path, what, content in steps:
        now += seconds
        if isinstance(what, Mark):
            stamps[path] = None if what is Mark.DELETED else a_stamp(content)
            fresh = path not in waiting or what is not Mark.SEEN
            waiting.note(path, what, now)
            if fresh:
                last[path] = (str(what), now)
            first.setdefault(path, now)
        elif what == "move":
            other = b"b" if path == b"a" else b"a"
            stamps[other], stamps[path] = a_stamp(content), None
            waiting.note_move(path, other, now)
            last |= {path: ("deleted", now), other: ("renamed", now)}
            first.setdefault(path, now)
            first.setdefault(other, now)
        look()
    while (following := waiting.next_look()) is not None:
        assert now <= sum(step[0] for step in steps) + LATEST + 10
        now = max(now + 1e-6, following)
        look()

    assert first == {}
    assert len(waiting) == 0
