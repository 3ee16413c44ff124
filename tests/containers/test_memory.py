"""What the sidecar takes in memory, in the container that deploy/ makes of it: at rest, and under too high a load."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.engine import NOBODY, Container, Engine, health
from tests.containers.pods import SIDECAR, protected
from tests.end_to_end.onlooker import Onlooker
from tests.servers import S3Server, free_port, wait_until

_FILES, _EDITS = 6_000, 1_000
# README has what it took; more than this would be another program.
_PEAK_MIB_MAX, _REST_MIB_MAX = 88, 74
_IDLE_MIB_MAX = {"lean": 54, "s3fs": 74}
_PATIENCE_SECONDS = 60


def _mebibytes(container: Container, name: str) -> float:
    """Return a size from the status of the first process of *container*, in MiB."""
    rows = (Path("/proc") / str(container.pid) / "status").read_text(encoding="ascii").splitlines()
    (row,) = [row for row in rows if row.startswith(f"{name}:")]
    return int(row.split()[1]) / 1024


def _metric(port: int, name: str) -> float:
    code, text = health(port, "/metrics")
    rows = [row for row in str(text).splitlines() if row.startswith(f"confstream_{name}{{")] if code == 200 else []
    return float(rows[0].split()[-1]) if rows else -1.0


def _is_settled(sidecar: Container, port: int) -> bool:
    assert sidecar.is_running, sidecar.logs
    return _metric(port, "up_to_date") == 1 and _metric(port, "pending_changes") == 0


def test_p14_the_sidecar_stays_within_its_bounds_with_6000_files_and_1000_edits(
    engine: Engine, seaweed: S3Server, replica: str, volume: Path, record_property: Callable[[str, object], None]
) -> None:
    seeded, port = random.Random(4), free_port()  # noqa: S311 - the same load every time.
    paths = [volume / f"{number % 60:02}" / f"{number}.yml" for number in range(_FILES)]
    _fill(paths, seeded)
    variables = {**seaweed.env, "CONFSTREAM_REPLICA": replica}
    pod = engine.play(protected(engine.image, volume, variables, user=NOBODY, port=port))
    sidecar = pod[SIDECAR]
    wait_until(lambda: _is_settled(sidecar, port), _PATIENCE_SECONDS, f"the first revision: {sidecar.logs[-500:]}")
    started = _mebibytes(sidecar, "VmHWM")

    for number in range(_EDITS):
        seeded.choice(paths).write_text(f"edit: {number}\n{'# words ' * 20}\n")
    paths[-1].write_text("last: edit\n")
    wait_until(lambda: _metric(port, "files") >= _FILES and _last_is_there(replica), _PATIENCE_SECONDS, "the last edit")
    wait_until(lambda: _is_settled(sidecar, port), _PATIENCE_SECONDS, f"the end of it: {sidecar.logs[-500:]}")

    peak, idle = _mebibytes(sidecar, "VmHWM"), _mebibytes(sidecar, "VmRSS")
    assert sidecar.is_running
    assert not sidecar.was_out_of_memory
    told = f"{started:.0f} MiB at the first revision, {peak:.0f} MiB at most, {idle:.0f} MiB at rest"
    record_property("measured", f"sidecar of {_FILES} files with {_EDITS} edits: {told}")
    assert peak <= _PEAK_MIB_MAX
    assert idle <= _REST_MIB_MAX


def _fill(paths: list[Path], seeded: random.Random) -> None:
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"key-{seeded.random()}: value\n" for _ in range(20)))


def _last_is_there(replica: str) -> bool:
    onlooker = Onlooker(replica)
    try:
        return onlooker.read("59/5999.yml") == b"last: edit\n"
    finally:
        onlooker.close()


@pytest.mark.parametrize("client", [*_IDLE_MIB_MAX])
def test_p14_an_idle_sidecar_of_a_small_configuration_is_small(
    engine: Engine,
    seaweed: S3Server,
    replica: str,
    make_volume: Callable[..., Path],
    *,
    client: str,
    record_property: Callable[[str, object], None],
) -> None:
    volume, port = make_volume(), free_port()
    (volume / "config.yml").write_text("cameras: {front: {enabled: true}}\n" * 100)
    variables = {**seaweed.env, "CONFSTREAM_REPLICA": replica, "CONFSTREAM_S3_CLIENT": client}
    pod = engine.play(protected(engine.image, volume, variables, user=NOBODY, port=port))
    sidecar = pod[SIDECAR]
    wait_until(lambda: _is_settled(sidecar, port), _PATIENCE_SECONDS, f"the first revision: {sidecar.logs[-500:]}")

    idle = _mebibytes(sidecar, "VmRSS")

    record_property("measured", f"sidecar of one file with {client}: {idle:.0f} MiB at rest")
    assert f"S3 client {client}" in sidecar.logs
    assert idle <= _IDLE_MIB_MAX[client]
