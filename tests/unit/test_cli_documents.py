"""What DOCUMENTS.md says of ``--json``, against what commands print."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Shell, make_replica

ROOT = Path(__file__).resolve().parents[2]
_OPEN = {"labels", "broken_validators", "validators", "required", "secret_keys", "journal", "figures"}
"""What has names of its user's, or is described elsewhere."""
_SOMETIMES = {"kind", "mode", "size", "uid", "gid", "op", "path", "summary", "fork", "first", "last", "figures"} | {
    *("flaw", "key", "found", "expected", "status", "reasons", "flag")
}
"""What only some revisions, replicas or checks have."""


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(capfdbinary)


@pytest.mark.parametrize(
    "command",
    [
        *("show", "ls", "status", "verify", "compact --dry-run", "tag NAME", "restore TREE --dry-run"),
        *("check-backend", "doctor", "config check", "profile list", "profile show", "profile detect"),
    ],
)
def test_every_document_has_the_fields_that_are_documented_and_no_other(
    command: str, shell: Shell, tmp_path: Path
) -> None:
    replica, tree, config = make_replica(tmp_path / "replica"), tmp_path / "tree", tmp_path / "confstream.yml"
    config.write_text(f"streams: {{a: {{tree: {tree}, replica: {replica}}}}}\n")
    of_files: dict[str, tuple[str | Path, ...]] = {
        "doctor": (),
        "config check": ("--config", config),
        "profile list": (),
        "profile show": ("frigate",),
        "profile detect": (tmp_path,),
    }
    words = [{"TREE": str(tree), "NAME": "named"}.get(word, word) for word in command.split()]
    arguments = of_files.get(command)
    called = [*words, *arguments] if arguments is not None else [words[0], replica, *words[1:]]

    printed = shell.json(*called)

    documented = _documented()[command if command in of_files else words[0]]
    assert set(printed) <= set(_fields(printed)) <= documented
    assert documented - set(_fields(printed)) - _SOMETIMES == set()


def _documented() -> dict[str, set[str]]:
    text = (ROOT / "confstream" / "DOCUMENTS.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1:3] for row in text.splitlines() if row.startswith("| `")]
    return {name: set(re.findall(r"`(\w+)`", fields)) for of, fields in rows for name in re.findall(r"`([^`]+)`", of)}


def _fields(document: Any) -> Iterator[str]:
    if isinstance(document, list):
        for one in document:
            yield from _fields(one)
    elif isinstance(document, dict):
        for name, value in document.items():
            yield name
            if name not in _OPEN:
                yield from _fields(value)
