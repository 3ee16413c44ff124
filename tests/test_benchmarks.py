"""The benchmarks run: a tiny round of every row; how quick anything is, is no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rows import ROWS
from tests.processes import ROOT


@pytest.mark.parametrize("row", ROWS)
def test_a_tiny_round_of_each_question_is_measured_and_rendered(row: str, tmp_path: Path) -> None:
    results = tmp_path / "results.json"

    _run("benchmarks", row, "--scale", "tiny", "--output", str(results))
    table = _run("benchmarks.report", str(results))

    document = json.loads(results.read_text(encoding="utf-8"))
    measured = {figure["contender"] for figure in document["rows"][row]["figures"]}
    assert any(contender.startswith(("confstream", "Journal.write", "1 thread")) for contender in measured) or (
        row == "change-many-peers"
    )
    assert all(contender in table for contender in measured)


def _run(module: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout
