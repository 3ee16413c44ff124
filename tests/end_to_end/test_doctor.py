"""doctor as a person meets it: on real servers, as users that may not read, without modules, without a home."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream import Journal, open_store
from tests.privileges import contained
from tests.processes import CONFSTREAM, ROOT, Finished, confstream, run_confstream
from tests.servers import S3Server, wait_until
from tests.shadows import shadow

NOBODY = 23456


def checks(ended: Finished) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(ended.stdout)["checks"]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "config.yml").write_text("cameras:\n  door: {}\n")
    return root


def test_p7_a_running_sidecar_is_well(s3_server: S3Server, use_s3: Callable[[S3Server], str], tree: Path) -> None:
    url = use_s3(s3_server)

    with confstream("replicate", tree, url) as sidecar:
        sidecar.wait_for_line("revision 1")
        wait_until(lambda: open_store(url).list("heartbeat/") != [], 30, "the heartbeat")
        ended = run_confstream("doctor", tree, url)
        sidecar.stop()

    assert ended.code == 0, ended
    assert "from variables (AWS_ACCESS_KEY_ID)" in ended.stdout
    assert "the server's clock and ours agree to the second" in ended.stdout
    assert "nothing failed, 0 warnings" in ended.stdout
    assert [key for key in open_store(url).list() if key.startswith(("check-", "probe/"))] == []


def test_a_server_that_overwrites_ends_with_13(
    rclone_s3: S3Server, use_s3: Callable[[S3Server], str], tree: Path
) -> None:
    ended = run_confstream("doctor", tree, use_s3(rclone_s3))

    assert ended.code == 13, ended
    assert "fail  exclusive creation" in ended.stdout


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot reach http://127.0.0.1:1"),
        ({"AWS_SECRET_ACCESS_KEY": "forged-2718"}, "the secret key is wrong"),
    ],
)
def test_a_replica_that_cannot_be_had_ends_with_16_and_the_rest_is_looked_at(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tree: Path, variables: dict[str, str], says: str
) -> None:
    ended = run_confstream("doctor", tree, use_s3(seaweed), "--json", environment=variables)

    found = checks(ended)
    assert ended.code == 16, ended
    assert says in found["replica"]["found"]
    assert found["files"]["level"] == "ok"
    assert found["heartbeat"]["level"] == "skip"
    # Whoever refuses us still tells the time.
    assert ("clock" in found) is ("AWS_SECRET_ACCESS_KEY" in variables)
    assert "forged-2718" not in str(ended)


def test_a_secret_with_a_line_break_is_named_and_not_shown(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], tree: Path
) -> None:
    url = use_s3(seaweed)

    ended = run_confstream("doctor", tree, url, environment={"AWS_SECRET_ACCESS_KEY": "forged-2718\n"})

    assert ended.code in (2, 16), ended
    assert "fail  AWS_SECRET_ACCESS_KEY" in ended.stdout
    assert "ends with a line break" in ended.stdout
    assert "forged-2718" not in str(ended)


def test_certificates_that_are_missing_were_called_a_missing_module(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    (tmp_path / "none.pem").touch()

    ended = run_confstream(
        "doctor",
        "--self",
        environment={"SSL_CERT_FILE": str(tmp_path / "none.pem"), "SSL_CERT_DIR": str(tmp_path / "none")},
    )

    assert ended.code == 1, ended
    assert "install the system's certificates" in ended.stdout
    assert "pip install" not in ended.stdout


def test_an_unknown_variable_is_told_with_everything_else(tree: Path) -> None:
    ended = run_confstream("doctor", tree, environment={"CONFSTREAM_REPLIKA": "x"})

    assert ended.code == 2, ended
    assert "fail  CONFSTREAM_REPLIKA" in ended.stdout
    assert "nearest is CONFSTREAM_REPLICA" in ended.stdout
    assert "ok    files" in ended.stdout


def test_a_sidecar_of_another_uid_is_told_which_files_it_cannot_read(open_base: Path) -> None:
    tree = open_base / "config"
    tree.mkdir(mode=0o755)
    (tree / "config.yml").write_text("cameras: {}\n")
    (tree / ".jwt_secret").write_text("canary-7261")
    (tree / ".jwt_secret").chmod(0o600)

    ended = run_confstream("doctor", tree, "--json", within=contained(NOBODY))

    found = checks(ended)
    assert ended.code == 3, ended
    assert found["files"]["found"] == (
        f"1 path of uid 0 (mode 0600, Permission denied) cannot be read by uid {NOBODY}: .jwt_secret"
    )
    assert "run as uid 0" in found["files"]["advice"]
    assert f"uid {NOBODY} cannot make it" in found["state directory"]["found"]
    assert f"uid {NOBODY} (no entry in passwd" in found["user"]["found"]
    assert "canary" not in str(ended)


@pytest.mark.parametrize("name", ["yaml", "s3fs", "msgpack", "pathspec", "inotify_simple", "fsspec"])
def test_a_missing_module_is_named_and_the_doctor_still_runs(tree: Path, tmp_path: Path, name: str) -> None:
    Journal.open(tree, str(tmp_path / "replica")).close()

    ended = run_confstream(
        "doctor", tree, str(tmp_path / "replica"), "--json", environment=shadow(tmp_path / "shadow", name)
    )

    found = checks(ended)
    assert ended.code == 15, ended
    assert f"the module {name}" in found[f"module {name}"]["found"]
    assert "pip install" in found[f"module {name}"]["advice"]
    assert found["files"]["level"] == "ok"
    # Without patterns no profile can be: that is said there as well.
    assert found["profile"]["found"].startswith("the module pathspec" if name == "pathspec" else "frigate")


@pytest.mark.parametrize("name", ["yaml", "s3fs", "msgpack", "pathspec", "inotify_simple", "fsspec", "typer"])
def test_the_self_test_breaks_a_build_that_lacks_a_module(tmp_path: Path, name: str) -> None:
    ended = run_confstream("doctor", "--self", environment=shadow(tmp_path / "shadow", name))

    assert ended.code == 1, ended
    assert f"the module {name}" in ended.stdout + ended.stderr


def test_the_self_test_needs_no_home_no_network_and_only_a_temporary_directory(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    command = [*CONFSTREAM, "doctor", "--self"]
    if unshare and subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode == 0:
        # Without any interface: nothing can be reached.
        command = [unshare, "-n", *command]

    ended = subprocess.run(
        command,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ok    round trip" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_self_test_runs_as_any_uid_on_a_read_only_root(open_base: Path) -> None:
    place = open_base / "tmp"
    place.mkdir()
    place.chmod(0o1777)

    ended = run_confstream(
        "doctor", "--self", within=contained(NOBODY, writable=[place]), environment={"TMPDIR": str(place)}
    )

    assert ended.code == 0, ended
    assert "ok    round trip" in ended.stdout
    assert list(place.glob("confstream-*")) == []


def test_without_arguments_it_looks_at_the_installation_and_its_surroundings() -> None:
    ended = run_confstream("doctor", "--json")

    document = json.loads(ended.stdout)
    assert ended.code == 0, ended
    assert document["ok"] is True
    assert {tuple(check) for check in document["checks"]} == {("name", "level", "found", "advice")}
    assert [check["name"] for check in document["checks"]] == [
        "program",
        "modules",
        "validators",
        "user",
        "root file system",
        "variables",
        "proxies",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["a", "b", "c"], "one argument too many"), (["--no-such"], "no-such"), (["--timeout", "x"], "timeout")],
)
def test_a_call_that_cannot_be_meant_ends_with_2(arguments: list[str], says: str) -> None:
    ended = run_confstream("doctor", *arguments)

    assert ended.code == 2, ended
    assert says in ended.stderr


def test_a_url_alone_is_a_replica(tmp_path: Path) -> None:
    ended = run_confstream("doctor", f"file://{tmp_path}", "--json")

    assert checks(ended)["replica"]["level"] == "warn"
    assert "tree" not in checks(ended)


def test_a_stream_of_the_configuration_file_is_looked_at_with_its_validators(tree: Path, tmp_path: Path) -> None:
    config = tmp_path / "confstream.yml"
    config.write_text(
        f"streams:\n  config:\n    tree: {tree}\n    replica: {tmp_path / 'replica'}\n    validators:\n"
        '      promtool: {command: ["/bin/true"], patterns: "*.rules", good: "a", bad: "b"}\n'
    )

    ended = run_confstream("doctor", "--config", config, "--json")

    found = checks(ended)
    assert ended.code == 15, ended
    assert found["validator promtool"]["found"] == "accepts its bad sample; its files are not checked"
    assert found["replica"]["found"].startswith(f"{tmp_path / 'replica'} answers")
    assert ended.stderr.count("\n") == 1
