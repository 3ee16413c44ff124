"""What is built holds what it must and nothing else, and the lock files are those of pyproject.toml."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _group(name: str) -> list[Requirement]:
    """Return the requirements of a dependency group, those of the groups it includes as well."""
    found = []
    for entry in PROJECT["dependency-groups"][name]:
        found += _group(entry["include-group"]) if isinstance(entry, dict) else [Requirement(entry)]
    return found


def _texts(requirements: list[Requirement]) -> set[str]:
    return {f"{canonicalize_name(each.name)}{each.specifier};{each.marker}" for each in requirements}


RUNTIME = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
BUILD_SYSTEM = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
WANTED = {
    "runtime": RUNTIME,
    "build": [*_group("build"), *BUILD_SYSTEM],
    "dev": [*RUNTIME, *_group("dev"), *BUILD_SYSTEM],
    "lowest": [*RUNTIME, *_group("test"), *_group("build")],
}


def _lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


def _pins(name: str) -> dict[str, set[str]]:
    """Return the versions that a lock file holds of each package: several, where a marker decides."""
    pins: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", _lock(name), re.MULTILINE):
        pins.setdefault(canonicalize_name(package), set()).add(version)
    return pins


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/", maxsplit=1)[0] for name in wheel.namelist()}

    assert {name for name in top if not name.endswith((".dist-info", ".data"))} == {"confstream", "confstream_cli"}


@pytest.mark.parametrize(
    "name",
    [
        "confstream/__init__.py",
        "confstream/FORMAT.md",
        "confstream/py.typed",
        "confstream_cli/__init__.py",
    ],
)
def test_the_wheel_holds(wheel: zipfile.ZipFile, name: str) -> None:
    assert name in wheel.namelist()


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    sources = {
        path.relative_to(root).as_posix()
        for root, package in ((ROOT, "confstream"), (ROOT / "cli", "confstream_cli"))
        for path in (root / package).rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
    }

    assert {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name} == sources


def test_the_wheel_requires_what_pyproject_says_and_no_more(metadata: Message) -> None:
    required = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]

    always = [one for one in required if one.marker is None or "extra" not in str(one.marker)]
    assert _texts(always) == _texts(RUNTIME)


def test_the_wheel_has_a_command_and_a_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (command,) = (name for name in wheel.namelist() if ".data/" in name)

    assert command.endswith(".data/scripts/confstream")
    # What installers put the path of their Python into.
    assert wheel.read(command).startswith(b"#!python\n")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_p2_the_command_imports_no_more_than_its_answer_needs(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("a: 1\n")
    script = [sys.executable, "-X", "importtime", str(ROOT / "cli/bin/confstream")]

    done = subprocess.run(
        [*script, "restore", "--if-missing", "s3://nobody-there/config", str(tmp_path)],
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "confstream_cli.shortcut" in imported
    assert imported.isdisjoint({"re", "importlib.metadata", "typer", "fsspec", "confstream_cli.app"})


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_holds_everything_that_pyproject_asks_for(name: str) -> None:
    pins = _pins(name)

    unmet = [
        str(requirement)
        for requirement in WANTED[name]
        for version in pins.get(canonicalize_name(requirement.name), {""})
        if not version or not requirement.specifier.contains(version)
    ]

    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("name", WANTED)
def test_every_pin_of_a_lock_has_hashes_and_no_address(name: str) -> None:
    text = _lock(name)

    blocks = re.split(r"\n(?=\S)", text.strip())

    assert [block for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []
    assert "://" not in text


def test_what_is_installed_together_is_pinned_to_the_same_versions() -> None:
    dev = _pins("dev")

    differing = {
        package: (versions, dev.get(package))
        for part in ("runtime", "build")
        for package, versions in _pins(part).items()
        if dev.get(package) != versions
    }

    assert differing == {}


def test_the_lowest_lock_holds_the_lower_bounds_themselves() -> None:
    pins = _pins("lowest")

    bounds = {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in RUNTIME
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }

    assert bounds.keys() == {canonicalize_name(requirement.name) for requirement in RUNTIME}
    assert {name: {Version(version) for version in pins[name]} for name in bounds} == {
        name: {bound} for name, bound in bounds.items()
    }
