"""Commands as a person or a script meets them: what they print, what they end with, and what they never show."""

import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from confstream import Journal, Status, Verdict
from confstream.store.local import LocalStore
from tests.commands import CANARY, FIRST, SECOND, Shell, ShiftedClock, make_replica, on_terminal
from tests.processes import run_confstream
from tests.restoring import Replica, contents

# The code of the commands, and of what only whole processes do, runs nowhere else.
pytestmark = pytest.mark.measured_processes


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(capfdbinary)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_replica(tmp_path_factory.mktemp("replica") / "replica")


@pytest.mark.parametrize(
    "arguments",
    [
        ["log", "REPLICA"],
        ["log", "REPLICA", "--json"],
        ["show", "REPLICA", "2"],
        ["show", "REPLICA", "2", "--json"],
        ["show", "REPLICA", "1"],
        ["diff", "REPLICA", "1", "2"],
        ["status", "REPLICA"],
        ["status", "REPLICA", "--json"],
        ["verify", "REPLICA"],
        ["ls", "REPLICA"],
        ["restore", "REPLICA", "TREE", "--dry-run"],
        ["restore", "REPLICA", "TREE", "--dry-run", "--json"],
        ["restore", "REPLICA", "TREE"],
    ],
)
def test_p12_no_command_shows_a_secret_of_the_configuration(
    shell: Shell, replica: str, tmp_path: Path, arguments: list[str]
) -> None:
    shell(*(argument.replace("REPLICA", replica).replace("TREE", str(tmp_path / "tree")) for argument in arguments))

    assert shell.code == 0
    assert CANARY not in shell.out + shell.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["log", "ABSENT"], 10),
        (["status", "ABSENT"], 10),
        (["verify", "ABSENT"], 10),
        (["compact", "ABSENT"], 10),
        (["show", "REPLICA", "9"], 5),
        (["show", "REPLICA", "no-such-tag"], 5),
        (["cat", "REPLICA", "absent.yml"], 5),
        (["cat", "REPLICA", "www"], 5),
        (["ls", "REPLICA", "absent"], 5),
        (["cat", "REPLICA", "config.yml", "--timestamp", "2999-01-01"], 2),
        (["cat", "REPLICA", "config.yml", "--timestamp", "nonsense"], 2),
        (["cat", "REPLICA", "config.yml", "--timestamp", "2001-01-01"], 5),
        (["cat", "REPLICA", "config.yml", "--timestamp", "2h", "--revision", "1"], 2),
        (["cat", "REPLICA"], 2),
        (["log", "REPLICA", "a", "--path", "b"], 2),
        (["log", "REPLICA", "--timeout", "soon"], 2),
        (["status", "REPLICA", "--max-lag", "0"], 2),
        (["tag", "REPLICA", "latest"], 2),
        (["restore", "REPLICA", "TREE", "--owner", "me"], 2),
        (["restore", "REPLICA", "TREE", "--owner", "1:1", "--no-owner"], 2),
        (["restore", "REPLICA", "TREE", "--to-stdout"], 2),
        (["restore", "REPLICA", "TREE", "--profile", "frigat"], 2),
        (["restore", "ABSENT", "TREE"], 10),
        (["replicate", "TREE"], 2),
        (["replicate", "TREE", "REPLICA", "--exec", "'"], 2),
        (["replicate", "TREE", "REPLICA", "--log-format", "xml"], 2),
        (["show", "REPLICA", "--typo"], 2),
    ],
)
def test_a_command_that_cannot_be_done_says_why_with_its_code(
    shell: Shell, replica: str, tmp_path: Path, arguments: list[str], code: int
) -> None:
    names = {"REPLICA": replica, "ABSENT": str(tmp_path / "absent"), "TREE": str(tmp_path / "tree")}

    shell(*(names.get(argument, argument) for argument in arguments))

    assert (shell.code, shell.out) == (code, ""), shell.err
    assert shell.err.startswith("confstream: ")


def test_the_replica_may_come_from_the_environment(
    shell: Shell, replica: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONFSTREAM_REPLICA", replica)

    assert len(shell("log", "www", "--json").splitlines()) == 1
    assert shell("show", "1").startswith("revision 1\n")
    assert shell("show").startswith("revision 3, the latest\n")
    assert shell("cat", "www/index.html") == "<p>hello</p>\n"
    assert "+  host: other" in shell("diff", "1", "2")
    assert "restored revision 2" in shell("restore", tmp_path / "tree")
    shell("log", tmp_path / "absent")
    assert shell.code == 10, "a path that begins with / is a replica"


def test_status_has_a_stable_document(shell: Shell, replica: str) -> None:
    document = shell.json("status", replica)

    assert document.keys() == {
        *("replica", "revision", "time", "age_seconds", "latest_good", "doubtful", "doubtful_count", "unpacked"),
        *("tags", "writers", "forks", "journal", "stale"),
    }
    assert (document["revision"], document["latest_good"], document["unpacked"]) == (3, 2, 3)
    assert [one["revision"] for one in document["doubtful"]] == [3]
    assert document["tags"] == ["before-upgrade"]
    assert document["forks"] == [{"fork": "w1-1", "first": 4, "last": 4}]
    assert document["writers"][0].keys() == {
        *("writer", "host", "epoch", "revision", "time", "age_seconds", "interval_seconds", "lag_seconds"),
        *("released", "version", "late", "fresh"),
    }


def test_status_for_a_person_names_what_matters(shell: Shell, replica: str) -> None:
    shown = shell("status", replica)

    assert re.search(r"^doubtful +3 is suspicious: config.yml became blank$", shown, re.MULTILINE)
    assert re.search(r"^writer w1 +alive, seen \d+s ago on host at revision 3, nothing pending", shown, re.MULTILINE)
    assert re.search(r"^fork w1-1 +revisions 4 to 4", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("age_seconds", "released", "state"),
    [(800, False, "alive"), (1000, False, "late"), (1000, True, "stopped")],
)
def test_p7_a_writer_that_stopped_showing_itself_is_late_without_any_bound(
    shell: Shell, tmp_path: Path, age_seconds: int, released: bool, state: str
) -> None:
    made = Replica(LocalStore(tmp_path / "replica"))
    made.publish({"config.yml": FIRST})
    made.publisher._clock = ShiftedClock(-age_seconds)
    made.publisher.beat(300.0, 0.0, "0.1", released=released)

    assert re.search(rf"^writer w1 +{state}, seen ", shell("status", tmp_path / "replica"), re.MULTILINE)
    assert shell.json("status", tmp_path / "replica")["writers"][0]["late"] is (state == "late")


def test_status_names_the_first_reason_of_each_doubt_and_counts_the_rest(shell: Shell, tmp_path: Path) -> None:
    made = Replica(LocalStore(tmp_path / "replica"))
    made.publish({"config.yml": FIRST})
    for number in range(7):
        reasons = (f"{number}.yml:1:1: token: canary-7261", "more", "and more")
        made.publish({"config.yml": FIRST, f"{number}": b"x"}, Verdict(Status.INVALID, reasons))

    shown = shell("status", tmp_path / "replica")

    assert re.search(r"^doubtful +8 is invalid: 6.yml:1:1: token: \*+, and 2 reasons more$", shown, re.MULTILINE), shown
    assert re.search(r"^ +and 2 more, see log$", shown, re.MULTILINE)
    assert "canary-7261" not in shown


@pytest.mark.parametrize(
    ("age_seconds", "lag_seconds", "code"), [(60, 0.0, 0), (1200, 0.0, 15), (60, 1200.0, 15), (None, 0.0, 15)]
)
def test_p7_status_with_a_bound_is_red_unless_a_writer_is_fresh(
    shell: Shell, tmp_path: Path, age_seconds: int | None, lag_seconds: float, code: int
) -> None:
    made = Replica(LocalStore(tmp_path / "replica"))
    made.publish({"config.yml": FIRST})
    if age_seconds is not None:
        made.publisher._clock = ShiftedClock(-age_seconds)
        made.publisher.beat(300.0, lag_seconds, "0.1")

    document = shell.json("status", tmp_path / "replica", "--max-lag", "15m")

    assert shell.code == code
    assert bool(document["stale"]) == bool(code)
    assert bool(shell.err) == bool(code)


def test_status_with_a_tree_looks_at_its_journal(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with Journal.open(tmp_path / "tree", str(tmp_path / "replica")) as journal:
        journal.write("config.yml", "a: 1\n")

    document = shell.json("status", tmp_path / "replica", "--tree", tmp_path / "tree")

    assert document["journal"].keys() == {
        *("writer", "pid", "revision", "pending", "pending_bytes", "lag_seconds", "fenced_by"),
    }
    assert (document["journal"]["revision"], document["journal"]["pending"]) == (1, 0)
    assert re.search(
        r"^journal +nothing pending, revision 1 confirmed", shell(*_words("status", tmp_path)), re.MULTILINE
    )


def test_status_with_a_tree_that_has_no_journal_says_so(shell: Shell, replica: str, tmp_path: Path) -> None:
    document = shell.json("status", replica, "--tree", tmp_path)

    assert (shell.code, document["journal"]) == (0, None)
    assert "no journal" in shell.err


def test_verify_of_a_whole_replica_says_what_it_proved(shell: Shell, replica: str) -> None:
    assert "1 to 3 can be restored" in shell("verify", replica)
    document = shell.json("verify", replica, "--quick")

    assert document.keys() == {
        *("replica", "ok", "quick", "first", "head", "revisions", "restorable", "lost", "problems", "objects", "bytes"),
    }
    assert (document["ok"], document["restorable"], document["quick"]) == (True, [[1, 3]], True)


def test_p9_verify_of_a_damaged_replica_is_14_and_names_the_object(shell: Shell, tmp_path: Path) -> None:
    made = Replica(LocalStore(tmp_path / "replica"))
    for number in range(3):
        made.publish({"config.yml": b"a: %d\n" % number})
    damaged = tmp_path / "replica" / "log" / f"{2:020d}"
    damaged.chmod(stat.S_IRUSR | stat.S_IWUSR)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    document = shell.json("verify", tmp_path / "replica")

    assert shell.code == 14
    assert not document["ok"]
    assert document["problems"][0]["key"] == f"log/{2:020d}"
    assert "revisions 1" in shell.err
    shell("verify", tmp_path / "replica")
    assert f"log/{2:020d}" in shell.out


def test_compact_says_what_it_would_do(shell: Shell, replica: str) -> None:
    assert shell.json("compact", replica, "--dry-run").keys() == {"dry_run", "packs", "deleted", "waiting", "strays"}
    assert shell("compact", replica, "--dry-run")


def test_a_tag_names_a_revision_for_ever(shell: Shell, tmp_path: Path) -> None:
    made, place = Replica(LocalStore(tmp_path / "replica")), tmp_path / "replica"
    made.publish({"config.yml": FIRST})
    made.publish({"config.yml": SECOND})

    assert shell.json("tag", place, "good", "--revision", "1") == {"tag": "good", "revision": 1}
    assert shell("cat", place, "config.yml", "--revision", "good").encode() == FIRST
    assert shell("tag", place, "good", "--revision", "1") == "tag good names revision 1\n"
    shell("tag", place, "good")
    assert (shell.code, shell.out) == (4, "")
    assert shell("log", place, "--json")
    assert shell("cat", place, "config.yml", "--revision", "good").encode() == FIRST


def test_p10_restore_takes_the_newest_good_revision_and_names_what_it_left_out(
    shell: Shell, replica: str, tmp_path: Path
) -> None:
    shown = shell("restore", replica, tmp_path / "tree", "--no-owner")

    assert shell.code == 0
    assert shown.startswith("restored revision 2: ")
    assert "skipped revision 3, suspicious (config.yml became blank); --revision 3 selects it" in shell.err
    assert (tmp_path / "tree" / "config.yml").read_bytes() == SECOND
    assert contents(tmp_path / "tree")["link"] == "www/index.html"


def test_a_configuration_with_a_file_that_never_was_valid_comes_back_with_a_warning(
    shell: Shell, tmp_path: Path
) -> None:
    tree, place = tmp_path / "tree", tmp_path / "replica"
    tree.mkdir()
    (tree / "config.yml").write_bytes(FIRST)
    (tree / "template.yaml").write_bytes(b"{{ if .Values.on }}\na: 1\n{{ end }}\n")
    shell("replicate", "--once", tree, place)
    shutil.rmtree(tree)
    tree.mkdir()

    shell("restore", "--if-missing", place, tree)

    assert shell.code == 0, shell.err
    assert "revision 1 is invalid (template.yaml:" in shell.err
    assert (tree / "config.yml").read_bytes() == FIRST


def test_restore_has_a_stable_document(shell: Shell, replica: str, tmp_path: Path) -> None:
    document = shell.json("restore", replica, tmp_path / "tree", "--revision", "1")

    assert document.keys() == {
        *("outcome", "why", "replica", "revision", "hash", "time", "skipped", "actions", "warnings", "written"),
        *("removed", "kept", "not_owned", "recorded", "aside", "diff"),
    }
    assert (document["outcome"], document["revision"]) == ("restored", 1)


def test_p1_restore_refuses_what_is_in_no_revision_and_force_records_it_first(shell: Shell, tmp_path: Path) -> None:
    made, place, tree = Replica(LocalStore(tmp_path / "replica")), tmp_path / "replica", tmp_path / "tree"
    made.publish({"config.yml": FIRST})
    tree.mkdir()
    (tree / "config.yml").write_bytes(b"mine\n")

    shell("restore", place, tree)
    assert shell.code == 4
    assert (tree / "config.yml").read_bytes() == b"mine\n"
    shell("restore", place, tree, "--force")
    assert (shell.code, (tree / "config.yml").read_bytes()) == (0, FIRST), shell.err
    assert "what is replaced is kept in the local journal" in shell.err

    shell("replicate", "--once", "--settle", "10ms", tree, place)
    assert shell.code == 0, shell.err
    shell("cat", place, "config.yml", "--revision", "-1")
    assert shell.raw == b"mine\n"
    shell("cat", place, "config.yml")
    assert shell.raw == FIRST


def test_restore_prints_one_file_without_touching_a_directory(shell: Shell, replica: str) -> None:
    shell("restore", replica, "--path", "config.yml", "--to-stdout", "--revision", "1")

    assert shell.raw == FIRST


@pytest.mark.parametrize(
    "hostile",
    [b"new\nline", b"\x1b[2Jcleared", b"not-\xff-utf8", "bidi-\u202e-turned".encode()],
)
def test_no_name_of_a_file_drives_the_terminal(shell: Shell, tmp_path: Path, hostile: bytes) -> None:
    made, name = Replica(LocalStore(tmp_path / "replica")), os.fsdecode(hostile)
    made.publish({name: b"a: 1\n"})

    for command in (["log"], ["show"], ["ls"], ["restore", str(tmp_path / "tree"), "--dry-run"]):
        shell(command[0], tmp_path / "replica", *command[1:])
        assert shell.code == 0
        assert not set("\x1b\u202e") & set(shell.out + shell.err)
        assert all(line.isprintable() for line in (shell.out + shell.err).splitlines())


@pytest.mark.parametrize(
    ("arguments", "columns"), [(["log"], 40), (["log"], 200), (["show", "2"], 80), (["verify"], 80), (["status"], 80)]
)
def test_a_terminal_has_colours_unless_they_are_not_wanted(
    shell: Shell, replica: str, arguments: list[str], columns: int
) -> None:
    command = [arguments[0], replica, *arguments[1:]]

    coloured = on_terminal(command, columns)
    plain = on_terminal(command, columns, NO_COLOR="1")
    piped = shell(*command)

    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    assert "\x1b" not in piped
    if arguments[0] == "log":
        assert max(len(line) for line in plain.splitlines()) <= columns


def test_log_on_a_terminal_ends_after_fifty_and_says_so(tmp_path: Path) -> None:
    made = Replica(LocalStore(tmp_path / "replica"))
    for number in range(52):
        made.publish({"config.yml": b"a: %d\n" % number})

    shown = on_terminal(["log", str(tmp_path / "replica")], 100, NO_COLOR="1")

    assert "  3  " in shown
    assert "  2  " not in shown.replace("  2 more", "")
    assert "--limit 0 shows all" in shown


def test_log_on_a_terminal_leaves_nothing_out_of_a_reason_or_of_what_changed(replica: str) -> None:
    shown = on_terminal(["log", replica, "--keys"], 60, NO_COLOR="1")

    assert max(len(line) for line in shown.splitlines()) <= 60
    words = " ".join(shown.split())
    assert "suspicious config.yml: became blank config.yml became blank" in words
    assert "config.yml: mqtt.host broker → other, mqtt.password *** → ***" in words


def test_replicate_prints_its_settings_without_secrets_and_logs_json_lines(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "config.yml").write_bytes(FIRST)

    done = run_confstream(
        *("replicate", "--once", "--settle", "10ms", "--log-format", "json"), tmp_path / "tree", tmp_path / "replica"
    )

    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.code, done.stdout) == (0, "")
    assert all(row.keys() >= {"ts", "level", "event", "stream", "logger", "message"} for row in rows)
    assert [rows[0]["event"], rows[-1]["event"]] == ["started", "stopped"]
    assert {row["event"] for row in rows[1:-1]} >= {"replica_created", "watching", "revision_published"}
    assert {row["stream"] for row in rows[1:]} == {"tree"}
    assert "settle 0.01s" in rows[0]["message"]
    assert CANARY not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_replicate_says_which_files_it_cannot_protect(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "config.yml").write_bytes(FIRST)
    (tmp_path / "tree" / "secret.yml").write_bytes(FIRST)
    (tmp_path / "tree" / "secret.yml").chmod(0)

    done = run_confstream("replicate", "--once", "--settle", "10ms", tmp_path / "tree", tmp_path / "replica")

    assert done.code == 3, done
    assert "secret.yml" in done.stderr


def _words(command: str, folder: Path) -> list[str]:
    return [command, str(folder / "replica"), "--tree", str(folder / "tree")]
