"""Replicas made to do harm, through the real commands: nothing outside changes, no text of theirs drives a terminal."""

import json
from pathlib import Path

import pytest

from tests import hostile_replicas
from tests.commands import Shell
from tests.hostile_replicas import Objects
from tests.processes import run_confstream
from tests.torture.sentinel import Sentinel

_SAMPLE = (
    "below a link to ../etc", "below an older link to ..", "file at dotdot", "state: restoring", "a ring of prefixes",
    "a content that is a bomb", "packs that contradict one another", "a slot past all numbers", "the end of time",
    "names alike by unicode", "mode through a link to /etc",
)  # fmt: skip
_COMMANDS = (
    ("status",), ("log",), ("log", "--keys"), ("show", "2"), ("diff", "1", "2"), ("ls", "--recursive"), ("verify",),
    ("cat", "nothing"), ("log", "--revision", "x\x1b[31m"), ("restore", "--dry-run", "TREE", "--revision", "latest"),
    ("restore", "TREE", "--revision", "v1"), ("restore", "TREE", "--force", "--revision", "latest"),
    ("compact", "--dry-run"), ("restore", "TREE", "--revision", "latest-good", "--delete", "--force"),
    ("tag", "v\x1b[2J"),
    ("status", "--max-lag", "1s"), ("log", "--path", "d"), ("show", "latest-good"),
)  # fmt: skip


def _write(folder: Path, objects: Objects) -> Path:
    for key, body in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(capfdbinary)


@pytest.mark.parametrize("json_form", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_p12_no_text_of_a_replica_drives_a_terminal(
    shell: Shell, tmp_path: Path, *, json_form: bool, debug: bool
) -> None:
    replica, tree = _write(tmp_path / "replica", hostile_replicas.speaking()), tmp_path / "tree"

    for command in _COMMANDS:
        name, *rest = (str(tree) if part == "TREE" else part for part in command)
        more = ["--json"] if json_form and name not in {"cat", "tag", "compact"} else []
        shell(name, str(replica), *rest, *more, *(["--debug"] if debug else []))

        said = f"{name} {rest}: {shell.code}\n{shell.out}\n{shell.err}"
        for text in (shell.out, shell.err):
            found = sorted({sign for sign in text if not sign.isprintable() and sign != "\n"})
            assert not found, f"{found} in what was printed by {said!r}"
        assert "\nforged: " not in f"\n{shell.out}\n{shell.err}", said
        if more and shell.code == 0:
            assert [json.loads(line) for line in shell.out.splitlines()], said


@pytest.mark.parametrize("name", _SAMPLE)
def test_p8_the_command_changes_nothing_outside_of_the_tree(tmp_path: Path, name: str) -> None:
    (tmp_path / "ground").mkdir()
    around = Sentinel(tmp_path / "ground")
    replica = _write(tmp_path / "replica", hostile_replicas.every()[name])
    (around.tree / "l").symlink_to("../etc")

    done = run_confstream("restore", replica, around.tree, "--force", "--delete", "--revision", "latest")

    assert done.code in {0, 14}, done
    assert "Traceback" not in done.stderr
    assert "fault of confstream" not in done.stderr
    around.check()
