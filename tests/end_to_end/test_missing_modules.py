"""An image that lacks a module: what needs it says so, and everything else goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream, run_confstream
from tests.servers import S3Server
from tests.shadows import shadow

OPTIONAL = ["yaml", "s3fs", "fsspec", "inotify_simple"]
VITAL = ["msgpack", "pathspec"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "config.yml").write_text("cameras:\n  door: {}\n")
    (root / "model_cache").mkdir()
    (root / "model_cache" / "model.bin").write_bytes(b"gigabytes")
    return root


@pytest.mark.parametrize("name", OPTIONAL)
def test_p6_replication_to_a_directory_goes_on_without(
    name: str, tree: Path, replicas: Replicas, tmp_path: Path
) -> None:
    url, lacking = replicas.make(), shadow(tmp_path / "shadow", name)
    onlooker = replicas.look_at(url)

    with confstream("replicate", tree, url, "--settle", "100ms", environment=lacking) as sidecar:
        onlooker.wait_for_file("config.yml", b"cameras:\n  door: {}\n", sidecar)
        (tree / "config.yml").write_text("cameras: [\n")
        onlooker.wait_for_file("config.yml", b"cameras: [\n", sidecar)
        ended = sidecar.stop()

    assert ended.code == 0, ended
    restored = run_confstream("restore", "--revision", "1", url, tmp_path / "back", environment=lacking)
    assert restored.code == 0, restored
    # The rules of the profile hold without the module that reads them.
    assert [path.name for path in (tmp_path / "back").iterdir() if path.name != ".confstream"] == ["config.yml"]
    if name == "yaml":
        assert (
            "the validator yaml is broken, its files are not checked: the module yaml cannot be imported"
            in ended.stderr
        )
        assert "invalid" not in ended.stderr
    if name == "inotify_simple":
        assert "polling every 1 s: no inotify: the module inotify_simple cannot be imported" in ended.stderr


@pytest.mark.parametrize("name", ["s3fs", "fsspec"])
def test_what_s3_needs_is_named_at_once_and_nothing_is_lost(
    name: str, tree: Path, moto_server: S3Server, use_s3: Callable[[S3Server], str], tmp_path: Path
) -> None:
    url = use_s3(moto_server)

    without = {**shadow(tmp_path / "shadow", name), "CONFSTREAM_S3_CLIENT": "s3fs"}
    failed = run_confstream("replicate", "--once", tree, url, environment=without)
    mended = run_confstream("replicate", "--once", tree, url)

    assert failed.code == 2, failed
    assert f"the module {name} cannot be imported: pip install s3fs" in failed.stderr
    assert mended.code == 0, mended
    assert run_confstream("cat", url, "config.yml", "--revision", "1").stdout == "cameras:\n  door: {}\n"


@pytest.mark.parametrize("name", VITAL)
def test_what_nothing_goes_without_is_named_before_anything_begins(name: str, tree: Path, tmp_path: Path) -> None:
    ended = run_confstream(
        "replicate", "--once", tree, tmp_path / "replica", environment=shadow(tmp_path / "shadow", name)
    )

    assert ended.code == 1, ended
    assert f"the module {name} " in ended.stderr
    assert not (tmp_path / "replica").exists()
    assert not (tree / ".confstream").exists()


@pytest.mark.parametrize("name", [*OPTIONAL, *VITAL, "typer"])
def test_p2_an_init_container_with_its_configuration_needs_no_module(name: str, tree: Path, tmp_path: Path) -> None:
    ended = run_confstream(
        "restore", "--if-missing", "s3://bucket/x", tree, environment=shadow(tmp_path / "shadow", name)
    )

    assert ended.code == 0, ended
    assert ended.stdout == "the configuration is present: config.yml is present; nothing was contacted\n"


def test_p6_p7_without_pyyaml_replication_goes_on_and_log_health_metrics_and_doctor_say_so(
    tree: Path, replicas: Replicas, tmp_path: Path
) -> None:
    onlooker, lacking = replicas.look_at(replicas.make("seaweed")), shadow(tmp_path / "shadow", "yaml")
    command = ("replicate", tree, onlooker.url, "--settle", "100ms", *LISTEN)

    with confstream(*command, environment=lacking) as sidecar:
        seen = Endpoints(sidecar)
        onlooker.wait_for_file("config.yml", b"cameras:\n  door: {}\n", sidecar)
        (tree / "config.yml").write_text("cameras: [\n")
        onlooker.wait_for_file("config.yml", b"cameras: [\n", sidecar)
        health, reason = seen.health, seen.wait_for_reason("validator-broken")
        proven = {name: seen.metric("validator_ok", validator=name) for name in ("yaml", "json")}
        sidecar.wait_for_line("the validator yaml is broken")
        asked = run_confstream("doctor", tree, onlooker.url, environment=lacking)
        assert sidecar.stop().code == 0

    assert (health["status"], health["code"], reason["level"]) == ("degraded", 200, "degraded")
    assert "the module yaml cannot be imported" in reason["what"]
    assert proven == {"yaml": 0, "json": 1}
    assert asked.code == 15, asked
    assert "the module yaml cannot be imported" in asked.stdout
    assert [str(entry.verdict.status) for entry in onlooker.log()] == ["ok", "ok"], "not checked is not invalid"

    (tree / "config.yml").write_text("cameras: {}\n")
    with confstream(*command) as mended:
        seen = Endpoints(mended)
        onlooker.wait_for_file("config.yml", b"cameras: {}\n", mended)
        seen.wait_for_health()
        assert seen.metric("validator_ok", validator="yaml") == 1
        assert mended.stop().code == 0
