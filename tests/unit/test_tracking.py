"""From a profile's name, or none, to what is tracked, judged and guarded in a directory."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from confstream.errors import UsageError
from confstream.profiles import memory
from confstream.settings_checks import Check
from confstream.tracking import Tracking, TrackOptions, track
from tests.profile_trees import make


def _remembered(root: Path, **options: object) -> Tracking:
    found = track(root, replace(TrackOptions(), **options), writes=True)  # type: ignore[arg-type]
    (root / ".confstream").mkdir(exist_ok=True)
    found.remember(root / ".confstream")
    return found


def test_auto_recognises_and_says_why(tmp_path: Path) -> None:
    found = track(make(tmp_path, "frigate"))

    assert (found.profile.name, found.why) == ("frigate", "config.yml has a line 'cameras:'")
    assert found.guards == (("config.yml", "config.yaml"),)
    assert not found.selection.tracks(b"model_cache", is_dir=True)
    assert not found.is_open


def test_a_profile_that_was_recognised_stays_while_the_file_that_tells_it_is_gone(tmp_path: Path) -> None:
    _remembered(make(tmp_path, "frigate"))
    (tmp_path / "config.yml").unlink()

    for writes in (True, False):
        found = track(tmp_path, writes=writes)
        assert (found.profile.name, found.why, found.doubt) == ("frigate", "as before", "")


def test_what_looks_like_another_application_by_now_is_said_and_changes_nothing(tmp_path: Path) -> None:
    _remembered(make(tmp_path, "frigate"))
    (tmp_path / "config.yml").unlink()
    make(tmp_path, "node-red")

    found = track(tmp_path, writes=True)

    assert found.profile.name == "frigate"
    assert found.doubt.startswith("it looks like node-red now (")


def test_where_nothing_was_recognised_the_next_look_may(tmp_path: Path) -> None:
    assert _remembered(tmp_path).is_open
    make(tmp_path, "frigate")

    assert track(tmp_path).profile.name == "frigate"
    assert track(tmp_path, writes=True).profile.name == "frigate"


def test_a_restore_goes_by_what_the_writer_was_told_and_a_writer_by_what_it_is_told(tmp_path: Path) -> None:
    _remembered(make(tmp_path, "frigate"), profile="none", exclude=("www/",), include=("a", "b c"))

    restores, writes = track(tmp_path), track(tmp_path, writes=True)

    assert (restores.profile.name, restores.options.exclude, restores.options.include) == (
        "none", ("www/",), ("a", "b c"),
    )  # fmt: skip
    assert (writes.profile.name, writes.options.exclude) == ("frigate", ())
    assert track(tmp_path, TrackOptions("generic")).options.exclude == ()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"recognised ", b"recognised no-such\n", b"\xff\0"])
def test_a_memory_that_cannot_be_understood_is_none(content: bytes, tmp_path: Path) -> None:
    make(tmp_path, "frigate")
    (tmp_path / ".confstream").mkdir()
    (tmp_path / ".confstream" / memory.FILE).write_bytes(content)

    assert track(tmp_path).why == "config.yml has a line 'cameras:'"


def test_p12_the_memory_is_for_its_owner_alone(tmp_path: Path) -> None:
    _remembered(make(tmp_path, "frigate"))

    assert (tmp_path / ".confstream" / memory.FILE).stat().st_mode & 0o777 == 0o600


def test_patterns_of_any_bytes_are_remembered(tmp_path: Path) -> None:
    exclude = (os.fsdecode(b"\xff*"), " x", "ü")

    _remembered(tmp_path, exclude=exclude)

    assert track(tmp_path).options.exclude == exclude


def test_a_guard_replaces_those_of_the_profile(tmp_path: Path) -> None:
    assert track(make(tmp_path, "frigate"), TrackOptions(guard=("x.yml",))).guards == (("x.yml",),)
    assert track(tmp_path, TrackOptions(guard=())).guards == ()


def test_a_guard_that_is_not_tracked_is_not_missed(tmp_path: Path) -> None:
    assert track(make(tmp_path, "frigate"), TrackOptions(include=("notes.txt",))).guards == ()
    assert track(tmp_path, TrackOptions(exclude=("config.yml",))).guards == (("config.yml", "config.yaml"),)


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'frigate'"):
        track(tmp_path, TrackOptions("frigat"))


def test_the_validators_are_the_profiles_and_those_asked_for(tmp_path: Path) -> None:
    checks = (Check("json", ("*.conf",)), Check("mine", ("config.yml",), command=("true",), good="a", bad="b"))
    asked = TrackOptions("frigate", checks=checks, required={"other.yml": ("mqtt.host",)})

    validators = track(tmp_path, asked).validators()

    assert validators.for_path(b"a.conf") == ("json",)
    assert validators.for_path(b"config.yml") == ("yaml", "mine", "keys-cameras")
    assert validators.for_path(b"other.yml") == ("yaml", "keys-mqtt.host")
    assert [one.message for one in validators.check(b"config.yaml", b"mqtt: {}\n").findings] == [
        "the required key cameras is missing"
    ]
    assert validators.self_test()["mine"].why == "accepts its bad sample"


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_p6_a_schema_that_cannot_be_read_is_a_broken_validator(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_bytes(content)
    check = Check("mine", ("config.yml",), schema=str(file), good="a: 1", bad="b: 1")

    validators = track(tmp_path, TrackOptions("none", checks=(check,))).validators()

    assert not validators.self_test()["mine"].ok
    assert not validators.check(b"config.yml", b"x: 1\n").findings


@pytest.mark.parametrize(
    ("profile", "given", "expected"),
    [
        (None, [], ("config.yml",)),
        ("auto", ["config.yml"], ["config.yml"]),
        ("auto", ["frigate.db"], None),
        ("generic", ["x"], ["x"]),
        ("none", [], None),
        ("esphome", [], None),
        ("nonsense", [], None),
    ],
)
def test_p2_guards_tell_what_is_present_only_where_the_patterns_do_not_matter(
    profile: str | None, given: list[str], expected: object, tmp_path: Path
) -> None:
    assert memory.plain_guards(make(tmp_path, "frigate"), profile, given) == expected


def test_p2_with_patterns_in_memory_guards_alone_tell_nothing(tmp_path: Path) -> None:
    _remembered(make(tmp_path, "frigate"), exclude=("x",))

    assert memory.plain_guards(tmp_path, None) is None
