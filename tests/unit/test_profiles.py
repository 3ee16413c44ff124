"""Profiles: what of each application's directory is tracked, and how the application is recognised."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from confstream import profiles
from confstream.errors import UsageError
from confstream.presence import is_missing
from confstream.profiles import Profile, signs
from confstream.profiles.profile import VALIDATORS, parse
from confstream.selection import PROFILES, Selection, is_sqlite
from confstream.validate.rules import Rule, Validators
from tests.profile_trees import TREES, make, parsed


def tracks(selection: Selection, path: str) -> bool:
    return selection.tracks(path.encode(), is_dir=False)


@pytest.mark.parametrize("name", TREES)
def test_of_a_realistic_tree_what_matters_is_tracked_and_nothing_else(name: str) -> None:
    selection = profiles.load(name).selection()

    expected = {path: tracked for path, (tracked, _) in parsed(name).items()}
    assert {path: tracks(selection, path) for path in expected} == expected


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_recognised(name: str, tmp_path: Path) -> None:
    found = profiles.recognise(make(tmp_path, name))

    assert (found.profile.name, bool(found.why)) == (name, True)


@pytest.mark.parametrize("name", TREES)
def test_a_tree_that_was_just_restored_is_recognised_as_what_it_was(name: str, tmp_path: Path) -> None:
    assert profiles.recognise(make(tmp_path, name, tracked_only=True)).profile.name == name


@pytest.mark.parametrize("name", TREES)
def test_with_everything_there_no_profile_calls_its_own_tree_missing(name: str, tmp_path: Path) -> None:
    profile = profiles.load(name)
    root = make(tmp_path, name)

    assert not is_missing(root, profile.guards_in(root), profile.selection()).missing


@pytest.mark.parametrize("name", [name for name in TREES if signs.GUARDS.get(name)])
def test_without_its_guard_a_tree_is_missing(name: str, tmp_path: Path) -> None:
    profile = profiles.load(name)
    root = make(tmp_path, name)
    (root / profile.guards_in(root)[0]).write_text("")

    assert is_missing(root, profile.guards_in(root), profile.selection()).missing


@pytest.mark.parametrize("name", signs.GUARDS)
def test_every_guard_is_tracked_by_its_profile(name: str) -> None:
    profile = profiles.load(name)

    assert [guard for names in profile.guards for guard in names if not tracks(profile.selection(), guard)] == []


def test_zigbee2mqtt_database_is_tracked_while_the_database_of_frigate_is_not() -> None:
    assert tracks(profiles.load("zigbee2mqtt").selection(), "database.db")
    assert not tracks(profiles.load("frigate").selection(), "frigate.db")
    assert tracks(profiles.load("generic").selection(), "database.db")


@pytest.mark.parametrize("name", profiles.names())
def test_no_profile_excludes_databases_by_suffix(name: str) -> None:
    profile = profiles.load(name)

    assert tracks(profile.selection(), "somebody-elses.db")
    assert not any(pattern.lstrip("/").startswith("*.db*") or pattern == "*.db" for pattern in profile.excluded)


@pytest.mark.parametrize("name", profiles.names())
def test_a_profile_leaves_sqlite_to_the_first_bytes_unless_it_tracks_all(name: str) -> None:
    assert is_sqlite(b"SQLite format 3\0 and pages")
    assert profiles.load(name).sqlite is (name == "none")


def test_the_generic_profile_is_the_generic_list_of_the_patterns() -> None:
    assert profiles.load("generic").selection() == Selection()
    assert profiles.load("generic").excluded == PROFILES["generic"]
    assert profiles.load("none").selection() == Selection(profile="none")


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_says_what_it_is_for_in_one_line(name: str) -> None:
    description = profiles.load(name).description

    assert description.endswith(".")
    assert "\n" not in description
    assert set(profiles.load(name).validators) <= set(VALIDATORS)
    assert profiles.load(name).as_json()["name"] == name


def test_every_file_is_a_profile_and_every_profile_a_file() -> None:
    files = {path.stem for path in Path(profiles.__file__).parent.glob("*.yml")}

    assert files == set(profiles.names())
    assert set(signs.GUARDS) <= files
    assert {name for name in profiles.names() if profiles.load(name).signs} == files - {"generic", "none"}


def test_a_users_pattern_takes_back_what_the_profile_excludes() -> None:
    selection = profiles.load("frigate").selection(exclude=("!/model_cache/",))

    assert tracks(selection, "model_cache/labels.txt")
    assert not tracks(selection, "frigate.db")


def test_a_users_include_replaces_that_of_the_profile() -> None:
    profile = Profile("x", "x", include=("a",))

    assert (tracks(profile.selection(), "a"), tracks(profile.selection(), "b")) == (True, False)
    assert (tracks(profile.selection(("b",)), "a"), tracks(profile.selection(("b",)), "b")) == (False, True)


def test_an_unknown_profile_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown profile 'frigat'; did you mean 'frigate'"):
        profiles.load("frigat")


def test_of_two_names_of_a_guard_the_first_that_is_there_counts(tmp_path: Path) -> None:
    frigate = profiles.load("frigate")

    assert frigate.guards_in(tmp_path) == ("config.yml",)
    (tmp_path / "config.yaml").write_text("cameras: {}")
    assert frigate.guards_in(tmp_path) == signs.guards("frigate", tmp_path) == ("config.yaml",)
    (tmp_path / "config.yml").write_text("cameras: {}")
    assert frigate.guards_in(tmp_path) == ("config.yml",)


def test_a_directory_of_two_applications_is_generic_and_the_answer_names_both(tmp_path: Path) -> None:
    make(make(tmp_path, "traefik"), "frigate")

    found = profiles.recognise(tmp_path)

    assert found.profile.name == "generic"
    assert "frigate" in found.why
    assert "traefik" in found.why


def test_a_directory_that_is_not_there_or_empty_is_generic(tmp_path: Path) -> None:
    assert profiles.recognise(tmp_path / "absent").why == "the directory does not exist"
    assert profiles.recognise(tmp_path).profile.name == "generic"


def test_recognition_survives_what_it_cannot_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yml")
    (tmp_path / "configuration.yaml").symlink_to("configuration.yaml")
    (tmp_path / "config.xml").mkdir()

    assert profiles.recognise(tmp_path).profile.name == "generic"


def test_a_mounted_link_to_a_file_counts_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "config.yaml").write_bytes(b"\xef\xbb\xbfcameras: {}\n")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")

    assert profiles.recognise(tmp_path).profile.name == "frigate"


def test_a_word_that_is_no_key_at_the_top_recognises_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("views:\n  cameras: []\n# cameras:\n")

    assert profiles.recognise(tmp_path).profile.name == "generic"


def test_p2_recognising_a_directory_imports_next_to_nothing(tmp_path: Path) -> None:
    make(tmp_path, "frigate")
    program = (
        f"import sys; sys.path.insert(0, {os.fspath(Path.cwd())!r});"
        "from confstream.profiles import signs; from confstream.presence import is_missing;"
        "found = signs.guess(sys.argv[1]);"
        "assert not is_missing(sys.argv[1], signs.guards(found.name, sys.argv[1])).missing;"
        "print(found.name, {'yaml', 're', 'dataclasses', 'pathspec', 'pathlib', 'json'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("frigate set()\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description: x\nexclud: [a]", r"x\.yml:2:1: unknown key 'exclud'; did you mean 'exclude'"),
        ("exclude: [a]", "has no 'description'"),
        ("description: x\nbase: genric", "did you mean 'generic'"),
        ("description: x\nvalidators: {jsonx: a}", "unknown key 'jsonx'; did you mean 'json"),
        ("description: x\nsqlite: maybe", r"x\.yml:2:9: sqlite: expected true or false"),
        ("description: x\nexclude: [a//b]", r"x\.yml: the pattern 'a//b'"),
        ("description: x\ngroups: [[a//b]]", r"x\.yml: the pattern 'a//b'"),
        ("description: x\nrequired: {a//b: c}", r"x\.yml: the pattern 'a//b'"),
        ("description: x\ndescription: y", r"x\.yml:2:1: this key stands here for the second time"),
    ],
)
def test_a_profile_file_is_read_strictly(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text, "x")


def test_rules_by_pattern_answer_for_a_path() -> None:
    frigate, node_red = map(profiles.load, ("frigate", "node-red"))

    assert frigate.required_in(b"config.yaml") == ("cameras",)
    assert frigate.required_in(b"backup_config.yaml") == ()
    assert "mqtt.password" in frigate.secrets_in(b"config.yml")
    assert frigate.secrets_in(b".jwt_secret") == ("**",)
    assert node_red.group(b"flows_cred.json") == ("/flows.json", "/flows_cred.json", "/.config.runtime.json")
    assert node_red.group(b"settings.js") == ()


def test_the_rules_of_a_profile_are_rules_of_the_validators() -> None:
    def chosen(name: str, path: bytes) -> tuple[str, ...]:
        rules = [Rule(patterns, validator) for validator, patterns in profiles.load(name).validators.items()]
        return Validators(rules=rules).for_path(path)

    assert chosen("zigbee2mqtt", b"database.db") == ("jsonl",)
    assert chosen("zigbee2mqtt", b"configuration.yaml") == ("yaml",)
    assert chosen("traefik", b"dynamic/routers.yml") == ()
    assert chosen("traefik", b"traefik.yml") == ("yaml",)
    assert chosen("traefik", b"acme.json") == ("json",)
