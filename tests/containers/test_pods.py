"""The life of a pod: first start, edits, loss of the volume, overlap, outages, the last words of its application."""

import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import NOBODY, Engine, Pod, health
from tests.containers.pods import APPLICATION, RESTORE, SIDECAR, protected
from tests.end_to_end.onlooker import Onlooker
from tests.manifests import DEPLOY, documents
from tests.proxy import CuttingProxy
from tests.servers import S3Server, environment, free_port, wait_until

_UNREACHABLE, _FENCED = 16, 11
_READS = "print(open('/config/config.yml').read(), flush=True);"
_WAITS = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"
# What applications do when they are told to end: some of it at once, the rest when everything else is closed.
_WRITES_AT_THE_END = """import pathlib, signal, threading
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
state = pathlib.Path("/config/state.yml")
state.write_text("running: 1\\n")
while not told.wait(0.1):
    pass
for number in range(5):
    state.write_text(f"closing: {number}\\n" * 100)
    threading.Event().wait(0.4)
state.write_text("last: words\\n")
"""

MakePod = Callable[..., Pod]


@pytest.fixture
def onlooker(replica: str) -> Iterator[Onlooker]:
    looking = Onlooker(replica)
    yield looking
    looking.close()


@pytest.fixture
def make_pod(engine: Engine, seaweed: S3Server, replica: str) -> MakePod:
    """Give a maker of protected pods."""

    def make(volume: Path, *, endpoint: str = "", **settings: Any) -> Pod:
        variables = {**environment(endpoint or seaweed.endpoint), "CONFSTREAM_REPLICA": replica}
        settings.setdefault("port", free_port())
        pod = engine.play(protected(engine.image, volume, variables, user=NOBODY, **settings))
        assert pod.has_started, pod.played
        return pod

    return make


def _write(volume: Path, text: str) -> None:
    (volume / "config.yml").write_text(text)


def test_a_volume_that_is_lost_with_its_pod_is_restored_by_the_next_pod(
    make_pod: MakePod, make_volume: Callable[..., Path], onlooker: Onlooker
) -> None:
    first = make_volume("first")
    pod = make_pod(first)
    assert "first start" in pod[RESTORE].logs
    pod[SIDECAR].wait_for_line("watching")
    _write(first, "cameras: 1\n")
    onlooker.wait_for_file("config.yml", b"cameras: 1\n")
    _write(first, "cameras: 2\n")
    onlooker.wait_for_file("config.yml", b"cameras: 2\n")
    # The node goes, and its disk with it.
    pod.remove()

    again = make_pod(make_volume("second"), program=_READS + _WAITS)

    assert "restored revision" in again[RESTORE].logs
    again[APPLICATION].wait_for_line("cameras: 2")
    assert onlooker.versions("config.yml") == [b"cameras: 1\n", b"cameras: 2\n"]


def test_p5_two_pods_that_overlap_do_not_interleave_and_one_is_fenced(
    make_pod: MakePod, make_volume: Callable[..., Path], onlooker: Onlooker
) -> None:
    old_volume, new_volume = make_volume("old"), make_volume("new")
    _write(old_volume, "pod: old\n")
    old = make_pod(old_volume)
    onlooker.wait_for_file("config.yml", b"pod: old\n")
    _write(new_volume, "pod: new\n")
    new = make_pod(new_volume)
    onlooker.wait_for_file("config.yml", b"pod: new\n")

    for number in range(5):
        _write(old_volume, f"pod: old, edit: {number}\n")
        _write(new_volume, f"pod: new, edit: {number}\n")
        onlooker.wait_for_file("config.yml", f"pod: new, edit: {number}\n".encode())

    assert old[SIDECAR].wait() == _FENCED
    assert new[SIDECAR].is_running
    writers = [writer for writer, _ in groupby(entry.writer for entry in onlooker.log())]
    assert len(writers) == len(set(writers)) == 2
    # What the old one had not published is kept, too.
    assert any(entry.fork is not None for entry in onlooker.forks())


def test_p7_two_pods_on_one_volume_do_not_interleave_either(
    make_pod: MakePod, make_volume: Callable[..., Path], onlooker: Onlooker
) -> None:
    volume = make_volume()
    _write(volume, "edit: 0\n")
    first = make_pod(volume)
    onlooker.wait_for_file("config.yml", b"edit: 0\n")

    second = make_pod(volume)

    assert second[SIDECAR].wait() != 0
    assert "another" in second[SIDECAR].logs
    _write(volume, "edit: 1\n")
    onlooker.wait_for_file("config.yml", b"edit: 1\n")
    assert first[SIDECAR].is_running
    assert len({entry.writer for entry in onlooker.log()}) == 1


def test_p2_with_the_storage_down_at_the_start_a_pod_with_its_configuration_starts_and_catches_up(
    make_pod: MakePod, volume: Path, seaweed: S3Server, onlooker: Onlooker
) -> None:
    _write(volume, "a: 1\n")
    port = free_port()
    with CuttingProxy("127.0.0.1", seaweed.port) as storage:
        storage.fail("reset", method="*", times=10**6)

        pod = make_pod(volume, endpoint=storage.endpoint, program=_READS + _WAITS, port=port)

        assert "present" in pod[RESTORE].logs
        pod[APPLICATION].wait_for_line("a: 1")
        wait_until(lambda: health(port)[0] == 503, 60, "red health")
        # The application is in service all the same.
        assert health(port, "/readyz")[0] == 200
        assert health(port, "/livez")[0] == 200
        storage.reset()
        onlooker.wait_for_file("config.yml", b"a: 1\n")
        wait_until(lambda: health(port)[0] == 200, 60, "green health")
        pod[SIDECAR].wait_for_line("recovered")


def test_p2_with_the_storage_down_at_the_start_a_pod_without_its_configuration_does_not_start(
    engine: Engine, replica: str, volume: Path
) -> None:
    nowhere = environment(f"http://127.0.0.1:{free_port()}")
    variables = {**nowhere, "CONFSTREAM_REPLICA": replica, "CONFSTREAM_TIMEOUT": "3s"}

    pod = engine.play(protected(engine.image, volume, variables, user=NOBODY, port=free_port()))

    assert not pod.has_started
    assert pod[RESTORE].code == _UNREACHABLE, pod[RESTORE].logs
    assert not pod[APPLICATION].is_running
    assert list(volume.iterdir()) == []


def test_the_last_words_of_an_application_arrive_within_the_grace_period(
    make_pod: MakePod, volume: Path, onlooker: Onlooker
) -> None:
    pod = make_pod(volume, program=_WRITES_AT_THE_END)
    onlooker.wait_for_file("state.yml", b"running: 1\n")

    codes = pod.end(APPLICATION)

    assert codes[SIDECAR] == 0, pod[SIDECAR].logs
    assert onlooker.read("state.yml") == b"last: words\n"


def test_without_native_sidecars_the_wait_before_the_last_look_is_enough(
    make_pod: MakePod, volume: Path, onlooker: Onlooker
) -> None:
    pod = make_pod(volume, program=_WRITES_AT_THE_END, component="component-plain")
    onlooker.wait_for_file("state.yml", b"running: 1\n")
    (patch,) = documents(DEPLOY / "kubernetes" / "component-plain" / "protect.yaml")
    (ours,) = patch["spec"]["template"]["spec"]["containers"]
    waiting = [word.replace("sleep(15)", "sleep(4)") for word in ours["lifecycle"]["preStop"]["exec"]["command"]]

    # What a kubelet does: the application is told at once, confstream after its preStop.
    told = threading.Thread(target=pod[APPLICATION].stop)
    told.start()
    assert pod[SIDECAR].execute(*waiting).code == 0
    code = pod[SIDECAR].stop(pod.grace_seconds)
    told.join()

    assert code == 0, pod[SIDECAR].logs
    assert onlooker.read("state.yml") == b"last: words\n"
