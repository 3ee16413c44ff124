"""The real commands with the lean S3 client: what they say of it, and what they do not import."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Process
from tests.servers import S3Server

pytest.importorskip("obstore", reason="obstore is not installed")

# asyncio is here for all that s3fs brings: it alone costs as much as the lean client.
HEAVY = {"fsspec", "s3fs", "aiobotocore", "botocore", "aiohttp", "asyncio", "ssl", "http", "pydantic"}


def imported(*arguments: str | Path) -> set[str]:
    """Return the packages that a command imports, which has to succeed."""
    with Process([sys.executable, "-X", "importtime", "-m", "confstream_cli", *map(str, arguments)]) as process:
        finished = process.finish()
    assert finished.code == 0, finished
    names = re.findall(r"^import time:.*\| +([\w.]+)$", finished.stderr, re.MULTILINE)
    assert "confstream" in names
    return {name.partition(".")[0] for name in names}


def test_neither_replicate_nor_restore_nor_log_imports_what_s3fs_needs(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    replica, tree = use_s3(seaweed), tmp_path / "tree"
    tree.mkdir()
    (tree / "config.yml").write_text("mqtt:\n  host: broker\n")

    assert imported("replicate", tree, replica, "--once") & HEAVY == set()
    assert imported("log", replica) & HEAVY == set()
    assert imported("restore", replica, tmp_path / "restored") & HEAVY == set()

    assert (tmp_path / "restored" / "config.yml").read_text() == "mqtt:\n  host: broker\n"


def test_p13_the_client_and_why_it_is_not_the_lean_one_are_told_at_start(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    replica, tree = use_s3(seaweed), tmp_path / "tree"
    tree.mkdir()
    (tree / "config.yml").write_text("mqtt: {}\n")
    (tmp_path / "confstream.yml").write_text(f"streams:\n  a: {{tree: {tree}, replica: {replica}, s3_client: s3fs}}\n")
    command = [sys.executable, "-m", "confstream_cli", "replicate", "--once"]
    said = []

    for rest, variables in (
        ([str(tree), replica], {}),
        ([str(tree), replica], {"CONFSTREAM_S3_CLIENT": "s3fs"}),
        (["--config", str(tmp_path / "confstream.yml")], {}),
        (["--config", str(tmp_path / "confstream.yml"), "--s3-client", "auto"], {}),
        ([str(tree), replica], {"AWS_MAX_ATTEMPTS": "3"}),
    ):
        with Process([*command, *rest], environment=variables) as process:
            finished = process.finish()
        assert finished.code == 0, finished
        said += re.findall(r"S3 client ([^,]+)", finished.stderr)

    asked_for = "s3fs (as asked for)"
    assert said == ["lean", asked_for, asked_for, "lean", "s3fs (AWS_MAX_ATTEMPTS is set)"]


def test_p13_the_lean_client_demanded_in_vain_ends_with_2(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    replica = use_s3(seaweed)
    options = ["--s3-client", "lean", "--storage-option", "requester_pays=true"]

    with Process([sys.executable, "-m", "confstream_cli", "log", replica, *options], cwd=tmp_path) as process:
        finished = process.finish()

    assert finished.code == 2
    assert "the lean S3 client cannot be used: only it knows the storage option requester_pays" in finished.stderr
