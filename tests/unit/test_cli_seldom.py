"""A command that only reads starts without what hardly happens, and ends at once, with all that it printed."""

import os
import subprocess
import sys
from pathlib import Path

from confstream.store.local import LocalStore
from tests.logs import grow
from tests.processes import ROOT, run_confstream

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
    assert _said("print({'ast', 'tokenize', 'dis'} & sys.modules.keys())") == "set()"


def test_what_is_put_off_is_the_module_itself_as_soon_as_it_is_used() -> None:
    assert _said("import inspect; print(inspect.signature(lambda a, b=1: 0))") == "(a, b=1)"
    assert (
        _said("import inspect; inspect.signature(print); print('_Later' in str(type(sys.modules['inspect'])))")
        == "False"
    )


def test_an_error_is_logged_with_its_trace() -> None:
    program = "try: 1 / 0\nexcept ZeroDivisionError: logging.basicConfig(stream=sys.stdout); logging.exception('said')"

    assert _said(program).endswith("ZeroDivisionError: division by zero")


def test_p7_a_command_that_leaves_at_once_has_its_code_and_all_of_its_output(tmp_path: Path) -> None:
    grow(LocalStore(tmp_path), 300)

    shown = run_confstream("log", tmp_path)
    differs = run_confstream("diff", "--exit-code", tmp_path, "1", "300")
    nowhere = run_confstream("log", tmp_path / "nothing")

    assert (shown.code, shown.stdout.count("\n")) == (0, 301)
    assert differs.code == 1
    assert "edit 300" in differs.stdout
    assert (nowhere.code, nowhere.stdout) == (10, "")
    assert "no replica" in nowhere.stderr
