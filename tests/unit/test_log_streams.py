"""Several streams in one process: every line says which one it is about."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from confstream import in_stream
from confstream.testing import fail_on
from confstream_cli import logs
from tests.journals import Replica, eventually
from tests.replicating import Running


@pytest.fixture
def logged() -> Iterator[None]:
    """Log as JSON, as long as the test takes."""
    logs.configure(logging.INFO, "json")
    yield
    logs.reset()


@pytest.mark.usefixtures("logged")
def test_every_line_of_a_stream_bears_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = {}
    for name in ("frigate", "traefik"):
        root = tmp_path / name
        root.mkdir()
        (root / f"{name}.yml").write_text("a: 1\n")
        replica = Replica(name)
        replica.plan.append(fail_on("put", times=1))
        replica.connect(monkeypatch)
        running[name] = Running(root, replica)
        eventually(lambda name=name: running[name].replica.head > 0, f"{name}'s first revision")  # type: ignore[misc]
    for name, one in running.items():
        (tmp_path / name / f"{name}.yml").write_text("a: 2\n")
        eventually(lambda one=one: one.replica.head > 1, "the second revision")  # type: ignore[misc]
    for one in running.values():
        one.stop()

    rows: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {row["stream"] for row in rows} == {"frigate", "traefik"}
    for name in running:
        own = [row for row in rows if row["stream"] == name]
        assert [row["path"] for row in own if row["event"] == "revision_published"] == [f"{name}.yml"] * 2
        assert {"watching", "replica_unreachable", "recovered", "stopped"} <= {row["event"] for row in own}


def test_lines_of_text_name_the_stream_where_several_run(capsys: pytest.CaptureFixture[str]) -> None:

    logs.configure(logging.INFO, "text", streams=True)
    with in_stream("frigate"):
        logging.getLogger("confstream.test").info("hello")
    logging.getLogger("confstream.test").info("all")
    logs.reset()

    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("INFO    [frigate] hello")
    assert second.endswith("INFO    all")
