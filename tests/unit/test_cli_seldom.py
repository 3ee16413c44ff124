"""What the standard library imports for what hardly happens is imported once it does."""

import os
import subprocess
import sys

from tests.processes import ROOT

_PUT_OFF = (
    "import sys; from confstream_cli import seldom; seldom.put_off(); import logging, dataclasses, urllib.parse\n"
)


def _said(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}
    # Without the site's own packages, which may import anything.
    command = [sys.executable, "-S", "-c", _PUT_OFF + program]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_nothing_is_imported_for_what_does_not_happen() -> None:
    assert _said("print({'ast', 'tokenize', 'linecache'} & sys.modules.keys())") == "set()"


def test_what_is_put_off_is_the_module_itself_as_soon_as_it_is_used() -> None:
    assert _said("import inspect; print(inspect.signature(lambda a, b=1: 0))") == "(a, b=1)"
    assert (
        _said("import inspect; inspect.signature(print); print('_Later' in str(type(sys.modules['inspect'])))")
        == "False"
    )


def test_an_error_is_logged_with_its_trace() -> None:
    program = "try: 1 / 0\nexcept ZeroDivisionError: logging.basicConfig(stream=sys.stdout); logging.exception('said')"

    assert _said(program).endswith("ZeroDivisionError: division by zero")
