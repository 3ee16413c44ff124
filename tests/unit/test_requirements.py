"""Packages that are missing are named before anything is begun that needs them."""

import sys
from pathlib import Path

import pytest

from confstream import ConfstreamError, Journal
from confstream.requirements import MODULES, require


@pytest.mark.parametrize("name", [module.name for module in MODULES if module.vital])
def test_nothing_is_begun_without_a_vital_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "tree").mkdir()

    with pytest.raises(ConfstreamError, match=rf"the module {name} .*pip install"):
        Journal.open(tmp_path / "tree", str(tmp_path / "replica"))

    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    assert list((tmp_path / "tree").iterdir()) == []


@pytest.mark.parametrize("name", [module.name for module in MODULES if not module.vital])
def test_what_is_not_vital_may_be_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)

    require()


def test_a_module_that_breaks_another_is_named_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package_7261.py").write_text("import absent_package_7261\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = type(MODULES[0])("broken_package_7261", "broken", "a test")

    assert module.lack() == (
        "the module absent_package_7261, which broken_package_7261 imports, is missing; it is needed for a test"
    )


def test_a_module_that_fails_otherwise_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_package_7261.py").write_text("raise RuntimeError('canary-7261')\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = type(MODULES[0])("failing_package_7261", "failing", "a test")

    assert module.lack() == "the module failing_package_7261 fails with RuntimeError; it is needed for a test"
    assert module.version == "of unknown version"
