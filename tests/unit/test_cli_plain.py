"""Command lines that are read without Typer mean what Typer would make of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from confstream_cli import options, parser, plain
from confstream_cli.commands import COMMANDS

_VALUES = ["x", "", "a b", "-3", "0", "7", "-1", "true", "no", "1", "TRUE", "--json", "--", "-", "k=v", "\u00e9", "007"]


def recorder(name: str) -> Callable[..., dict[str, Any]]:
    """Return what takes the parameters of the command *name*, and returns them."""

    def record(**given: Any) -> dict[str, Any]:
        return given

    record.parameters = [  # type: ignore[attr-defined]  # As a command has them.
        (parameter, Annotated[kind, about], default)
        for parameter, kind, about, default in plain.parameters(COMMANDS[name].function())
    ]
    return record


def by_typer(record: Callable[..., Any], arguments: list[str]) -> Any:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command()(parser._described(record))
    return typer.main.get_command(app).main(arguments, standalone_mode=False)


def without_empty_lists(found: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value in ([], ()) else value for name, value in found.items()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_read_without_typer_is_what_typer_reads(name: str, data: st.DataObject) -> None:
    record = recorder(name)
    known = [about for _, _, about, _ in plain.parameters(record) if isinstance(about, options.Option)]
    words = st.sampled_from(_VALUES) | st.sampled_from([one.name for one in known])
    joined = st.builds("{}={}".format, st.sampled_from([one.name for one in known]), st.sampled_from(_VALUES))
    arguments = data.draw(st.lists(words | joined, max_size=5))
    environ = data.draw(
        st.dictionaries(st.sampled_from([one.variable for one in known]), st.sampled_from(_VALUES), max_size=2)
    )

    found = plain.read(record, arguments, environ)

    if found is not None:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in environ.items():
                patch.setenv(variable, value)
            expected = by_typer(record, arguments)
        assert without_empty_lists(found) == without_empty_lists(expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("restore", ["--if-missing", "--guard", "a", "--guard=b", "--profile", "none", "s3://b/x", "/config"]),
        ("replicate", ["/config", "s3://b/x", "--listen", ":9099", "--no-guards"]),
        ("log", ["s3://b/x", "a.yml", "--limit", "3", "--json"]),
        ("diff", ["s3://b/x", "1", "2", "--exit-code"]),
    ],
)
def test_what_is_usual_is_plain(name: str, arguments: list[str]) -> None:
    record = recorder(name)

    assert plain.read(record, arguments, {}) is not None
    assert by_typer(record, arguments) == plain.read(record, arguments, {})


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--help"], {}),
        (["-h"], {}),
        (["--jsom"], {}),
        (["--json=1"], {}),
        (["--json", "--json"], {}),
        (["--limit"], {}),
        (["--limit", "-1"], {}),
        (["--limit", "many"], {}),
        (["--path", "--json"], {}),
        (["--", "x"], {}),
        (["-3"], {}),
        ([], {"CONFSTREAM_JSON": "maybe"}),
        ([], {"CONFSTREAM_LIMIT": "many"}),
        ([], {"CONFSTREAM_STORAGE_OPTION": " "}),
        ([], {"CONFSTREAM_DEBUG": "maybe"}),
    ],
)
def test_what_is_not_plain_is_left_to_typer(arguments: list[str], environ: dict[str, str]) -> None:
    assert plain.read(recorder("log"), arguments, environ) is None


def test_a_plain_command_imports_no_typer() -> None:
    program = (
        "import sys; from confstream_cli.app import run\n"
        "try: run(['log', '/nowhere', '--json', '--timeout', '1s', '--storage-option', 'a=b', '--limit', '3'])\n"
        "except SystemExit as error: print(error.code, 'typer' in sys.modules)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.split() == ["2", "False"]
