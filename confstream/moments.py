"""What a person means by a point in time, a length of time, or a revision.

Pure. A time is never guessed: what is malformed, could mean two things or lies
in the future is a ``UsageError`` that lists what can be written instead.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

from confstream.errors import UsageError
from confstream.pattern import pattern
from confstream.values import dataclass

if TYPE_CHECKING:
    import re

_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall time; the zone is added by hand
_NUMBER_DIGITS_MAX = 19
_TAG = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FORK = pattern(r"([0-9a-z]{1,64}-[1-9][0-9]{0,18})/([1-9][0-9]{0,18})")
_LENGTH = pattern(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?[ ]?([a-z]+)")
_DATE = pattern(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
_TIME = pattern(
    r"(?:([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ])?"
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?: ?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
_UNITS_NS = {
    name: seconds_ns
    for names, seconds_ns in (
        ("ms", _NS // 1000),
        ("s sec second seconds", _NS),
        ("m min minute minutes", 60 * _NS),
        ("h hour hours", 3600 * _NS),
        ("d day days", 86400 * _NS),
        ("w week weeks", 7 * 86400 * _NS),
    )
    for name in names.split()
}
_TIME_FORMS = (
    "write 2026-02-27T09:30:00Z or any RFC 3339 time, '2026-02-27 09:30' (local zone), 2026-02-27 (to the end of that"
    " day), 2026-02, 09:30 (today), 90s, 30m, 2h, 7d, 1w, '2h ago', yesterday or now"
)
_LENGTH_FORMS = "write a number and a unit: 500ms, 90s, 30m, 2h, 7d, 1w, or several as in 1h30m"
_REVISION_FORMS = (
    "write a number from 1 on, latest, latest-good, -3 (three before the latest), WRITER-EPOCH/4 (revision 4 of a fork,"
    " as log prints it) or a tag (letters, digits, '.', '_' and '-', at most 128, the first a letter or digit, not"
    " digits alone)"
)


@dataclass(frozen=True, slots=True)
class TimeBound:
    """A point in time: everything up to and including *time_ns* (UTC) is meant.

    *text* is what was written, *meaning* how it was understood, *local* the
    instant in the zone of the reader. ``str()`` is the instant in UTC, and
    parses to the same instant.
    """

    time_ns: int
    text: str
    meaning: str
    local: str

    def __str__(self) -> str:
        return self.utc

    @property
    def utc(self) -> str:
        """Return the instant as RFC 3339 in UTC, to the nanosecond."""
        return format_utc(self.time_ns)

    def describe(self) -> str:
        """Return the line that is printed before anything is done with the time (P8)."""
        return f"{self.text} is {self.meaning}: {self.utc}, local {self.local}"


def parse_time(text: str, now_ns: int, zone: tzinfo | None = None) -> TimeBound:
    """Return the instant that *text* means at *now_ns* in *zone* (the system's without).

    A shortened time means the END of its unit. A wall time that the clocks
    skipped means the moment of the change, one that they showed twice the
    later one; *meaning* says so. Raise ``UsageError`` for anything that is
    malformed, begins after *now_ns*, or lies before 1970.
    """
    found = text.strip()
    words = found.lower()
    if words == "now":
        return _bound(text, now_ns, "now", zone)
    if words == "yesterday":
        day = _wall(now_ns, zone).date() - timedelta(days=1)
        return _bound(text, _end_of_days(day, 1, zone), "the end of yesterday", zone)
    ago = words.removesuffix("ago").rstrip()
    if (length_ns := _length_ns(ago)) is not None:
        if length_ns > now_ns:
            raise UsageError(f"{text!r} is before 1970, expected a time that a log can hold")
        return _bound(text, now_ns - length_ns, f"{ago} before now", zone)
    try:
        if match := _DATE.fullmatch(found):
            return _from_date(text, match, now_ns, zone)
        if match := _TIME.fullmatch(found):
            return _from_time(text, match, now_ns, zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a time that exists ({error}); {_TIME_FORMS}") from error
    raise UsageError(f"{text!r} is not a point in time; {_TIME_FORMS}")


def parse_duration(text: str) -> float:
    """Return the seconds that *text* means, as in ``90s``, ``1h30m`` or ``500ms``.

    ``0`` needs no unit. Raise ``UsageError`` for anything else.
    """
    found = text.strip().lower()
    length_ns = 0 if found == "0" else _length_ns(found)
    if length_ns is None:
        raise UsageError(f"{text!r} is not a length of time; {_LENGTH_FORMS}")
    return length_ns / _NS


def format_utc(time_ns: int) -> str:
    """Return *time_ns* as RFC 3339 in UTC, always with nine digits of fraction."""
    seconds, fraction = divmod(time_ns, _NS)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}.{fraction:09d}Z"


def format_local(time_ns: int, zone: tzinfo | None = None) -> str:
    """Return *time_ns* on the wall of *zone* (the system's without), to the second, with offset and name."""
    wall = _wall(time_ns, zone)
    name = wall.tzname() or ""
    shown = f" {name}" if name.isalpha() else ""
    # An offset may have seconds, which nobody writes.
    return f"{wall.isoformat(' ')[:25]}{shown}"


class Pick(StrEnum):
    """The ways to name a revision."""

    NUMBER = "number"
    LATEST = "latest"
    LATEST_GOOD = "latest-good"
    BACK = "back"
    TAG = "tag"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class RevisionSpec:
    """A revision as a person names it: ``parse_revision(str(spec)) == spec``.

    *number* is the revision of ``number`` and ``fork``, and how many before the
    latest of ``back``; *tag* is the name of ``tag``, and of the fork.
    """

    pick: Pick
    number: int = 0
    tag: str = ""

    def __post_init__(self) -> None:
        """Refuse what has no text form."""
        if (self.pick in {Pick.NUMBER, Pick.BACK, Pick.FORK}) != (self.number > 0):
            raise ValueError(f"a revision by {self.pick} with the number {self.number}")
        if (self.pick in {Pick.TAG, Pick.FORK}) != bool(self.tag):
            raise ValueError(f"a revision by {self.pick} with the tag {self.tag!r}")

    def __str__(self) -> str:
        match self.pick:
            case Pick.NUMBER:
                return str(self.number)
            case Pick.BACK:
                return f"-{self.number}"
            case Pick.TAG:
                return self.tag
            case Pick.FORK:
                return f"{self.tag}/{self.number}"
        return self.pick.value


LATEST = RevisionSpec(Pick.LATEST)
LATEST_GOOD = RevisionSpec(Pick.LATEST_GOOD)


def parse_revision(text: str) -> RevisionSpec:
    """Return the revision that *text* names; raise ``UsageError`` if it cannot name one."""
    found = text.strip()
    if found in {Pick.LATEST, Pick.LATEST_GOOD}:
        return RevisionSpec(Pick(found))
    digits = found.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        digits = digits.lstrip("0")
        number = int(digits or 0) if len(digits) <= _NUMBER_DIGITS_MAX else 0
        if number == 0:
            raise UsageError(f"{text!r} is not a revision; {_REVISION_FORMS}")
        return RevisionSpec(Pick.BACK if found.startswith("-") else Pick.NUMBER, number)
    if match := _FORK.fullmatch(found):
        return RevisionSpec(Pick.FORK, int(match[2]), match[1])
    try:
        return RevisionSpec(Pick.TAG, tag=check_tag(found))
    except UsageError as error:
        raise UsageError(f"{text!r} is not a revision; {_REVISION_FORMS}") from error


def check_tag(name: str) -> str:
    """Return *name*, or raise ``UsageError`` if no revision can be tagged so."""
    # "Latest" as a tag would be one shift key away from another revision.
    if _TAG.fullmatch(name) is None or name.isdigit() or name.lower() in {Pick.LATEST, Pick.LATEST_GOOD}:
        raise UsageError(
            f"{name!r} is not a tag name: expected at most 128 letters, digits, '.', '_' and '-', the first a letter"
            " or digit, not digits alone, and neither latest nor latest-good"
        )
    return name


def _length_ns(words: str) -> int | None:
    total, position = 0, 0
    while match := _LENGTH.match(words, position):
        whole, fraction, unit = match.groups()
        if unit not in _UNITS_NS:
            return None
        total += int(whole) * _UNITS_NS[unit]
        total += int(fraction or 0) * _UNITS_NS[unit] // 10 ** len(fraction or "")
        position = match.end()
        if words[position : position + 1] == " " and position + 1 < len(words):
            position += 1
    return total if words and position == len(words) else None


def _from_date(text: str, match: "re.Match[str]", now_ns: int, zone: tzinfo | None) -> TimeBound:
    year, month, day = (int(part) if part else 0 for part in match.groups())
    first = date(year, month, day if match[3] else 1)
    _refuse_past_and_future(text, first, _instants(datetime.combine(first, _EPOCH.time()), zone)[0], now_ns)
    days = 1 if match[3] else (date(year + month // 12, month % 12 + 1, 1) - first).days
    unit = "day" if match[3] else "month"
    return _bound(text, _end_of_days(first, days, zone), f"the end of that {unit}, local time", zone)


def _from_time(text: str, match: "re.Match[str]", now_ns: int, zone: tzinfo | None) -> TimeBound:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if offset and not year:
        raise ValueError("a time of day with a zone needs its date")
    today = _wall(now_ns, zone).date()
    where = _offset(offset) if offset else zone
    on = date(int(year), int(month), int(day)) if year else today
    wall = datetime(on.year, on.month, on.day, int(hour), int(minute), int(second or 0))  # noqa: DTZ001 - a wall time; the zone is added by hand
    digits = fraction or ""
    inside_ns = int(digits.ljust(9, "0"))
    unit_ns = 60 * _NS if second is None else _NS // 10 ** len(digits)
    earliest, latest, note = _instants(wall, where)
    _refuse_past_and_future(text, on, earliest + inside_ns, now_ns)
    if note.startswith("skipped"):
        # Nothing happened at a time that never was: all before the change counts.
        return _bound(text, latest - 1, note, zone)
    unit = "minute" if second is None else "second" if not digits else "fraction of a second"
    meaning = "that instant" if unit_ns == 1 else f"the end of that {unit}"
    meaning += ("" if offset else ", local time") + (f", {note}" if note else "")
    return _bound(text, latest + inside_ns + unit_ns - 1, meaning, zone)


def _refuse_past_and_future(text: str, on: date, start_ns: int, now_ns: int) -> None:
    if on.year < _EPOCH.year:
        raise UsageError(f"{text!r} is before 1970, expected a time that a log can hold")
    if start_ns > now_ns:
        raise UsageError(f"{text!r} is in the future: it begins at {format_utc(start_ns)}, now is {format_utc(now_ns)}")


def _offset(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"the offset {text} has {minutes} minutes")
    length = timedelta(hours=hours, minutes=minutes)
    return timezone(-length if text[0] == "-" else length)


def _wall(time_ns: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(time_ns // _NS, UTC).astimezone(zone)


def _end_of_days(first: date, days: int, zone: tzinfo | None) -> int:
    after = datetime.combine(first + timedelta(days=days), _EPOCH.time())
    return _instants(after, zone)[0] - 1


def _instants(wall: datetime, zone: tzinfo | None) -> tuple[int, int, str]:
    """Return the first and the last instant at which clocks in *zone* showed *wall*, and a note if that is not one."""

    def at(fold: int) -> int:
        aware = wall.replace(fold=fold).astimezone() if zone is None else wall.replace(fold=fold, tzinfo=zone)
        offset = aware.utcoffset() or timedelta()
        # ``astimezone()`` moves a wall time that was skipped, hence from the naive one.
        shown = wall if aware.replace(tzinfo=None, fold=0) == wall else aware.replace(tzinfo=None, fold=0)
        return (shown - offset - _EPOCH) // timedelta(seconds=1)

    before, after = at(0), at(1)
    if before == after:
        return before * _NS, before * _NS, ""
    if before < after:
        note = f"shown twice by the clocks (first at {format_utc(before * _NS)}), the later one"
        return before * _NS, after * _NS, note
    change = _first_second(after, before, lambda second: _wall(second * _NS, zone).replace(tzinfo=None) >= wall)
    return change * _NS, change * _NS, "skipped by the clocks, the last instant before they were moved"


def _first_second(low: int, high: int, holds: Callable[[int], bool]) -> int:
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _bound(text: str, time_ns: int, meaning: str, zone: tzinfo | None) -> TimeBound:
    return TimeBound(time_ns, text.strip(), meaning, format_local(time_ns, zone))
