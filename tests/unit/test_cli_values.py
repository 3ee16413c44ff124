"""Values that Typer is given as they are, and those that it still has to make something of."""

import importlib
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from confstream_cli.values import _Plain, keep_plain


def test_a_command_with_texts_flags_and_lists_does_without_pydantic() -> None:
    program = (
        "import sys; from confstream_cli.app import run\n"
        "try: run(['log', '/nowhere', '--json', '--timeout', '1s', '--storage-option', 'a=b', '--limit', '3'])\n"
        "except SystemExit: print('loaded:', *sorted({'pydantic', 'pydantic_core'} & set(sys.modules)))"
    )
    needed = program.replace(", '--limit', '3'", "")

    ended = subprocess.run(
        [sys.executable, "-c", needed],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.strip() == "loaded:"


@pytest.mark.parametrize(
    ("kind", "several", "value", "expected"),
    [
        (str, False, "x", "x"),
        (str, False, None, None),
        (bool, False, True, True),
        (int, False, 7, 7),
        (list[str], True, ("a", "b"), ["a", "b"]),
        (list[str], True, ["a"], ["a"]),
        (list[str], True, None, ()),
        (int, False, "7", "ordinary"),
        (bool, False, "yes", "ordinary"),
        (list[str], True, "text", "ordinary"),
        (list[str], True, (1,), "ordinary"),
    ],
)
def test_only_what_has_its_type_already_is_taken_as_it_is(
    kind: Any, several: bool, value: object, expected: object
) -> None:
    descriptor = SimpleNamespace(annotation=kind, parameter_info=SimpleNamespace(parser=None))
    ordinary = SimpleNamespace(coerce=lambda _value, param, ctx: "ordinary")  # noqa: ARG005 - as Typer calls it
    param = SimpleNamespace(multiple=several, nargs=1)

    assert _Plain(descriptor, lambda _descriptor: ordinary).coerce(value, param, None) == expected


def test_a_number_with_bounds_is_left_to_typer() -> None:
    descriptor = SimpleNamespace(annotation=int, parameter_info=SimpleNamespace(parser=None, min=1))
    ordinary = SimpleNamespace(coerce=lambda _value, param, ctx: "ordinary")  # noqa: ARG005 - as Typer calls it

    made = _Plain(descriptor, lambda _descriptor: ordinary).coerce(0, SimpleNamespace(multiple=False, nargs=1), None)

    assert made == "ordinary"


def test_a_typer_that_works_otherwise_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    core = importlib.import_module("typer.core")
    monkeypatch.setattr(core, "build_runtime_param", "something else")

    keep_plain()

    assert core.build_runtime_param == "something else"
