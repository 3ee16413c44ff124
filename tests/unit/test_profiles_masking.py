"""What only a profile knows to be secret is masked in what is shown of a file."""

import pytest

from confstream.profiles import load, names
from confstream.profiles.masking import known_names, mask_known
from confstream.profiles.profile import secrets_in
from confstream.textdiff import unified

ESPHOME = "esphome:\n  name: door\napi:\n  encryption:\n    key: canary\nlogger:\n"
ZIGBEE = "advanced:\n  pan_id: 4711\n  ext_pan_id:\n    - 4711\n    - 4711\n  channel: 11\n"


def test_p12_values_under_the_keys_of_a_profile_are_masked_with_what_is_below_them() -> None:
    assert mask_known(ESPHOME, b"door.yaml") == ESPHOME.replace("canary", "***")
    assert mask_known(ZIGBEE, b"configuration.yaml") == (
        "advanced:\n  pan_id: ***\n  ext_pan_id:\n    ***\n    ***\n  channel: 11\n"
    )


def test_p12_of_a_file_that_a_profile_calls_secret_nothing_is_shown() -> None:
    assert mask_known('{\n  "a": 1\n}\n', b".config.users.json") == "***\n  ***\n***\n"


def test_other_files_are_shown_as_they_are() -> None:
    assert mask_known(ESPHOME, b"door.txt") == ESPHOME


def test_p12_a_diff_shows_that_a_secret_changed_and_not_what() -> None:
    shown = unified(b"door.yaml", ESPHOME.encode(), ESPHOME.replace("canary", "other").encode())

    assert "canary" not in shown
    assert "other" not in shown
    assert "key: ***" in shown


def _like(pattern: str) -> list[bytes]:
    """Return paths that *pattern* names, and others that are nearly such."""
    whole = pattern.strip("/").replace("*", "a")
    near = [whole, pattern.strip("/").replace("*", ""), f"x{whole}", f"{whole}x", f"{whole}/below", f"sub/{whole}"]
    return [path.encode() for path in (*near, f"sub/{whole}/below.yaml", whole.upper(), whole.replace("/", "/x/"))]


_PATTERNS = [one for name in names() for rules in [load(name)] for one in (*rules.secret_files, *rules.secret_keys)]


@pytest.mark.parametrize("pattern", sorted(set(_PATTERNS)))
def test_p12_what_is_masked_of_a_file_is_what_the_profiles_say(pattern: str) -> None:
    for path in _like(pattern):
        keys = secrets_in(path)
        ends = {[part for part in key.split(".") if part != "*"][-1] for key in keys if key != "**"}

        assert known_names(path) == ({"**"} if "**" in keys else ends), path
