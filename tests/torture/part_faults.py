"""A real process, a real S3 server, and between them a proxy that does what networks do on their worst day."""

import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from confstream import SystemClock, open_store, verify
from confstream.log.reader import LogReader
from tests.processes import ROOT, Process
from tests.proxy import CuttingProxy
from tests.servers import S3Server, run_moto, run_seaweed, wait_until
from tests.torture.editing import Editor, look
from tests.torture.figures import Figures, repeat
from tests.torture.pod import PATIENCE_SECONDS, Pod, Weather, pause

CLIENTS = ("s3fs", "lean")
EDITS = 60
LIVES = 4
_VERSIONS = 12
_LAST_REQUESTS = 12
_REQUESTS_SECONDS = 5.0
_CLOCK = SystemClock()


def run(seconds: float, seed: int) -> Figures:
    """Let one storm after another pass, before SeaweedFS and moto in turn."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        servers = []
        for start in (run_seaweed, run_moto):
            place = Path(tempfile.mkdtemp(dir=directory))
            servers.append(stack.enter_context(start(place)))
        return repeat(partial(any_storm, servers=servers, directory=directory), seed, seconds=seconds)


def any_storm(seed: int, figures: Figures, *, servers: list[S3Server], directory: Path) -> None:
    """Let the storm of *seed* pass: over a program that embeds confstream every third time, else over the command."""
    server, place = servers[seed % len(servers)], Path(tempfile.mkdtemp(prefix=f"storm-{seed}-", dir=directory))
    if seed // len(servers) % 3 == 2:
        storm_over_program(seed, figures, server=server, directory=place)
    else:
        storm_over_command(seed, figures, server=server, directory=place)


def storm_over_command(
    seed: int,
    figures: Figures,
    *,
    server: S3Server,
    directory: Path,
    edits: int = EDITS,
    client: str = "",
) -> None:
    """Edit a directory in bad weather, kill its process now and then, and see that everything arrived afterwards.

    Without *client*, either of the clients for S3.
    """
    draw = random.Random(f"storm {seed}")  # noqa: S311 - a seed, not a secret.
    tree, weather = directory / "tree", _weather(seed, draw)
    editor, client = Editor(tree, draw), client or draw.choice(CLIENTS)
    figures.more[f"storms_{client}"] += 1
    with _bad_line(server, weather, figures) as proxy, Pod(tree, server, proxy.endpoint, "--s3-client", client) as pod:
        try:
            pod.start()
            if draw.random() < 3 / 4:
                # A replica that is just being made rarely gets further in such weather.
                with weather.calm():
                    pod.wait_replicated(look(tree))
            for _ in range(edits):
                editor.edit()
                figures.operations += 1
                _what_else(draw, pod, proxy)
            _wait_for_requests(pod, proxy, _LAST_REQUESTS)
            weather.chance = 0.0
            state = look(tree)
            pod.wait_replicated(state)
            ended = pod.stop()
            assert ended.code == 0, ended
            assert look(tree) == state, "the directory itself was changed"
            figures.revisions_compared += pod.judge()
        finally:
            figures.kills += pod.kills
            figures.more.update({f"exit_{code}": count for code, count in pod.exits.items()})


def storm_over_program(seed: int, figures: Figures, *, server: S3Server, directory: Path) -> None:
    """Kill a program that writes and syncs again and again; what it acknowledged is there afterwards, in order."""
    draw = random.Random(f"storm {seed}")  # noqa: S311 - a seed, not a secret.
    weather, url, tree = _weather(seed, draw), server.make_replica(), directory / "tree"
    tree.mkdir()
    client = draw.choice(CLIENTS)
    figures.more[f"storms_{client}"] += 1
    written = synced = 0
    with _bad_line(server, weather, figures) as proxy:
        environment = {**server.env, "AWS_ENDPOINT_URL": proxy.endpoint}
        for life in range(LIVES):
            is_last = life == LIVES - 1
            last = written + _VERSIONS if is_last else 0
            if is_last:
                weather.chance = 0.0
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "tests.torture.syncing",
                tree,
                url,
                str(written + 1),
                str(last),
                client,
            ]
            with Process(command, environment=environment, cwd=ROOT) as process:
                if not is_last:
                    if life == 0:
                        with weather.calm():
                            process.wait_for_line("synced", on="stdout")
                    process.wait_for_line(f"wrote {written + draw.randint(3, _VERSIONS)}", on="stdout")
                    process.kill()
                    figures.kills += 1
                ended = process.finish()
            assert not is_last or ended.code == 0, ended
            assert "Traceback" not in ended.stderr, ended
            said = [line.split() for line in ended.stdout.splitlines()]
            written = max(int(number) for what, number in said if what == "wrote")
            synced = max([synced, *(int(number) for what, number in said if what == "synced")])
            figures.operations += len(said)
            _check_synced(server, url, synced, figures)
    assert synced == written


def _check_synced(server: S3Server, url: str, synced: int, figures: Figures) -> None:
    """Assert that every version until *synced* is in the log, once and in order, and nothing is wrong with it."""
    store = open_store(url, storage_options=server.quick_options)
    with contextlib.closing(store):
        report = verify(store) if synced else None
        assert report is None or report.ok, str(report)
        found = [int(made.revision.authorship.message) for made in LogReader(store).revisions()] if synced else []
    assert found[:synced] == [*range(1, synced + 1)], f"version {synced} was acknowledged, and the log has {found}"
    assert found == [*range(1, len(found) + 1)], f"twice, or not in order: {found}"
    figures.revisions_compared += len(found)


def _weather(seed: int, draw: random.Random) -> Weather:
    return Weather(random.Random(f"weather {seed}"), draw.choice((0.1, 0.2, 0.4)))  # noqa: S311 - a seed, not a secret.


@contextlib.contextmanager
def _bad_line(server: S3Server, weather: Weather, figures: Figures) -> Iterator[CuttingProxy]:
    """Give a proxy before *server* with *weather*, and count what that did."""
    with CuttingProxy("127.0.0.1", server.port) as proxy:
        proxy.weather = weather
        try:
            yield proxy
        finally:
            figures.faults += weather.faults.total()
            figures.more.update({f"fault_{name}": count for name, count in weather.faults.items()})
            figures.more["requests"] += len(proxy.seen)


def _what_else(draw: random.Random, pod: Pod, proxy: CuttingProxy) -> None:
    """Let happen what happens between two edits; a slow machine changes when, not what."""
    fate = draw.random()
    pod.keep_alive()
    if fate < 0.06:
        _wait_for_requests(pod, proxy, draw.randint(1, 12))
        pod.kill()
        pod.start()
    elif fate < 0.4:
        # So that this state is a revision, and does not vanish in the next one.
        pod.wait_captured(look(pod.tree))
    elif fate < 0.6:
        _wait_for_requests(pod, proxy, draw.randint(1, 3))
    else:
        pause(draw, 0.2)


def _wait_for_requests(pod: Pod, proxy: CuttingProxy, count: int) -> None:
    """Wait for *count* requests, but not for the pauses that the process makes after failures."""
    goal, end = len(proxy.seen) + count, _CLOCK.elapsed_seconds() + _REQUESTS_SECONDS

    def have_come() -> bool:
        pod.keep_alive()
        return len(proxy.seen) >= goal or _CLOCK.elapsed_seconds() > end

    wait_until(have_come, PATIENCE_SECONDS, f"{count} requests")
