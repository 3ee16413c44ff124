"""What holds for every command: exit codes, options and their variables, help, and errors on one line."""

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

import confstream
from confstream_cli import environment
from confstream_cli.app import EXIT_CODES, app, code_of, run
from confstream_cli.commands import EXAMPLES

DESIGN = {
    "ConfstreamError": 1,
    "UsageError": 2,
    "PartialError": 3,
    "RefusedError": 4,
    "NotFoundError": 5,
    "NoReplicaError": 10,
    "FencedError": 11,
    "DivergedError": 12,
    "NoExclusiveCreateError": 13,
    "IntegrityError": 14,
    "StaleError": 15,
    "UnavailableError": 16,
    "AccessDeniedError": 16,
    "OutcomeUnknownError": 16,
}
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands
OPTIONS = [
    pytest.param(name, parameter, id=f"{name}{parameter.opts[0]}")
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.param_type_name == "option"
]


def _ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_public_error_has_the_exit_code_of_the_contract() -> None:
    public = {name for name in confstream.__all__ if name.endswith("Error")}

    assert {kind.__name__: code for kind, code in EXIT_CODES.items()} == DESIGN
    assert public == DESIGN.keys()


@pytest.mark.parametrize("name", DESIGN)
def test_an_error_ends_the_command_with_its_code_and_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error: confstream.ConfstreamError = getattr(confstream, name)("the bucket is on fire; call somebody")
    _fail_with(monkeypatch, error)

    assert _ended(["log", "anywhere"]) == DESIGN[name]
    assert capsys.readouterr() == ("", "confstream: the bucket is on fire; call somebody\n")


def test_an_error_nobody_knows_has_the_code_of_the_nearest_class_above() -> None:
    class NewError(confstream.FencedError):
        pass

    assert code_of(NewError("x")) == DESIGN["FencedError"]


def test_a_fault_of_ours_is_one_line_that_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))

    assert _ended(["log", "anywhere"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("confstream: ZeroDivisionError: division by zero; ")
    assert err.count("\n") == 1
    assert "--debug" in err


@pytest.mark.parametrize("where", ["before", "after", "variable"])
def test_with_debug_a_fault_shows_where_it_comes_from(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    if where == "variable":
        monkeypatch.setenv("CONFSTREAM_DEBUG", "1")

    arguments = {"before": ["--debug", "log", "anywhere"], "after": ["log", "anywhere", "--debug"]}
    assert _ended(arguments.get(where, ["log", "anywhere"])) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_command_leaves_the_logging_of_its_caller_as_it_was() -> None:
    logger = logging.getLogger("confstream")
    before = [*logger.handlers], logger.level, logger.propagate

    _ended(["log", "s3://me@bucket/x"])

    assert ([*logger.handlers], logger.level, logger.propagate) == before


def test_an_interrupted_command_ends_with_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, KeyboardInterrupt())

    assert _ended(["log", "anywhere"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_p12_an_error_shows_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _fail_with(monkeypatch, confstream.UnavailableError("s3://me:canary-7261@host/x: password=canary-7261\x1b[31m"))

    _ended(["log", "anywhere"])

    err = capsys.readouterr().err
    assert "canary-7261" not in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["log", "s3://me:canary-7261@bucket/x"],
        ["log", "weird://me:canary-7261@bucket/x"],
        ["log", "--typo", "s3://me:canary-7261@bucket/x"],
        ["log", "a", "b", "s3://me:canary-7261@bucket/x"],
        ["show", "a", "--typo=canary-7261://me:canary-7261@x"],
        ["log", "a", "--storage-option", "canary-7261"],
        ["log", "a", "--storage-option", "secret.=canary-7261"],
        ["log", "a", "--storage-option", "secret=canary-7261"],
    ],
)
def test_p12_no_secret_of_a_command_line_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _ended(arguments) == 2

    out, err = capsys.readouterr()
    assert "canary-7261" not in out + err.replace("not a storage option: 'canary-7261'", "")


@pytest.mark.parametrize(("command", "parameter"), OPTIONS)
def test_every_option_has_the_variable_of_its_name_and_is_in_the_help(
    command: str, parameter: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    option = next(name for name in parameter.opts if name.startswith("--"))
    if option == "--help":
        return

    assert _ended([command, "--help"]) == 0

    assert parameter.envvar == f"CONFSTREAM_{option[2:].replace('-', '_').upper()}"
    assert parameter.help
    text = " ".join(capsys.readouterr().out.split())
    assert option in text
    assert parameter.envvar in text


def test_p13_the_variables_are_those_of_the_options_and_no_others() -> None:
    of_restore = {parameter.envvar for parameter in COMMANDS["restore"].params if parameter.envvar}
    of_all = {parameter.envvar for command in COMMANDS.values() for parameter in command.params if parameter.envvar}

    assert of_restore | {"CONFSTREAM_REPLICA"} == environment.OF_RESTORE
    assert of_all - of_restore | {"CONFSTREAM_DEBUG"} == environment.OF_OTHERS


@pytest.mark.parametrize(
    ("name", "nearest"), [("CONFSTREAM_GAURD", "CONFSTREAM_GUARD"), ("CONFSTREAM_REPLIKA", "CONFSTREAM_REPLICA")]
)
def test_p13_an_unknown_variable_names_the_nearest(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "x")

    assert _ended(["log", "anywhere"]) == 2
    assert f"{name}; nearest is {nearest}" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_one_example_that_can_be_meant(name: str) -> None:
    words = shlex.split(EXAMPLES[name])

    assert words[:2] == ["confstream", name]
    context = COMMANDS[name].make_context(name, words[2:])
    assert context.params.get("arguments", True)
    assert EXAMPLES[name] in " ".join(COMMANDS[name].epilog.split())


@pytest.mark.parametrize("arguments", [["replicat"], ["log", "--typo", "x"], ["log", "x", "--limit", "many"]])
def test_what_cannot_be_meant_is_told_on_one_line_with_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ended(arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("confstream: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_there_is_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _ended(arguments) == 0
    assert "replicate" in capsys.readouterr().out


def test_a_reader_who_goes_away_is_no_error_to_talk_about(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "confstream_cli", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    os.close(writing)
    capfd.readouterr()

    assert ended.returncode == 141
    assert ended.stderr == b""


def test_help_imports_nothing_of_the_library_that_takes_long() -> None:
    program = (
        "import sys; from confstream_cli.app import run\n"
        "try: run(['restore', '--help'])\n"
        "except SystemExit: print('loaded:', *sorted("
        "{'fsspec', 's3fs', 'asyncio', 'msgpack', 'yaml', 'pathspec', 'rich'} & set(sys.modules)))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines()[-1] == "loaded:"


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_arguments: object, **_options: object) -> Callable[[], None]:
        raise error

    monkeypatch.setattr(confstream.History, "open", fail)
