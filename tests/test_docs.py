"""README says what is so: its commands run, its Python runs, its tables are those of the code."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from confstream.settings import parse, schema
from confstream.tracking import TrackOptions, track
from confstream_cli.app import EXIT_CODES, app
from tests.torture import __main__ as torture

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def _tested(language: str, text: str = README) -> list[str]:
    return re.findall(rf"<!-- tested -->\n```{language}\n(.*?)```", text, re.DOTALL)


def _first_column(title: str, text: str = README) -> list[str]:
    (table,) = re.findall(rf"^\| {title} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row.split("|")[1].strip() for row in table.splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which ``confstream`` is the command of this source tree."""
    command = tmp_path / "bin" / "confstream"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m confstream_cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}


def test_the_shell_commands_for_a_directory_of_ones_own_run(tmp_path: Path, environment: dict[str, str]) -> None:
    (script,) = _tested("sh")
    place = tmp_path / "place"
    place.mkdir()

    ended = subprocess.run(
        ["sh", "-e", "-c", script], cwd=place, env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert (place / "config" / "config.yml").read_bytes() == b"mqtt:\n  host: broker\n"
    assert "revisions 1 can be restored" in ended.stdout


def test_the_settings_file_is_one_for_the_reader_and_for_editors() -> None:
    (text,) = _tested("yaml")

    settings = parse(text, {"BUCKET": "bucket"}, "README.md")

    assert {name: stream.replica for name, stream in settings.streams.items()} == {
        "frigate": "s3://bucket/frigate",
        "rules": "s3://bucket/rules",
    }
    validators = track("nowhere", TrackOptions(checks=settings.stream("rules").validators)).validators()
    assert validators.for_path(b"rules/a.yml") == ("yaml", "promtool")
    jsonschema = importlib.import_module("jsonschema")
    assert not list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text)))


def test_the_python_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    (program,) = _tested("python")
    (tmp_path / "config").mkdir()

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[:2] == ["2 moved the broker [b'config.yml']", "1  [b'config.yml']"]
    assert ended.stdout.endswith("  host: broker\n\n")


def test_the_table_of_commands_has_every_command_and_no_other() -> None:
    listed = [re.sub(r"[` ].*", "", cell.removeprefix("`")) for cell in _first_column("command")]

    assert sorted(listed) == sorted(command.name or "" for command in app.registered_commands)


def test_the_table_of_exit_codes_has_every_code_and_no_other() -> None:
    codes = {str(code) for code in EXIT_CODES.values()}

    assert _first_column("exit code") == [*sorted({"0", *codes}, key=int), "128+n"]


def test_the_demo_shows_what_it_says() -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "demo" / "demo.py"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "\x1b" not in ended.stdout
    assert "Everything was as it should be" in ended.stdout


def test_the_report_on_reliability_has_every_part_of_the_torture_and_commands_that_can_be_given() -> None:
    listed = {cell.strip("`") for cell in _first_column("part", RELIABILITY)}
    assert torture.parts().keys() <= listed

    (script,) = _tested("sh", RELIABILITY)
    given = [shlex.split(line, comments=True) for line in script.splitlines()]
    commands = [words[3:] for words in given if words[1:3] == ["-m", "tests.torture"]]
    assert commands
    for arguments in commands:
        torture.parse(arguments)
    (made,) = [words for words in given if words[0] == "make"]
    target, name = made[1], made[2].partition("=")[0]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert re.search(rf"^{name} \?=", makefile, re.MULTILINE)


def test_the_command_that_shows_one_history_again_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = _tested("sh", RELIABILITY)
    (line,) = [line for line in script.splitlines() if "--seconds 0 " in line]

    assert torture.main(shlex.split(line, comments=True)[3:]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == []
