"""A time or a revision means what its reader would say, or it is refused."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.errors import UsageError
from confstream.moments import (
    LATEST,
    LATEST_GOOD,
    Pick,
    RevisionSpec,
    TimeBound,
    check_tag,
    format_local,
    format_utc,
    parse_duration,
    parse_revision,
    parse_time,
)

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = 1_000_000_000
NOW = int(datetime(2026, 10, 14, 17, 46, 40, tzinfo=UTC).timestamp()) * SECOND


def utc(text: str) -> str:
    return parse_time(text, NOW, BERLIN).utc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-27", "2026-02-27T22:59:59.999999999Z"),
        ("2026-02", "2026-02-28T22:59:59.999999999Z"),
        ("2025-12", "2025-12-31T22:59:59.999999999Z"),
        ("2026-02-27 09:30", "2026-02-27T08:30:59.999999999Z"),
        ("2026-02-27T09:30", "2026-02-27T08:30:59.999999999Z"),
        ("2026-02-27 09:30:05", "2026-02-27T08:30:05.999999999Z"),
        ("09:30", "2026-10-14T07:30:59.999999999Z"),
        ("yesterday", "2026-10-13T21:59:59.999999999Z"),
        ("2026-10-14", "2026-10-14T21:59:59.999999999Z"),
    ],
)
def test_a_shortened_time_means_the_end_of_its_unit_in_the_local_zone(text: str, expected: str) -> None:
    assert utc(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-27T09:30:00.000000000Z", "2026-02-27T09:30:00.000000000Z"),
        ("2026-02-27t09:30:00.123456789z", "2026-02-27T09:30:00.123456789Z"),
        ("2026-02-27T09:30:00.5+01:00", "2026-02-27T08:30:00.599999999Z"),
        ("2026-02-27 09:30:00-02:30", "2026-02-27T12:00:00.999999999Z"),
        ("2026-02-27T09:30Z", "2026-02-27T09:30:59.999999999Z"),
    ],
)
def test_a_time_with_a_zone_is_taken_in_that_zone(text: str, expected: str) -> None:
    assert utc(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0),
        ("0s", 0),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("2h ago", 7200),
        ("2 hours ago", 7200),
        ("1h30m", 5400),
        ("1d 2h", 93600),
        ("7d", 604800),
        ("1w", 604800),
    ],
)
def test_a_length_of_time_means_ago(text: str, seconds: int) -> None:
    assert parse_time(text, NOW, BERLIN).time_ns == NOW - seconds * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "", "10", "90", "90x", "2h from now", "2026", "2026/02/27", "27.02.2026", "2026-13-01", "2026-02-30",
        "2026-2-7",
        "2026-02-27T24:00", "09:60", "9:30", "09:30Z", "2026-02-27 09", "2026-02-27T10:00:00+25:00",
        "2026-02-27T10:00:00+01:99", "latest", "ago", "-2h", "tomorrow", "1969-12-31", "99999999999w", "٠٩:٣٠",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW, BERLIN)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["2026-10-15", "2026-11", "19:47", "2026-10-14T17:46:41Z", "9999-12"])
def test_a_time_that_begins_later_than_now_is_refused_never_the_latest(text: str) -> None:
    with pytest.raises(UsageError, match="is in the future"):
        parse_time(text, NOW, BERLIN)


def test_the_unit_that_is_going_on_is_no_future() -> None:
    assert parse_time("19:46", NOW, BERLIN).time_ns > NOW
    assert parse_time("2026-10", NOW, BERLIN).time_ns > NOW


def test_a_wall_time_that_the_clocks_skipped_means_the_moment_of_the_change_and_says_so() -> None:
    bound = parse_time("2026-03-29 02:30", NOW, BERLIN)

    assert bound.utc == "2026-03-29T00:59:59.999999999Z"
    assert "skipped by the clocks" in bound.meaning


def test_a_wall_time_that_the_clocks_showed_twice_means_the_later_one_and_says_so() -> None:
    bound = parse_time("2025-10-26 02:30", NOW, BERLIN)

    assert bound.utc == "2025-10-26T01:30:59.999999999Z"
    assert "first at 2025-10-26T00:30:00" in bound.meaning


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("Asia/Beirut", "2022-03-26", "2022-03-26T21:59:59.999999999Z"),
        ("America/Havana", "2025-11-01", "2025-11-02T03:59:59.999999999Z"),
        ("Pacific/Apia", "2011-12-29", "2011-12-30T09:59:59.999999999Z"),
    ],
)
def test_a_day_ends_where_the_next_begins_even_if_midnight_is_skipped_or_shown_twice(
    zone: str, text: str, expected: str
) -> None:
    assert parse_time(text, NOW, ZoneInfo(zone)).utc == expected


def test_the_line_for_a_person_has_utc_and_local_time() -> None:
    bound = parse_time("2026-02-27", NOW, BERLIN)

    assert bound.describe() == (
        "2026-02-27 is the end of that day, local time: 2026-02-27T22:59:59.999999999Z,"
        " local 2026-02-27 23:59:59+01:00 CET"
    )


def test_without_a_zone_the_system_s_is_taken() -> None:
    day = parse_time("2026-02-27", NOW)
    offset = datetime(2026, 2, 28).astimezone().utcoffset()
    assert offset is not None

    assert day.time_ns == int((datetime(2026, 2, 28, tzinfo=UTC) - offset).timestamp()) * SECOND - 1


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2026, 10, 1)),  # noqa: DTZ001 - a wall time
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
)
def test_a_bound_is_never_before_a_wall_time_that_exists_and_shows_in_its_minute(wall: datetime, zone: str) -> None:
    where = ZoneInfo(zone)
    text = f"{wall:%Y-%m-%d %H:%M}"

    bound = parse_time(text, NOW, where)

    shown = datetime.fromtimestamp(bound.time_ns // SECOND, where)
    if "skipped" not in bound.meaning:
        assert f"{shown:%Y-%m-%d %H:%M:%S}" == f"{text}:59"
    else:
        assert shown.replace(tzinfo=None) < wall


@given(st.integers(0, NOW), st.integers(-14 * 60, 14 * 60))
def test_the_text_of_an_instant_parses_to_the_same_instant(time_ns: int, minutes: int) -> None:
    bound = TimeBound(time_ns, "x", "x", "x")

    again = parse_time(str(bound), NOW, timezone(timedelta(minutes=minutes)))

    assert again.time_ns == time_ns
    assert format_utc(time_ns) == str(again)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    try:
        bound = parse_time(text, NOW, BERLIN)
    except UsageError:
        return
    assert bound.text == text.strip()


def test_local_time_has_its_offset() -> None:
    assert format_local(0, timezone(timedelta(hours=-3, minutes=-30))) == "1969-12-31 20:30:00-03:30"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90.0), ("1.5h", 5400.0), ("1h30m", 5400.0), ("2 weeks", 1209600.0), ("0", 0.0)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "h", "-1h", "1x", "1h30", "one hour", "1e3s", "inf"])
def test_what_is_no_duration_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="90s, 30m, 2h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", RevisionSpec(Pick.NUMBER, 1)),
        ("42", RevisionSpec(Pick.NUMBER, 42)),
        ("00000000000000000042", RevisionSpec(Pick.NUMBER, 42)),
        ("latest", LATEST),
        ("latest-good", LATEST_GOOD),
        ("-3", RevisionSpec(Pick.BACK, 3)),
        ("v1.0", RevisionSpec(Pick.TAG, tag="v1.0")),
        ("dbe9e6aa447f6261-2/14", RevisionSpec(Pick.FORK, 14, "dbe9e6aa447f6261-2")),
        ("2026-02-27", RevisionSpec(Pick.TAG, tag="2026-02-27")),
    ],
)
def test_a_revision_is_a_number_a_word_a_step_back_a_tag_or_of_a_fork(text: str, expected: RevisionSpec) -> None:
    assert parse_revision(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-0",
        "--3",
        "-x",
        "Latest",
        "LATEST-GOOD",
        "a b",
        "a/b",
        "a-1/",
        "a-0/1",
        "a/1",
        "a-1/0",
        "A-1/1",
        "é",
        "9" * 30,
        "a" * 129,
        ".a",
    ],
)
def test_what_names_no_revision_is_refused_never_the_latest(text: str) -> None:
    with pytest.raises(UsageError, match="is not a revision; write a number"):
        parse_revision(text)


@pytest.mark.parametrize("name", ["7", "latest", "latest-good", "Latest", "-a", "", "a b"])
def test_a_name_that_could_be_read_otherwise_is_no_tag(name: str) -> None:
    with pytest.raises(UsageError, match="is not a tag name"):
        check_tag(name)


@given(
    st.one_of(
        st.builds(RevisionSpec, st.sampled_from([Pick.NUMBER, Pick.BACK]), st.integers(1, 10**18)),
        st.sampled_from([LATEST, LATEST_GOOD]),
        st.builds(RevisionSpec, st.just(Pick.FORK), st.integers(1, 10**18), st.just("0a-7")),
        st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True)
        .filter(lambda name: name.lower() not in {"latest", "latest-good"})
        .map(lambda name: RevisionSpec(Pick.TAG, tag=name)),
    )
)
def test_the_text_of_a_revision_parses_to_the_same_revision(spec: RevisionSpec) -> None:
    assert parse_revision(str(spec)) == spec


@pytest.mark.parametrize(
    ("pick", "number", "tag"),
    [(Pick.NUMBER, 0, ""), (Pick.LATEST, 3, ""), (Pick.TAG, 0, ""), (Pick.BACK, 1, "x"), (Pick.FORK, 1, "")],
)
def test_a_revision_without_a_text_form_cannot_be_built(pick: Pick, number: int, tag: str) -> None:
    with pytest.raises(ValueError, match="a revision by"):
        RevisionSpec(pick, number, tag)
