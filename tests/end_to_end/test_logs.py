"""What the sidecar says: a line for each revision, none for nothing, and never a secret (P12)."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from confstream import SystemClock
from tests.end_to_end.conftest import Replicas
from tests.processes import Process, confstream, run_confstream

_IDLE_SECONDS = 5.0
_QUICK = ("--settle", "0.2s", "--profile", "none")

# Each is the whole of one secret; each edit replaces one by another.
_SECRETS = {
    "canary-mqtt-a": "canary-mqtt-b",
    "canary-rtsp-a": "canary-rtsp-b",
    "canary-key-a": "canary-key-b",
    "$2a$10$canaryA": "$2a$10$canaryB",
    "canaryCertificateA": "canaryCertificateB",
    "canary-wifi-a": "canary-wifi-b",
    "canary-uri-a": "canary-uri-b",
}
_FILES = {
    "config.yml": """\
mqtt:
  host: broker
  password: canary-mqtt-a
go2rtc:
  streams:
    door: [rtsp://admin:canary-rtsp-a@10.0.0.5/s1]
genai:
  api_key: canary-key-a
cameras:
  door:
    detect: {fps: 5}
    ffmpeg:
      inputs:
        - path: rtsp://admin:canary-rtsp-a@10.0.0.5/s2
          roles: [detect]
""",
    "conf/AdGuardHome.yaml": """\
schema_version: 28
users:
  - name: admin
    password: $2a$10$canaryA
tls:
  certificate_chain: |
    -----BEGIN CERTIFICATE-----
    canaryCertificateA
    -----END CERTIFICATE-----
  private_key: |
    -----BEGIN PRIVATE KEY-----
    canaryCertificateA
    -----END PRIVATE KEY-----
""",
    "secrets.yaml": "wifi: canary-wifi-a\n",
    "app.json": '{"database": {"url": "postgres://app:canary-uri-a@db/app"}, "env": ["API_KEY=canary-key-a"]}\n',
}


def _write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)


def _lines_of(writer: Process, number: int) -> list[str]:
    return [line for line in writer.so_far.stderr.splitlines() if f"revision {number}" in line]


def _wait_for_revision(writer: Process, number: int) -> str:
    writer.wait_until(lambda: _lines_of(writer, number), f"the line of revision {number}")
    (line,) = _lines_of(writer, number)
    return line


@pytest.mark.parametrize("form", ["text", "json"])
def test_p12_no_secret_that_is_edited_is_ever_logged_or_printed(form: str, tree: Path, replicas: Replicas) -> None:
    replica = replicas.make()
    files = dict(_FILES)
    _write(tree, files)
    said = ""

    with confstream("replicate", tree, replica, *_QUICK, "--log-format", form) as writer:
        _wait_for_revision(writer, 1)
        for number, (old, new) in enumerate(_SECRETS.items(), start=2):
            changed = {name: text.replace(old, new) for name, text in files.items() if old in text}
            files |= changed
            _write(tree, changed)
            line = _wait_for_revision(writer, number)
            assert "***" in line or "(secret)" in line or "lines)" in line, line
        # And where the file does not parse on both sides.
        _write(tree, {"config.yml": files["config.yml"] + "mqtt: {password: canary-mqtt-c\n"})
        assert "is invalid (config.yml:" in _wait_for_revision(writer, number + 1)
        ended = writer.stop()

    assert ended.code == 0, ended
    said += ended.stdout + ended.stderr
    for command in (("log",), ("show",), ("show", "2"), ("status",), ("diff", "1"), ("log", "--json")):
        said += str(run_confstream(command[0], replica, *command[1:]))
    assert "canary" not in said, [line for line in said.splitlines() if "canary" in line]
    if form == "json":
        assert all(json.loads(line)["event"] for line in ended.stderr.splitlines())


def test_an_edit_is_one_line_and_idleness_is_none(tree: Path, replicas: Replicas) -> None:
    _write(tree, _FILES)
    often = ("--heartbeat", "1s", "--scan-interval", "1s")

    with confstream("replicate", tree, replicas.make(), *_QUICK, *often) as writer:
        _wait_for_revision(writer, 1)
        before = writer.so_far.stderr
        # Nothing is waited for: that nothing is said for so long is what is tested.
        SystemClock().wait(threading.Event(), _IDLE_SECONDS)
        idle = writer.so_far.stderr[len(before) :]
        _write(tree, {"config.yml": _FILES["config.yml"].replace("fps: 5", "fps: 10")})
        line = _wait_for_revision(writer, 2)
        assert writer.stop().code == 0

    assert idle == ""
    assert line.endswith("revision 2: config.yml: cameras.door.detect.fps 5 → 10 (replicate)")


def test_a_json_line_says_to_a_program_what_happened(tree: Path, replicas: Replicas) -> None:
    replica = replicas.make()
    _write(tree, _FILES)

    with confstream("replicate", tree, replica, *_QUICK, "--log-format", "json") as writer:
        _wait_for_revision(writer, 1)
        _write(tree, {"config.yml": "mqtt: {host: a, host\n"})
        _wait_for_revision(writer, 2)
        rows: list[dict[str, Any]] = [json.loads(line) for line in writer.stop().stderr.splitlines()]

    (row,) = [row for row in rows if row.get("position") == 2 and row["event"] == "revision_published"]
    assert (row["level"], row["stream"], row["path"], row["verdict"]) == ("warning", "tree", "config.yml", "invalid")
    assert row["reasons"][0].startswith("config.yml:2:1: ")
    assert rows[-1]["event"] == "stopped"


def test_a_command_that_fails_says_so_as_json_too(tmp_path: Path) -> None:
    ended = run_confstream("replicate", tmp_path / "nowhere", tmp_path / "replica", "--log-format", "json")

    last = json.loads(ended.stderr.splitlines()[-1])
    assert ended.code == 2
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "error", 2)
    assert "is not a directory" in last["error"]


def test_lines_of_text_name_the_stream_where_a_file_has_several(tmp_path: Path, replicas: Replicas) -> None:
    names = ("frigate", "zigbee")
    lines = ["streams:"]
    for name in names:
        _write(tmp_path / name, {"config.yml": "cameras: {}\n"})
        lines += [f"  {name}: {{tree: {tmp_path / name}, replica: {replicas.make()}, settle: 200ms}}"]
    _write(tmp_path, {"confstream.yml": "\n".join(lines)})

    with confstream("replicate", "--config", tmp_path / "confstream.yml") as writer:
        for name in names:
            writer.wait_for_line(f"[{name}] revision 1: + config.yml (12 B)")
        ended = writer.stop()

    own = [line for line in ended.stderr.splitlines() if " INFO " in line or " WARNING " in line]
    assert [line for line in own if not any(f" [{name}] " in line for name in names)] == []
