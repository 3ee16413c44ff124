"""The shortcut of ``restore --if-missing`` is quick, and never says anything but what the ordinary way says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from confstream_cli import environment, shortcut
from confstream_cli.app import run

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "s3://nobody-there/config"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "config.yml").write_text("mqtt: {}\n", encoding="utf-8")
    (tmp_path / "tree" / "blank.yml").write_text(" \n", encoding="utf-8")
    (tmp_path / "tree" / "app.log").write_text("started\n", encoding="utf-8")
    (tmp_path / "frigate").mkdir()
    (tmp_path / "frigate" / "config.yaml").write_text("cameras: {}\n", encoding="utf-8")
    (tmp_path / "frigate" / "frigate.db").write_text("x", encoding="utf-8")
    return tmp_path / "tree"


PRESENT: list[tuple[list[str], dict[str, str]]] = [
    (["--if-missing", NOWHERE, "TREE"], {}),
    ([NOWHERE, "TREE", "--if-missing"], {}),
    (["--if-missing", "--if-replica-exists", NOWHERE, "TREE"], {}),
    (["--if-missing", "--guard", "config.yml", NOWHERE, "TREE"], {}),
    (["--if-missing", "--guard=config.yml", "--guard", "./config.yml", NOWHERE, "TREE"], {}),
    (["--if-missing", "--profile", "generic", NOWHERE, "TREE"], {}),
    (["--if-missing", "TREE"], {"CONFSTREAM_REPLICA": NOWHERE}),
    ([NOWHERE, "TREE"], {"CONFSTREAM_IF_MISSING": "1"}),
    ([NOWHERE, "TREE"], {"CONFSTREAM_IF_MISSING": "true", "CONFSTREAM_GUARD": "config.yml"}),
    (["--if-missing", "--guard", "config.yml", NOWHERE, "TREE"], {"CONFSTREAM_GUARD": "absent.yml"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_SETTLE": "nonsense of another command"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_PORT_80_TCP": "tcp://10.0.0.1:80"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_PROFILE": "generic"}),
    (["--if-missing", NOWHERE, "TREE", "--profile", "auto"], {"CONFSTREAM_PROFILE": "none"}),
    (["--if-missing", NOWHERE, "FRIGATE"], {}),
    (["--if-missing", NOWHERE, "FRIGATE", "--profile", "frigate"], {}),
    (["--if-missing", NOWHERE, "FRIGATE", "--guard", "config.yaml"], {}),
]
OTHER: list[tuple[list[str], dict[str, str]]] = [
    ([NOWHERE, "TREE"], {}),
    (["--if-missing", NOWHERE, "TREE/below"], {}),
    (["--if-missing", NOWHERE, "TREE/absent"], {}),
    (["--if-missing", NOWHERE, "TREE/config.yml"], {}),
    (["--if-missing", "--guard", "blank.yml", NOWHERE, "TREE"], {}),
    (["--if-missing", "--guard", "absent.yml", NOWHERE, "TREE"], {}),
    (["--if-missing", "--guard", "../outside", NOWHERE, "TREE"], {}),
    (["--if-missing", "--guard"], {}),
    (["--if-missing", NOWHERE, "TREE", "--profile", "nonsense"], {}),
    (["--if-missing", NOWHERE, "TREE", "--timeout", "nonsense"], {}),
    (["--if-missing", NOWHERE, "TREE", "--tiemout", "1s"], {}),
    (["--if-missing", NOWHERE, "TREE", "too much"], {}),
    (["--if-missing", NOWHERE], {}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_GAURD": "config.yml"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_TIMEOUT": "nonsense"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_GUARD": "absent.yml"}),
    (["--if-missing", NOWHERE, "TREE"], {"CONFSTREAM_IF_REPLICA_EXISTS": "perhaps"}),
    (["--if-missing", NOWHERE, "FRIGATE", "--guard", "frigate.db"], {}),
    (["--if-missing", NOWHERE, "FRIGATE", "--profile", "home-assistant"], {}),
    (["--if-missing", NOWHERE, "TREE", "--profile", "none"], {}),
    (["--if-missing", NOWHERE, "TREE", "--profile", "esphome"], {}),
    (["--if-missing", "--revision", "1", "--timestamp", "2h", NOWHERE, "TREE"], {}),
]


def _of(tree: Path, arguments: list[str]) -> list[str]:
    places = {"TREE": str(tree), "FRIGATE": str(tree.parent / "frigate")}
    named = [argument.partition("/") for argument in arguments]
    return ["restore", *(f"{places.get(first, first)}{slash}{rest}" for first, slash, rest in named)]


@pytest.mark.parametrize(("arguments", "variables"), PRESENT)
def test_p2_a_present_configuration_has_the_same_answer_either_way(
    tree: Path,
    arguments: list[str],
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    line = shortcut.answer(_of(tree, arguments), os.environ)
    with pytest.raises(SystemExit) as ended:
        run(_of(tree, arguments))

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(("arguments", "variables"), OTHER)
def test_whatever_is_not_plainly_present_is_left_to_the_ordinary_way(
    tree: Path, arguments: list[str], variables: dict[str, str]
) -> None:
    assert shortcut.answer(_of(tree, arguments), variables) is None


def test_a_configuration_that_cannot_be_looked_at_is_left_to_the_ordinary_way(tmp_path: Path) -> None:
    (tmp_path / "tree").symlink_to(tmp_path / "gone")

    assert shortcut.answer(["restore", "--if-missing", NOWHERE, str(tmp_path / "tree")], {}) is None


def test_an_unfinished_restore_is_left_to_the_ordinary_way(tree: Path) -> None:
    (tree / ".confstream").mkdir()
    (tree / ".confstream" / "restoring").write_bytes(b"")

    assert shortcut.answer(["restore", "--if-missing", NOWHERE, str(tree)], {}) is None


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_the_same_either_way(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = shortcut.answer(arguments, {})
    with pytest.raises(SystemExit) as ended:
        run(arguments)

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(
    ("arguments", "present"),
    [(["--guard", "config.yml", NOWHERE, "TREE"], "config.yml"), ([NOWHERE, "FRIGATE"], "config.yaml")],
    ids=["with a guard", "with a profile to be recognised"],
)
def test_p2_a_present_configuration_imports_no_storage_client_and_nothing_that_takes_long(
    arguments: list[str], present: str, tree: Path
) -> None:
    program = (
        "import sys; from confstream_cli import main; main(); "
        "print(*sorted({'fsspec', 's3fs', 'typer', 'asyncio', 'typing', 'dataclasses', 'pathlib', 'logging', 're'}"
        " & set(sys.modules)))"
    )
    command = [sys.executable, "-S", "-c", program, *_of(tree, ["--if-missing", *arguments])]

    ended = subprocess.run(
        command,
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines() == [
        f"the configuration is present: {present} is present; nothing was contacted",
        "",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "CONFSTREAM_SERVICE_HOST",
        "CONFSTREAM_SERVICE_PORT",
        "CONFSTREAM_SERVICE_PORT_HTTP",
        "CONFSTREAM_PORT",
        "CONFSTREAM_PORT_9099_TCP",
        "CONFSTREAM_PORT_9099_UDP_ADDR",
        "CONFSTREAM_METRICS_SERVICE_HOST",
        "CONFSTREAM_METRICS_PORT_80_TCP_PROTO",
    ],
)
def test_what_kubernetes_sets_beside_a_service_is_no_mistake(name: str) -> None:
    assert environment.unknown([name]) == []


@pytest.mark.parametrize("name", ["CONFSTREAM_GAURD", "CONFSTREAM_", "CONFSTREAM_SERVICE", "CONFSTREAM_PORT_X_TCP"])
def test_p13_any_other_variable_is_one(name: str) -> None:
    assert environment.unknown([name, "PATH", "CONFSTREAM_GUARD"]) == [name]
