"""``log``, ``show``, ``cat``, ``ls`` and ``diff``: what they print for a person, and for a program."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.commands import CANARY, FIRST, SECOND, Shell, make_replica


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(capfdbinary)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_replica(tmp_path_factory.mktemp("replica") / "replica")


def test_log_lists_the_newest_first_and_forks_last(shell: Shell, replica: str) -> None:
    lines = shell("log", replica).splitlines()

    assert shell.code == 0
    assert [line.split()[0] for line in lines] == ["REV", "!", "2", "1", "fork", "4"]
    assert "suspicious: config.yml became blank" in lines[1]
    assert "moved the broker" in lines[2]


def test_log_has_a_stable_document_for_each_revision(shell: Shell, replica: str) -> None:
    rows = [json.loads(line) for line in shell("log", replica, "--json").splitlines()]

    assert [(row["revision"], row["fork"]) for row in rows] == [(3, None), (2, None), (1, None), (4, "w1-1")]
    assert rows[1].keys() == {
        *("revision", "time", "author", "source", "message", "labels", "changes", "verdict", "hash", "epoch"),
        *("writer", "host", "supersedes", "published", "fork"),
    }
    assert rows[1]["author"] == "alice"
    assert rows[1]["changes"] == [
        {"op": "put", "path": "config.yml", "kind": "file", "mode": "0600", "size": len(SECOND)}
    ]
    assert rows[0]["verdict"] == {"status": "suspicious", "reasons": ["config.yml became blank"]}


def test_log_says_which_keys_changed_when_it_is_asked(shell: Shell, replica: str) -> None:
    lines = shell("log", replica, "--keys").splitlines()
    rows = [json.loads(line) for line in shell("log", replica, "--keys", "--json").splitlines()]

    assert "config.yml: mqtt.host broker → other, mqtt.password *** → ***: moved the broker" in lines[2]
    assert [row.get("summary") for row in rows] == [
        "config.yml: became blank",
        "config.yml: mqtt.host broker → other, mqtt.password *** → ***",
        "+ config.yml (47 B), link (link), www/index.html (13 B)",
        None,
    ]
    assert CANARY not in shell.raw.decode()


def test_show_says_in_words_what_changed(shell: Shell, replica: str) -> None:
    assert "changes  config.yml: mqtt.host broker → other, mqtt.password *** → ***\n" in shell("show", replica, "2")


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--limit", "2"], [3, 2]),
        (["--limit", "2", "--reverse"], [2, 3]),
        (["--reverse"], [1, 2, 3]),
        (["config.yml"], [3, 2, 1]),
        (["www"], [1]),
        (["--path", "www/index.html"], [1]),
        (["absent"], []),
    ],
)
def test_log_shows_what_was_asked_for(shell: Shell, replica: str, arguments: list[str], numbers: list[int]) -> None:
    rows = [json.loads(line) for line in shell("log", replica, *arguments, "--json").splitlines()]

    assert [row["revision"] for row in rows if not row["fork"]] == numbers


def test_show_secrets_shows_them(shell: Shell, replica: str) -> None:
    assert CANARY in shell("show", replica, "2", "--show-secrets")
    assert CANARY in shell("diff", replica, "1", "2", "--show-secrets")
    assert CANARY in shell("log", replica, "--show-secrets")


@pytest.mark.parametrize("name", ["1", "-2", "before-upgrade"])
def test_show_takes_a_revision_however_it_is_called(shell: Shell, replica: str, name: str) -> None:
    shown = shell("show", replica, name)

    assert shown.startswith("revision 1\n")
    assert "+  host: broker" in shown
    assert "new file mode 100600" in shown


def test_show_names_who_when_and_why(shell: Shell, replica: str) -> None:
    shown = shell("show", replica, "2")

    assert "api by alice" in shown
    assert "moved the broker" in shown
    assert "ticket=7" in shown
    assert re.search(r"put +-rw------- +\d+ B +config.yml", shown)


def test_cat_prints_the_bytes_and_nothing_else(shell: Shell, replica: str) -> None:
    shell("cat", replica, "config.yml", "--revision", "1")

    assert shell.raw == FIRST


def test_cat_without_a_revision_prints_the_latest(shell: Shell, replica: str) -> None:
    shell("cat", replica, "config.yml")

    assert (shell.code, shell.raw) == (0, b"")


def test_p8_cat_of_a_time_says_which_instant_and_revision_it_took(shell: Shell, replica: str) -> None:
    shell("cat", replica, "config.yml", "--timestamp", "now")

    assert re.match(r"confstream: revision 3 of \d{4}-\d\d-\d\dT[\d:.]+Z, local .*now", shell.err)


def test_ls_lists_a_directory_like_ls(shell: Shell, replica: str) -> None:
    lines = shell("ls", replica, "--revision", "1").splitlines()

    assert [line.split()[0] for line in lines] == ["-rw-------", "lrwxrwxrwx", "drwxr-xr-x"]
    assert [line.split("  ")[-1] for line in lines] == ["config.yml", "link -> www/index.html", "www/"]
    assert shell("ls", replica, "www").splitlines()[0].endswith("www/index.html")
    assert len(shell("ls", replica, "--recursive").splitlines()) == 4


def test_ls_has_a_stable_document(shell: Shell, replica: str) -> None:
    document = shell.json("ls", replica, "config.yml", "--revision", "1")

    assert document.keys() == {"revision", "time", "entries"}
    assert document["entries"][0].keys() == {"path", "kind", "mode", "uid", "gid", "size", "mtime", "sha256", "target"}
    assert (document["entries"][0]["mode"], document["entries"][0]["size"]) == ("0600", len(FIRST))


def test_diff_shows_how_files_differ(shell: Shell, replica: str) -> None:
    shown = shell("diff", replica, "1", "2")

    assert shell.code == 0
    assert "-  host: broker\n" in shown
    assert "+  host: other\n" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["1", "2"], 1), (["2", "2"], 0), (["1", "2", "--path", "www"], 0), (["1", "9"], 5), (["-2", "-1"], 1)],
)
def test_diff_with_exit_code_says_whether_they_differ(
    shell: Shell, replica: str, arguments: list[str], code: int
) -> None:
    shell("diff", replica, *arguments, "--exit-code")

    assert shell.code == code


def test_documents_tell_a_byte_from_the_text_that_shows_it(shell: Shell, tmp_path: Path) -> None:
    tree, replica = tmp_path / "tree", str(tmp_path / "odd")
    tree.mkdir()
    for name in (b"\xff", b"\\xff"):
        (tree / os.fsdecode(name)).write_text("a")
    shell("replicate", "--once", str(tree), replica)

    (logged,) = [json.loads(line) for line in shell("log", replica, "--json").splitlines()]
    listed = json.loads(shell("ls", replica, "--json"))

    for rows in (logged["changes"], listed["entries"]):
        assert [(row["path"], row.get("path_hex")) for row in rows] == [("\\xff", None), ("\\xff", "ff")]
