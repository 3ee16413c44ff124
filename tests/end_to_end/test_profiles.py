"""Profiles at work: what is recognised, tracked, missed and judged by the real commands."""

from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.processes import confstream, run_confstream
from tests.profile_trees import make

_OPTIONS = ("--settle", "0.2s", "--heartbeat", "0")
_SQLITE = b"SQLite format 3\0".ljust(4096, b"\0")


def _publish(tree: Path, replica: str, *options: str) -> str:
    done = run_confstream("replicate", tree, replica, "--once", *_OPTIONS, *options)
    assert done.code == 0, done
    return done.stderr


def _frigate(root: Path) -> Path:
    make(root, "frigate")
    (root / ".runtime_state.json").write_text("{}")
    return root


def _paths(replicas: Replicas, replica: str) -> set[str]:
    return {entry.path.decode() for entry in replicas.look_at(replica).tree().files}


def test_the_database_of_zigbee2mqtt_is_included_while_that_of_frigate_is_excluded(
    replicas: Replicas, tmp_path: Path
) -> None:
    zigbee, frigate = make(tmp_path / "z2m", "zigbee2mqtt"), _frigate(tmp_path / "frigate")
    (frigate / "frigate.db").write_bytes(_SQLITE)
    (frigate / "other.db").write_bytes(_SQLITE)
    first, second = replicas.make(), replicas.make()

    assert "profile zigbee2mqtt: database.db begins with '{\"id\":'" in _publish(zigbee, first)
    assert "profile frigate: config.yml has a line 'cameras:'" in _publish(frigate, second)

    assert "database.db" in _paths(replicas, first)
    found = _paths(replicas, second)
    assert "config.yml" in found
    assert not {path for path in found if ".db" in path or path.startswith("model_cache/")}


@pytest.mark.parametrize("damage", ["lost", "blank"])
def test_p2_a_lost_guard_of_the_recognised_profile_is_restored_although_nothing_tells_the_profile_any_more(
    damage: str, replicas: Replicas, tmp_path: Path
) -> None:
    tree, replica = _frigate(tmp_path / "tree"), replicas.make()
    _publish(tree, replica)
    config = (tree / "config.yml").read_bytes()
    (tree / ".jwt_secret").write_text("newer\n")
    if damage == "lost":
        (tree / "config.yml").unlink()
    else:
        (tree / "config.yml").write_bytes(b"\0" * 4096)

    done = run_confstream("restore", replica, tree, "--if-missing")

    assert done.code == 0, done
    assert "profile frigate: as before" in done.stderr
    assert (tree / "config.yml").read_bytes() == config
    assert (tree / ".jwt_secret").read_text() == "newer\n"


def test_p2_a_guard_that_is_given_replaces_that_of_the_profile(replicas: Replicas, tmp_path: Path) -> None:
    tree, replica = _frigate(tmp_path / "tree"), replicas.make()
    _publish(tree, replica)
    (tree / "config.yml").unlink()

    done = run_confstream("restore", replica, tree, "--if-missing", "--guard", ".jwt_secret")

    assert done.code == 0, done
    assert done.stdout.startswith("the configuration is present: .jwt_secret is present")
    assert not (tree / "config.yml").exists()


def test_p2_what_was_just_restored_is_guarded_although_it_was_never_replicated_here(
    replicas: Replicas, tmp_path: Path
) -> None:
    tree, replica, volume = _frigate(tmp_path / "tree"), replicas.make(), tmp_path / "volume"
    _publish(tree, replica)
    assert run_confstream("restore", replica, volume, "--if-missing").code == 0
    (volume / "config.yml").unlink()

    done = run_confstream("restore", replica, volume, "--if-missing")

    assert done.code == 0, done
    assert (volume / "config.yml").exists()


def test_an_application_that_comes_after_the_sidecar_is_recognised_before_its_caches_are_published(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    with confstream("replicate", tree, replica, *_OPTIONS) as writer:
        writer.wait_for_line("profile generic")
        writer.wait_for_line("watching")
        _frigate(tree)
        writer.wait_for_line("profile frigate")
        onlooker.wait_for_file("config.yml", (tree / "config.yml").read_bytes(), writer)
        (tree / "config.yml").write_text("cameras: {door: {}}\n")
        onlooker.wait_for_file("config.yml", b"cameras: {door: {}}\n", writer)
        assert writer.stop().code == 0

    assert not [path for path in _paths(replicas, replica) if path.startswith(("model_cache/", "frigate.db"))]


def test_another_profile_takes_files_out_of_the_tree_and_says_that_they_are_not_deleted(
    replicas: Replicas, tmp_path: Path
) -> None:
    tree, replica = _frigate(tmp_path / "tree"), replicas.make()
    _publish(tree, replica, "--profile", "generic")
    assert "model_cache/yolo/model.onnx" in _paths(replicas, replica)

    said = _publish(tree, replica)

    assert "no longer tracked, still on the disk" in said
    newest = replicas.look_at(replica).log()[-1]
    assert newest.authorship.source == "untrack"
    assert (tree / "model_cache/yolo/model.onnx").exists()
    assert "no longer tracked, still on the disk" in run_confstream("log", replica).stdout


def test_p10_a_configuration_without_a_key_that_the_profile_requires_is_no_default_target(
    replicas: Replicas, tmp_path: Path
) -> None:
    tree, replica, volume = _frigate(tmp_path / "tree"), replicas.make(), tmp_path / "volume"
    _publish(tree, replica)
    good = (tree / "config.yml").read_bytes()
    (tree / "config.yml").write_text("mqtt: {enabled: false}\n")
    _publish(tree, replica)

    done = run_confstream("restore", replica, volume, "--if-missing")

    assert "config.yml: the required key cameras is missing" in done.stderr
    assert "--revision 2 selects it" in done.stderr
    assert (volume / "config.yml").read_bytes() == good
