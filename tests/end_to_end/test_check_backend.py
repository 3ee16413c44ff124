"""check-backend as a person meets it: real servers, exit codes, and nothing left behind."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import open_store
from tests.processes import confstream, run_confstream
from tests.servers import S3Server, wait_until


def test_p7_a_server_that_is_fit_ends_with_0_and_every_line_says_how(
    s3_server: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    url = use_s3(s3_server)

    ended = run_confstream("check-backend", url, "--rounds", "1")

    assert ended.code == 0, ended
    lines = ended.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1]), ended
    assert lines[-1] == f"{url} is fit to hold a replica"
    assert ended.stderr == ""
    assert open_store(url).list() == []


def test_p5_a_server_that_overwrites_ends_with_13(rclone_s3: S3Server, use_s3: Callable[[S3Server], str]) -> None:
    url = use_s3(rclone_s3)

    ended = run_confstream("check-backend", url, "--rounds", "1", "--racers", "4")

    assert ended.code == 13, ended
    assert "fail  create twice" in ended.stdout
    assert "If-None-Match" in ended.stdout
    assert ended.stderr.startswith(f"confstream: {url} is not fit: create twice: ")
    assert open_store(url).list() == []


def test_storage_that_nobody_answers_for_ends_with_16(seaweed: S3Server, use_s3: Callable[[S3Server], str]) -> None:
    url = use_s3(seaweed)

    ended = run_confstream("check-backend", url, "--json", environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})

    assert ended.code == 16, ended
    document = json.loads(ended.stdout)
    assert (document["replica"], document["fit"]) == (url, False)
    assert [check["name"] for check in document["checks"]] == ["reach", "clean up"]
    assert "cannot reach http://127.0.0.1:1" in document["checks"][0]["found"]


def test_a_secret_that_is_wrong_ends_with_16_and_is_not_shown(
    seaweed: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    ended = run_confstream("check-backend", use_s3(seaweed), environment={"AWS_SECRET_ACCESS_KEY": "forged-2718"})

    assert ended.code == 16, ended
    assert "the secret key is wrong" in ended.stdout
    assert "forged-2718" not in str(ended)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_leaves_nothing_behind(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], number: signal.Signals
) -> None:
    url = use_s3(seaweed)
    store = open_store(url)

    with confstream("check-backend", url, "--rounds", "1000") as command:
        command.wait_for_line("create twice", on="stdout")
        command.wait_until(lambda: store.list("check-") != [], "something is made for the races")
        command.signal(number)
        ended = command.finish()

    assert ended.code == 128 + number, ended
    assert store.list() == []


def test_a_directory_that_was_not_there_is_not_there_afterwards(tmp_path: Path) -> None:
    ended = run_confstream("check-backend", tmp_path / "new" / "replica")

    assert ended.code == 0, ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--racers", "1", "x"], "1 racers; expected at least 1 of 2"),
        ([], "no replica"),
        (["ftp//", "x"], "one argument too many"),
    ],
)
def test_a_call_that_cannot_be_meant_ends_with_2(arguments: list[str], says: str) -> None:
    ended = run_confstream("check-backend", *arguments)

    assert ended.code == 2, ended
    assert says in ended.stderr


def test_the_checks_of_an_interrupted_process_do_not_disturb_a_running_one(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    url, tree = use_s3(seaweed), tmp_path / "tree"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")

    with confstream("replicate", tree, url, "--settle", "100ms") as sidecar:
        sidecar.wait_for_line("watching")
        wait_until(lambda: open_store(url).list("log/") != [], 30, "the first revision")
        checked = run_confstream("check-backend", url, "--rounds", "1")
        (tree / "config.yml").write_text("a: 2\n")
        wait_until(lambda: len(open_store(url).list("log/")) == 2, 30, "the second revision")
        ended = sidecar.stop()

    assert checked.code == 0, checked
    assert ended.code == 0, ended
    assert run_confstream("verify", url).code == 0
