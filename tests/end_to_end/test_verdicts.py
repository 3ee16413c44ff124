"""Verdicts from the application's write to the operator's screen, on real files and by real commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from confstream import Status
from tests.end_to_end.conftest import Replicas
from tests.histories import BUNDLES, GitHistory, git
from tests.processes import confstream, run_confstream
from tests.servers import environment, free_port

_OPTIONS = ("--settle", "0.2s", "--heartbeat", "0")
_REAL = "mqtt:\n  host: broker\ncameras:\n  door:\n    ffmpeg: {inputs: [{path: rtsp://a/b, roles: [detect]}]}\n" * 2
_DEFAULT = "mqtt:\n  enabled: false\ncameras: {}\n"
_LIKE = {"frenck_home-assistant-config", "dubhad_home-assistantconfig", "htpcbeginner_docker-traefik"}


def test_defaults_that_an_application_wrote_after_a_failed_restore_are_doubted_and_not_restored(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    replica, volume = replicas.make(), tmp_path / "volume"
    (tree / "config.yml").write_text(_REAL.replace("mqtt:\n  host: broker\n", "", 1))
    good = (tree / "config.yml").read_bytes()
    assert run_confstream("replicate", "--once", tree, replica, *_OPTIONS).code == 0
    volume.mkdir()
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    failed = run_confstream("restore", "--if-missing", "--timeout", "1s", "s3://a/b", volume, environment=nowhere)
    assert failed.code == 16, failed
    # Whoever ignores that starts the application, which writes what it takes for a configuration, and edits it.
    (volume / "config.yml").write_text(_DEFAULT)
    with confstream("replicate", volume, replica, *_OPTIONS) as writer:
        line = writer.wait_for_line("config.yml shrank from")
        (volume / "config.yml").write_text(_DEFAULT + "version: 0.16-0\n")
        onlooker = replicas.look_at(replica)
        onlooker.wait_for_file("config.yml", (volume / "config.yml").read_bytes(), writer)
        assert writer.stop().code == 0

    assert "WARNING" in line
    assert [entry.verdict.status for entry in onlooker.log()] == [Status.OK, Status.SUSPICIOUS, Status.SUSPICIOUS]
    again = run_confstream("restore", "--if-missing", replica, tmp_path / "next")
    assert again.code == 0, again
    assert (tmp_path / "next" / "config.yml").read_bytes() == good
    # Going back ends the doubt.
    assert run_confstream("restore", "--force", replica, volume).code == 0
    assert run_confstream("replicate", "--once", volume, replica, *_OPTIONS).code == 0
    assert onlooker.log()[-1].verdict.status is Status.OK


def test_an_invalid_edit_that_is_rolled_back_ends_right_and_says_no_more_than_happened(
    replicas: Replicas, tree: Path
) -> None:
    # Frigate's /config/set writes first, validates then, and writes the old text back.
    onlooker = replicas.look_at(replicas.make())
    config = tree / "config.yml"
    config.write_text("cameras:\n  door: {}\n")
    with confstream("replicate", tree, onlooker.url, *_OPTIONS) as writer:
        onlooker.wait_for_file("config.yml", config.read_bytes(), writer)
        for _ in range(10):
            config.write_text("cameras:\n  door: {\n")
            config.write_text("cameras:\n  door: {}\n")
        config.write_text("cameras:\n  door: {fps: 5}\n")
        onlooker.wait_for_file("config.yml", config.read_bytes(), writer)
        ended = writer.stop()

    assert ended.code == 0, ended
    log = onlooker.log()
    assert log[-1].verdict.status is Status.OK
    # It truncates first, too: what was captured then is doubted as blank.
    doubted = [entry for entry in log if entry.verdict.status is not Status.OK]
    alerts = [line for line in ended.stderr.splitlines() if " WARNING " in line or " ERROR " in line]
    assert len(alerts) <= len(doubted), alerts
    assert json.loads(run_confstream("status", onlooker.url, "--json").stdout)["latest_good"] == log[-1].number


@pytest.mark.parametrize("name", BUNDLES)
def test_files_of_real_histories_replicate_whether_or_not_they_are_yaml_and_are_called_what_they_are(
    name: str, replicas: Replicas, tree: Path, load_history: Callable[[str], GitHistory]
) -> None:
    history = load_history(name)
    if not history.origin.startswith("bundle"):
        pytest.skip(f"the bundle {name} is not there, and a generated history proves nothing about real files")
    legal, broken = _strange_files(history)
    for number, content in enumerate(legal):
        (tree / f"legal-{number}.yml").write_bytes(content)
    for number, content in enumerate(broken):
        (tree / f"broken-{number}.yml").write_bytes(content)
    (tree / "any.yml").write_bytes(b"a: 1\n")
    onlooker = replicas.look_at(replicas.make())

    done = run_confstream("replicate", "--once", tree, onlooker.url, "--profile", "none", *_OPTIONS)

    assert done.code == 0, done
    assert {entry.path for entry in onlooker.tree().files} == {path.name.encode() for path in tree.glob("*.yml")}
    reasons = onlooker.log()[-1].verdict.reasons
    blamed = sorted({reason.split(":")[0] for reason in reasons})
    assert blamed == [f"broken-{number}.yml" for number in range(len(broken))]
    for number, (content, reason) in enumerate(zip(broken, sorted(reasons), strict=True)):
        with pytest.raises(yaml.MarkedYAMLError) as raised:
            list(yaml.parse(content, yaml.CSafeLoader))
        mark = raised.value.problem_mark
        assert mark is not None
        assert reason.startswith(f"broken-{number}.yml:{mark.line + 1}:{mark.column + 1}: ")
    assert bool(legal) == (name in _LIKE)


def _strange_files(history: GitHistory) -> tuple[list[bytes], list[bytes]]:
    """Return at most nine files that only their application can construct, and nine that are no YAML."""
    legal: list[bytes] = []
    broken: list[bytes] = []
    listed = git(history.repository, "rev-list", "--objects", "--all").splitlines()
    named = [line.split(b" ", 1) for line in listed if line.endswith((b".yml", b".yaml"))]
    for digest, _ in named[:: max(1, len(named) // 300)]:
        content = git(history.repository, "cat-file", "blob", digest.decode())
        try:
            list(yaml.parse(content, yaml.CSafeLoader))
        except yaml.MarkedYAMLError:
            broken.append(content)
            continue
        except yaml.YAMLError:
            continue
        try:
            yaml.load(content, yaml.CSafeLoader)
        except yaml.YAMLError:
            legal.append(content)
    return legal[:9], broken[:9]


_BROKEN = {
    "multi.yaml": (b"a: 1\n---\nb: [\n", "multi.yaml:4:1: "),
    ".storage/core.config": (b'{"version": 1,\n "data": }\n', ".storage/core.config:2:10: "),
    "plain.json": (b'{"a": 1\n', "plain.json:2:1: "),
    "lines.jsonl": (b'{"a": 1}\n{"a": \n', "lines.jsonl:2:7: "),
    "settings.toml": (b"[a]\nb = \n", "settings.toml:2:5: "),
    "config.xml": (b"<Config>\n  <A></B>\n</Config>\n", "config.xml:2:8: "),
    "app.ini": (b"a = 1\n[server\n", "app.ini:2:1: "),
}
_LEGAL = {
    "tags.yaml": b"a: !secret b\n<<: !include c\n---\nx: &a 1\ny: &a 2\n",
    ".storage/lovelace": b'{"version": 1}\n',
    "lines.ndjson": b'{"a": 1}\n\n{"b": 2}\n',
    "other.toml": b"a = 1\n",
    "other.xml": b"<a/>\n",
    "grafana.ini": b"key = 1\n[server]\n",
}


def test_every_kind_of_file_is_judged_with_line_and_column_from_the_file_to_the_screen(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    (tree / ".storage").mkdir()
    for name, content in _LEGAL.items():
        (tree / name).write_bytes(content)
    for name in _BROKEN:
        (tree / name).write_bytes(b"")
    assert run_confstream("replicate", "--once", tree, replica, "--profile", "none", *_OPTIONS).code == 0
    for name, (content, _) in _BROKEN.items():
        (tree / name).write_bytes(content)

    done = run_confstream("replicate", "--once", tree, replica, "--profile", "none", *_OPTIONS)

    assert done.code == 0, done
    first, second = replicas.look_at(replica).log()
    assert first.verdict.status is Status.OK
    assert sorted(reason.split(": ")[0] + ": " for reason in second.verdict.reasons) == sorted(
        place for _, place in _BROKEN.values()
    )
    rows = json.loads(run_confstream("log", replica, "--json", "--limit", "1").stdout)
    status = json.loads(run_confstream("status", replica, "--json").stdout)
    assert rows["verdict"] == {"status": "invalid", "reasons": list(second.verdict.reasons)}
    assert status["doubtful"][0]["reasons"] == list(second.verdict.reasons)
    shown = run_confstream("show", replica).stdout
    assert [place for _, place in _BROKEN.values() if place not in shown] == []


def test_p10_what_became_blank_shrank_or_is_gone_is_doubted_with_its_reason(replicas: Replicas, tree: Path) -> None:
    replica = replicas.make()
    for number in range(8):
        (tree / f"{number}.txt").write_text(f"{number}\n" * 2000)
    command = ("replicate", "--once", tree, replica, "--profile", "none", *_OPTIONS)
    assert run_confstream(*command).code == 0
    (tree / "0.txt").write_text(" \n")
    (tree / "1.txt").write_text("1\n" * 900)
    assert run_confstream(*command).code == 0
    for number in range(2, 7):
        (tree / f"{number}.txt").unlink()
    assert run_confstream(*command).code == 0

    said = {entry.number: (entry.verdict.status, entry.verdict.reasons) for entry in replicas.look_at(replica).log()}
    assert said[2] == (Status.SUSPICIOUS, ("0.txt became blank", "1.txt shrank from 4000 to 1800 bytes"))
    assert said[3] == (Status.SUSPICIOUS, ("5 of 8 files are gone", "still blank: 0.txt"))
    assert json.loads(run_confstream("status", replica, "--json").stdout)["latest_good"] == 1
