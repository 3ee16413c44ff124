"""What no linter holds: sizes, real exports, words that must not appear, and a test for every promise."""

import ast
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES_OF_A_MODULE_MAX = 400
LINES_OF_A_TEST_MODULE_MAX = 700  # What proves one module stands together.
LINES_OF_A_FUNCTION_MAX = 50

PROMISES = frozenset(f"p{number}" for number in range(1, 15))

# Written so that this file does not hold what it looks for.
FORBIDDEN = {
    "an absolute path of somebody's machine": r"(?<![\w.])/(work|farm|root|Users)/[\w.]|/opt/(wheels|pypi)",
    "a reference that only a tracker can resolve": r"\b[Ii]ssues? #\d|\b[Ii]ssue #|\b(fixes|closes|resolves) #\d",
    "a host of a package registry": r"pypi\.org|pythonhosted\.(org|com)|npmjs\.(org|com)|(deb|security)\.debian\.org",
}
NOUNLESS = {"common", "core", "helpers", "manager", "misc", "utils"}


def _files() -> Iterator[Path]:
    """Yield what belongs to the project, with or without git: a source distribution has none."""
    for folder, names, files in os.walk(ROOT):
        # What begins with a dot is a cache or an environment, except for the gate.
        ours = (name for name in names if name not in {"__pycache__", "build", "dist", "htmlcov"})
        names[:] = [name for name in ours if name == ".ci" or not name.startswith(".")]
        yield from (Path(folder, name) for name in sorted(files) if name != ".git" and not name.startswith(".coverage"))


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


SHIPPED = _modules("confstream", "cli/confstream_cli")
WRITTEN = [*SHIPPED, *_modules("tests", "benchmarks", "demo")]


@pytest.mark.parametrize("path", WRITTEN, ids=_name)
def test_a_module_and_its_functions_can_be_read_in_one_go(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    too_long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LINES_OF_A_FUNCTION_MAX
    ]

    assert too_long == []
    assert len(text.splitlines()) <= (LINES_OF_A_MODULE_MAX if path in SHIPPED else LINES_OF_A_TEST_MODULE_MAX)


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_a_module_says_what_it_is_for_and_is_called_by_a_noun(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert path.stem not in NOUNLESS


def _exported(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return list(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("path", [path for path in SHIPPED if _exported(path) is not None], ids=_name)
def test_what_a_module_exports_is_there_once_and_in_order(path: Path) -> None:
    exported = _exported(path) or []
    relative = path.relative_to(ROOT / "cli" if path.is_relative_to(ROOT / "cli") else ROOT).with_suffix("")
    module = importlib.import_module(".".join(part for part in relative.parts if part != "__init__"))

    assert [name for name in exported if not hasattr(module, name)] == []
    # Constants, then classes, then functions, each by the alphabet: the order that the linter wants, too.
    assert exported == sorted(set(exported), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])

    found = [
        f"{_name(path)}:{number}: {line.strip()[:100]}"
        for path in _files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]

    assert found == []


def _promises_in_test_names() -> set[str]:
    """Return the promises that occur in names of tests, as in ``test_p1_the_disk_wins``."""
    names = (
        node.name
        for path in _modules("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    return {f"p{number}" for name in names for number in re.findall(r"_[pP](\d+)(?=_|$)", name)}


def test_every_promise_has_a_test_that_bears_its_number() -> None:
    assert PROMISES - _promises_in_test_names() == set()


def test_no_test_bears_the_number_of_a_promise_that_was_never_made() -> None:
    assert _promises_in_test_names() - PROMISES == set()
