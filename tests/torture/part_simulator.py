"""The real log, journal, compactor and restore over simulated time, storage and sudden ends."""

import random
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from confstream import plan
from confstream.log.reader import LogReader
from confstream.store.memory import MemoryStore
from confstream.tree import content_hash
from confstream.verifier import Flaw, verify
from tests.torture.figures import Figures, repeat
from tests.torture.simulator.actors import Packer, Reader, Restorer, Weathermaker, Writer, make_writers
from tests.torture.simulator.scheduler import SECOND
from tests.torture.simulator.world import Scenario, World

_MEMORY = Path("/dev/shm")  # noqa: S108 - many small files that nobody has to keep.
_ENDS_SECONDS = 5 * 24 * 3600


def run(seconds: float, seed: int) -> Figures:
    """Simulate one history after the other."""
    return repeat(simulate, seed, seconds=seconds)


@dataclass(slots=True)
class Outcome:
    """What one history came to."""

    digest: str
    operations: int
    revisions: int


def simulate(seed: int, figures: Figures) -> None:
    """Live through the history of *seed*; where it fails, find the smallest scenario that fails, too."""
    scenario = Scenario.choose(random.Random(seed))  # noqa: S311 - a seed, not a secret.
    try:
        history(seed, scenario, figures)
    except AssertionError as error:
        smallest, text = _smallest(seed, scenario, str(error))
        raise AssertionError(f"{text}\nsmallest: {smallest}") from None


def history(seed: int, scenario: Scenario, figures: Figures) -> Outcome:
    """Live through one history in *scenario*; raise ``AssertionError`` with the end of its trace if it goes wrong."""
    base = Path(tempfile.mkdtemp(prefix="confstream-simulated-", dir=_MEMORY if _MEMORY.is_dir() else None))
    world = World(seed, scenario, base)
    try:
        with world.installed():
            compared = _live(world, figures)
        figures.more["revisions"] += world.oracle.head
        figures.revisions_compared += compared
        return Outcome(world.digest.hexdigest(), world.operations, world.oracle.head)
    except AssertionError as error:
        trace = "\n".join(world.tail)
        raise AssertionError(f"{trace}\n{scenario}\nafter {world.operations} steps: {error}") from error
    finally:
        figures.operations += world.operations
        figures.kills += world.kills
        figures.faults += world.weather.faults.total() + world.disk.refusals
        figures.more["disk_full"] += world.disk.refusals
        figures.more["merged"] += world.merged
        figures.more["files_changed"] += world.disk.calls
        figures.more["simulated_hours"] += int(world.scheduler.seconds // 3600)
        shutil.rmtree(base, ignore_errors=True)


def first_failure(seeds: Iterable[int], scenario: Scenario | None = None) -> str:
    """Return how the first of *seeds* that fails does, and nothing if none does.

    Each lives in *scenario*, or in one that its seed chooses: what is broken on
    purpose is found out so.
    """
    for seed in seeds:
        chosen = scenario or Scenario.choose(random.Random(seed))  # noqa: S311 - a seed, not a secret.
        try:
            history(seed, chosen, Figures())
        except AssertionError as error:
            return str(error).strip()
    return ""


def _live(world: World, figures: Figures) -> int:
    """Let everybody live, let it become calm, and look at what is left; return how many revisions were compared."""
    scenario, scheduler = world.scenario, world.scheduler
    writers, packer, reader, restorer = make_writers(world), Packer(world), Reader(world), Restorer(world)
    weather = Weathermaker(world, writers, packer)
    tasks = [scheduler.spawn(writer.live, f"life of {writer.name}", None) for writer in writers]
    others = [scheduler.spawn(weather.live, "weather", None)]
    for name, actor in (("packer", packer), ("reader", reader), ("restorer", restorer)):
        if getattr(scenario, name):
            others.append(scheduler.spawn(actor.live, f"life of the {name}", None))
    for group in (tasks, others):
        while not all(task.done for task in group):
            scheduler.sleep(60 * SECOND)
            assert scheduler.seconds < _ENDS_SECONDS, "nobody comes to an end"
        world.is_over = True
        weather.calm()
    for writer in writers:
        writer.finish()
    _check_end(world, writers)
    compared = _compare_all(world, reader)
    figures.more["pauses"] += weather.pauses
    figures.more["clock_jumps"] += weather.jumps
    figures.more["restores"] += restorer.compared
    return compared + restorer.compared


def _check_end(world: World, writers: list[Writer]) -> None:
    """The last writer's tree is the newest revision, and the replica is proven whole."""
    last, oracle = writers[-1], world.oracle
    found = {path: node for path, node in oracle.chain[-1].tree.items() if node.kind == "file"}
    expected = {
        str(path.relative_to(last.tree)).encode()
        for path in last.tree.rglob("*")
        if path.is_file() and ".confstream" not in path.relative_to(last.tree).parts
    }
    assert set(found) == expected, f"the newest revision holds {sorted(found)}, the disk {sorted(expected)}"
    for path, node in found.items():
        digest = content_hash((last.tree / path.decode()).read_bytes())
        assert node.hash == digest, f"the newest revision has another {path!r} than the disk"


def _compare_all(world: World, reader: Reader) -> int:
    """Verify the replica, and compare every revision that there is with what it was."""
    store = MemoryStore()
    for key, body in world.bucket.objects.items():
        store.put(key, body)
    if world.scenario.storage == "local":
        for path in (world.replica / "heartbeat").glob("[!.]*"):
            store.put(f"heartbeat/{path.name}", path.read_bytes())
    report = verify(store)
    allowed = {Flaw.FOREIGN, Flaw.STRAY} if world.oracle.strays else {Flaw.FOREIGN}
    problems = [problem for problem in report.problems if problem.flaw not in allowed]
    assert not problems, f"the replica is not whole: {report}"
    log = LogReader(store)
    assert log.listing.head == world.oracle.head
    assert plan.reachable(log.listing) == [(1, world.oracle.head)]
    for number in range(1, world.oracle.head + 1):
        reader.compare(log, number)
    return reader.compared


def _smallest(seed: int, scenario: Scenario, text: str) -> tuple[Scenario, str]:
    """Return the smallest scenario that fails with *seed*, and how."""
    found = True
    while found:
        found = False
        for smaller in scenario.smaller():
            try:
                history(seed, smaller, Figures())
            except AssertionError as error:
                scenario, text, found = smaller, str(error), True
                break
    return scenario, text
