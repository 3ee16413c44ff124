"""``confstream.yml`` with the real commands: several directories in one process, and everything that the file says."""

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.endpoints import Endpoints
from tests.processes import Finished, Process, confstream, run_confstream

# The code of the commands, and of what only whole processes do, runs nowhere else.
pytestmark = pytest.mark.measured_processes


@pytest.fixture(name="places")
def _places(tmp_path: Path, replicas: Replicas) -> dict[str, tuple[Path, str]]:
    """Give a tree with one file, and a replica, for each of two streams."""
    found = {}
    for name in ("frigate", "zigbee"):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "config.yml").write_text(f"cameras: {{}}\nname: {name}\n")
        found[name] = (tree, replicas.make())
    return found


def _file(
    tmp_path: Path, places: dict[str, tuple[Path, str]], more: dict[str, str] | None = None, top: str = ""
) -> Path:
    lines = [top, "streams:"]
    for name, (tree, replica) in places.items():
        lines += [f"  {name}:", f"    tree: {tree}", f"    replica: {replica}", "    settle: 200ms", "    heartbeat: 0"]
        lines += [f"    {line}" for line in (more or {}).get(name, "").splitlines()]
    file = tmp_path / "confstream.yml"
    file.write_text("\n".join(lines) + "\n")
    return file


def _until_there(replicas: Replicas, place: tuple[Path, str], process: Process, text: str) -> None:
    (place[0] / "config.yml").write_text(text)
    replicas.look_at(place[1]).wait_for_file("config.yml", text.encode(), process)


def test_one_process_protects_every_directory_of_the_file(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    file = _file(tmp_path, places, {"frigate": "labels: {site: home}"}, "log_format: json")

    with confstream("replicate", "--config", file) as process:
        for name, place in places.items():
            _until_there(replicas, place, process, f"cameras: {{}}\nchanged: {name}\n")
        ended = process.stop()

    assert ended.code == 0, ended
    rows = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {row["stream"] for row in rows if row["event"] == "revision_published"} == {"frigate", "zigbee"}
    labels = {name: replicas.look_at(place[1]).log()[-1].authorship.labels for name, place in places.items()}
    assert labels == {"frigate": {"site": "home"}, "zigbee": {}}


def test_a_stream_that_cannot_go_on_does_not_end_the_others_and_is_the_exit_code(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    places["frigate"][0].rename(tmp_path / "elsewhere")
    file = _file(tmp_path, places)

    with confstream("replicate", "--config", file) as process:
        process.wait_for_line("frigate ended, the others go on")
        _until_there(replicas, places["zigbee"], process, "cameras: {}\nb: 2\n")
        ended = process.stop()

    assert ended.code == 2, ended
    assert "confstream: frigate: " in ended.stderr.splitlines()[-1]


def test_p5_a_fenced_stream_stands_by_and_goes_on_while_others_go_on(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    rival = tmp_path / "rival"
    rival.mkdir()
    (rival / "config.yml").write_text("cameras: {}\nrival: 1\n")
    file = _file(tmp_path, places)
    tree, replica = places["frigate"]
    with confstream("replicate", "--config", file) as process:
        _until_there(replicas, places["frigate"], process, "cameras: {}\na: 1\n")
        with confstream("replicate", rival, replica, "--settle", "0.2s", "--heartbeat", "1s") as other:
            replicas.look_at(replica).wait_for_file("config.yml", b"cameras: {}\nrival: 1\n", other)
            (tree / "config.yml").write_text("cameras: {}\na: 2\n")
            process.wait_for_line("standing by")
            _until_there(replicas, places["zigbee"], process, "cameras: {}\nb: 2\n")
            assert other.stop().code == 0
        replicas.look_at(replica).wait_for_file("config.yml", b"cameras: {}\na: 2\n", process)
        ended = process.stop()

    assert ended.code == 0, ended


def test_what_is_given_on_the_command_line_counts_more_than_a_variable_and_that_more_than_the_file(
    places: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    file = _file(tmp_path, places, {"frigate": "timeout: 3s\nscan_interval: 4s\nexclude: from-file"})

    variables = {"CONFIG": str(file), "SCAN_INTERVAL": "5s", "EXCLUDE": "of-variable"}

    done = run_confstream(
        *("replicate", "--once", "--stream", "frigate", "--scan-interval", "6s"),
        environment={f"CONFSTREAM_{name}": value for name, value in variables.items()},
    )

    assert done.code == 0, done
    (line,) = [line for line in done.stderr.splitlines() if "confstream settings" in line]
    assert "timeout 3s" in line
    assert "scan 6s" in line
    assert "exclude of-variable" in line
    assert "zigbee" not in done.stderr


def test_all_directories_that_are_missing_are_restored_and_the_others_left_alone(
    places: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    file = _file(tmp_path, places)
    assert run_confstream("replicate", "--once", "--config", file).code == 0
    (places["frigate"][0] / "config.yml").unlink()
    (places["zigbee"][0] / "config.yml").write_text("cameras: {}\nnewer: 1\n")

    done = run_confstream("restore", "--if-missing", "--config", file)
    refused = run_confstream("restore", "--config", file)

    assert done.code == 0, done
    assert (places["frigate"][0] / "config.yml").read_text() == "cameras: {}\nname: frigate\n"
    assert (places["zigbee"][0] / "config.yml").read_text() == "cameras: {}\nnewer: 1\n"
    assert (refused.code, "name it with --stream: frigate, zigbee" in refused.stderr) == (2, True)


def test_a_restore_that_fails_for_one_directory_is_done_for_the_others(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    file = _file(tmp_path, places)
    assert run_confstream("replicate", "--once", "--config", file, "--stream", "zigbee").code == 0
    for tree, _ in places.values():
        (tree / "config.yml").unlink()

    done = run_confstream("restore", "--if-missing", "--config", file)

    assert done.code == 10, done
    assert (places["zigbee"][0] / "config.yml").exists()
    assert replicas.look_at(places["frigate"][1]).head == 0


def test_every_command_about_a_replica_takes_that_of_a_stream(
    places: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    file = _file(tmp_path, places)
    assert run_confstream("replicate", "--once", "--config", file).code == 0

    for command in [("log",), ("status",), ("verify",), ("ls",), ("cat", "config.yml"), ("show", "1")]:
        done = run_confstream(*command, "--config", file, "--stream", "zigbee")
        assert done.code == 0, done
        unnamed = run_confstream(*command, "--config", file)
        assert (unnamed.code, "name one of frigate, zigbee" in unnamed.stderr) == (2, True)
    unknown = run_confstream("log", "--config", file, "--stream", "zigbe")
    assert (unknown.code, "did you mean 'zigbee'" in unknown.stderr) == (2, True)


def _check(file: Path, *more: str) -> Finished:
    return run_confstream("config", "check", "--config", file, *more)


def test_config_check_says_what_would_be_done_and_what_is_broken(
    places: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    good = _check(_file(tmp_path, places), "--json")
    broken = _check(
        _file(tmp_path, places, {"frigate": "validators: {mine: {command: no-such, patterns: a, good: a, bad: b}}"})
    )
    mistaken = _check(_file(tmp_path, places, {"frigate": "exlude: a"}))

    assert good.code == 0, good
    assert [row["profile"] for row in json.loads(good.stdout)["streams"]] == ["frigate", "frigate"]
    assert (broken.code, "mine: the program no-such is not there" in broken.stderr) == (2, True)
    assert (mistaken.code, "did you mean 'exclude'" in mistaken.stderr) == (2, True)


def test_p12_config_show_has_the_settings_in_force_and_no_secret(
    places: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    file = _file(tmp_path, places, {"frigate": "storage_options: {secret: canary-7261, region: '${REGION}'}"})
    unset = run_confstream("config", "show", "--config", file)

    shown = run_confstream("config", "show", "--config", file, environment={"REGION": "eu-1"})
    document = run_confstream("config", "show", "--config", file, "--json", environment={"REGION": "eu-1"})

    assert (unset.code, "the variable REGION is not set" in unset.stderr) == (2, True)
    assert "canary" not in shown.stdout + document.stdout
    assert json.loads(document.stdout)["streams"]["frigate"]["settle"] == "0.2s"
    file.write_text(shown.stdout.replace("${REGION}", "eu-1"))
    assert run_confstream("config", "show", "--config", file).stdout == shown.stdout.replace("${REGION}", "eu-1")


def test_the_schema_of_the_file_is_printed_for_editors() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(run_confstream("config", "schema").stdout)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert not list(
        jsonschema.Draft202012Validator(schema).iter_errors({"streams": {"a": {"tree": "/a", "replica": "b"}}})
    )


def test_profiles_are_listed_shown_and_detected(places: dict[str, tuple[Path, str]]) -> None:
    listed = run_confstream("profile", "list")
    shown = json.loads(run_confstream("profile", "show", "zigbee2mqtt", "--json").stdout)
    detected = run_confstream("profile", "detect", places["frigate"][0])
    mistaken = run_confstream("profile", "show", "frigat")

    assert listed.stdout.count("\n") == 10
    assert shown["validators"] == {"jsonl": ["/database.db"]}
    assert detected.stdout == "frigate: config.yml has a line 'cameras:'\n"
    assert (mistaken.code, "did you mean 'frigate'" in mistaken.stderr) == (2, True)


def test_p6_validators_of_the_file_judge_and_a_broken_one_is_loud_and_stops_nothing(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    pytest.importorskip("jsonschema")
    schema = tmp_path / "schema.json"
    schema.write_text('{"properties": {"fps": {"maximum": 30}}}')
    program = tmp_path / "check.py"
    program.write_text(
        "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\nsys.exit('forbidden' in path.read_text())\n"
    )
    places = {"frigate": places["frigate"]}
    file = _file(
        tmp_path,
        places,
        {
            "frigate": f"profile: none\nrequired: {{config.yml: [mqtt.host]}}\nvalidators:\n"
            f"  none: ['*.tpl.yml']\n  json: '*.conf'\n"
            f"  limits: {{schema: {schema}, patterns: config.yml, good: 'fps: 5', bad: 'fps: 50'}}\n"
            f"  program: {{command: [{sys.executable}, {program}], patterns: config.yml, good: fine, bad: forbidden}}\n"
            "  lost: {command: [no-such-program], patterns: config.yml, good: a, bad: b}"
        },
    )
    tree = places["frigate"][0]
    (tree / "a.tpl.yml").write_text("{{ if }}: [\n")
    (tree / "app.conf").write_text("{}")
    (tree / "config.yml").write_text("mqtt: {host: a}\nfps: 5\n")
    assert run_confstream("replicate", "--once", "--config", file).code == 0

    (tree / "config.yml").write_text("mqtt: {port: 1}\nfps: 50\nforbidden: 1\n")
    (tree / "app.conf").write_text("{")
    done = run_confstream("replicate", "--once", "--config", file)

    assert done.code == 0, done
    assert (
        "the validator lost is broken, its files are not checked: the program no-such-program is not there"
        in done.stderr
    )
    first, second = replicas.look_at(places["frigate"][1]).log()
    assert first.verdict.status == "ok"
    assert set(second.verdict.reasons) == {
        "app.conf:1:2: Expecting property name enclosed in double quotes",
        "config.yml: program exited with 1",
        "config.yml:2:6: does not satisfy properties/fps/maximum of the schema",
        "config.yml: the required key mqtt.host is missing",
    }
    for command in (("log",), ("show", "2"), ("status",), ("log", "--json")):
        shown = run_confstream(*command, "--config", file).stdout
        assert "invalid" in shown
    assert "config.yml:2:6" in run_confstream("log", "--config", file).stdout


def test_p6_p7_a_program_that_is_not_there_shows_in_log_health_and_metrics_until_it_is_installed(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    onlooker, program = replicas.look_at(replicas.make("seaweed")), tmp_path / "checker"
    lost = (
        f"profile: none\nvalidators:\n  lost: {{command: [{program}], patterns: config.yml, good: a, bad: forbidden}}"
    )
    file = _file(tmp_path, {"frigate": (tree, onlooker.url)}, {"frigate": lost}, "listen: 127.0.0.1:0")
    place = (tree, onlooker.url)

    with confstream("replicate", "--config", file) as process:
        seen = Endpoints(process)
        _until_there(replicas, place, process, "forbidden: 1\n")
        line, reason = process.wait_for_line("the validator lost is broken"), seen.wait_for_reason("validator-broken")
        process.wait_until(lambda: seen.metric("up_to_date") == 1, "it on the replica")
        assert (seen.status, seen.health["code"], seen.metric("validator_ok", validator="lost")) == ("degraded", 200, 0)
        ended = process.stop()
    assert ended.code == 0, ended
    assert all(f"the program {program} is not there" in text for text in (line, reason["what"]))
    assert str(onlooker.log()[-1].verdict.status) == "ok", "not checked is not invalid"

    program.write_text('#!/bin/sh\n! grep -q forbidden "$1"\n')
    program.chmod(0o755)
    with confstream("replicate", "--config", file) as process:
        seen = Endpoints(process)
        _until_there(replicas, place, process, "allowed: 1\n")
        seen.wait_for_health()
        assert seen.metric("validator_ok", validator="lost") == 1
        _until_there(replicas, place, process, "forbidden: 2\n")
        assert "lost exited with 1" in seen.wait_for_reason("doubtful")["what"]
        assert seen.metric("validation_failures_total", validator="lost") == 1
        ended = process.stop()
    assert ended.code == 0, ended
    assert "is broken" not in ended.stderr


def test_both_signals_reach_every_stream(places: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    with confstream("replicate", "--config", _file(tmp_path, places)) as process:
        process.wait_for_line("watching")
        process.signal(signal.SIGINT)
        ended = process.finish()

    assert ended.code == 0, ended
    assert ended.stderr.count("done: revision 1 is on the replica") == 2


def test_p7_health_is_red_for_the_stream_that_ended_and_for_no_other(
    places: dict[str, tuple[Path, str]], replicas: Replicas, tmp_path: Path
) -> None:
    places["frigate"][0].rename(tmp_path / "elsewhere")
    file = _file(tmp_path, places, top="listen: 127.0.0.1:0")

    with confstream("replicate", "--config", file) as process:
        seen = Endpoints(process)
        _until_there(replicas, places["zigbee"], process, "cameras: {}\nb: 2\n")
        seen.wait_for_reason("ended")
        health = seen.health
        metrics = seen.get("/metrics")[1]
        process.stop()

    assert health["code"] == 503
    assert {stream["stream"]: bool(stream["reasons"]) for stream in health["streams"]} == {
        "frigate": True,
        "zigbee": False,
    }
    assert 'stream="frigate"' in metrics
    assert 'stream="zigbee"' in metrics
