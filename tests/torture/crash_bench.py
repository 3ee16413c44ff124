"""Kill or cut one scenario at its points, recover, and check: the program that does it, and how to call it.

``python -m tests.torture.crash_bench PART SCENARIO... --seed S --limit N``
prints one line of JSON for each scenario. PART is ``crashes`` (SIGKILL at named points) or
``power`` (the states that a power cut may leave). ``--broken MODULE:NAME``
calls that function first, which breaks confstream on purpose.
"""

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.torture.crash_place import Place
    from tests.torture.crash_scenarios import Scenario
    from tests.torture.power_disk import State

PARTS = ("crashes", "power")
ROOT = Path(__file__).resolve().parents[2]
NAME = "tests.torture.crash_bench"
_SHOWN_MAX = 3


@dataclass
class Result:
    """What came of one scenario.

    *points* there are (or states), how many were *tried*, of which *kills*;
    how many *revisions* were compared with what they had been; *failures* in words.
    """

    part: str = ""
    scenario: str = ""
    seed: int = 0
    points: int = 0
    tried: int = 0
    kills: int = 0
    revisions: int = 0
    failures: list[str] = field(default_factory=list)


def bench(part: str, names: Sequence[str], seed: int, *, limit: int = 0, broken: str = "") -> list[Result]:
    """Run the program for *part* of the scenarios of *names* and return what came of each.

    At most *limit* points are tried of each, chosen by *seed*; 0 is all. *broken*
    names a function, ``module:name``, that breaks confstream first: then the
    first failure ends it.
    """
    command = [sys.executable, "-m", NAME, part, *names, "--seed", str(seed), "--limit", str(limit)]
    command += ["--broken", broken] if broken else []
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return [Result(**json.loads(line)) for line in done.stdout.splitlines()]


def scenarios(*, cuttable: bool = False) -> list[str]:
    """Return the names of all scenarios, or of those that a power cut can meet."""
    from tests.torture.crash_scenarios import SCENARIOS  # noqa: PLC0415 - the program itself loads it later.

    return [name for name, scenario in SCENARIOS.items() if scenario.is_cuttable or not cuttable]


class Bench:
    """One scenario in a directory of its own."""

    def __init__(self, work: Path, scenario: "Scenario", result: Result, *, until_failure: bool = False) -> None:
        from tests.torture.crash_place import Place  # noqa: PLC0415 - after what watches it is installed.

        self._until_failure = until_failure
        self._scenario = scenario
        self._result = result
        self._log = work / "log"
        self._original = work / "original"
        self._place: Place = Place(work / "now", work / "notes")
        self._base = os.fsencode(self._place.base)

    def prepare(self) -> None:
        """Make what is there before, and keep a copy."""
        from tests.torture.crash_children import work_in_child  # noqa: PLC0415 - likewise.

        self._place.base.mkdir()
        work_in_child(partial(_prepare, self._scenario, self._place), self._log)
        shutil.copytree(self._place.base, self._original, symlinks=True)

    def kill_at_points(self, chance: random.Random, limit: int, only: str) -> None:
        """Enumerate the points, and kill at each of those that are chosen."""
        from tests.torture.crash_children import CrashError, killed_in_child, work_in_child  # noqa: PLC0415 - likewise.

        self._reset()
        points = work_in_child(partial(_enumerate, self._scenario, self._place), self._log)
        self._result.points = len(points)
        for point in [only] if only else _chosen(points, chance, limit):
            self._reset()
            try:
                was_killed, said = killed_in_child(partial(_act, self._scenario, self._place, point), self._log)
                self._result.kills += was_killed
                self._recover(said)
            except CrashError as error:
                self._fail(point, str(error))
            self._result.tried += 1
            if self._is_over:
                break

    def cut_power(self, chance: random.Random, limit: int, only: str) -> None:
        """Record what is done, and recover from what may be left of it."""
        from tests.torture.crash_children import CrashError, work_in_child  # noqa: PLC0415 - likewise.
        from tests.torture.power_disk import states_after  # noqa: PLC0415 - likewise.

        # In place: the inodes that the journal knows are the true ones.
        before, root, trace = work_in_child(partial(_record, self._scenario, self._place), self._log)
        states = states_after(before, root, trace, chance)
        self._result.points = len(states)
        for number in [int(only)] if only else _chosen(range(len(states)), chance, limit):
            state: State = states[number]
            faces = state.build(self._place.base)
            try:
                self._recover(list(state.said), faces)
            except CrashError as error:
                self._fail(str(number), f"{state.why}, after {list(state.said)}: {error}")
            self._result.tried += 1
            if self._is_over:
                break

    @property
    def _is_over(self) -> bool:
        return self._until_failure and bool(self._result.failures)

    def _reset(self) -> None:
        shutil.rmtree(self._place.base)
        shutil.copytree(self._original, self._place.base, symlinks=True)

    def _recover(self, said: list[str], faces: Any = None) -> None:
        from tests.torture.crash_children import work_in_child  # noqa: PLC0415 - likewise.

        self._result.revisions += work_in_child(partial(_recover, self._scenario, self._place, said, faces), self._log)

    def _fail(self, point: str, text: str) -> None:
        if len(self._result.failures) < _SHOWN_MAX:
            result = self._result
            again = f"python -m {NAME} {result.part} {result.scenario} --seed {result.seed} --only '{point}'"
            text = f"{text}\nSee it again: {again}"
        self._result.failures.append(f"{self._result.scenario} at {point}: {text}")


def _prepare(scenario: "Scenario", place: "Place") -> None:
    from confstream import NoReplicaError  # noqa: PLC0415 - likewise.

    scenario.prepare(place)
    before = place.noted.get("before", place.contents)
    with contextlib.suppress(NoReplicaError):
        place.note(
            trees=place.ask(lambda history: {str(e.number): history.tree(e.number).digest.hex() for e in history.log()})
        )
    place.note(before=before, revisions=place.revisions)


def _enumerate(scenario: "Scenario", place: "Place") -> list[str]:
    from tests.torture.calls import watch  # noqa: PLC0415 - likewise.
    from tests.torture.crash_points import Enumerator  # noqa: PLC0415 - likewise.

    observer = Enumerator(os.fsencode(place.base))
    watch(os.fsencode(place.base), observer)
    scenario.act(place)
    return observer.points


def _act(scenario: "Scenario", place: "Place", point: str, pipe: int) -> None:
    from tests.torture.calls import watch  # noqa: PLC0415 - likewise.
    from tests.torture.crash_points import Killer  # noqa: PLC0415 - likewise.

    base = os.fsencode(place.base)
    watch(base, Killer(base, point, pipe))
    scenario.act(place)


def _record(scenario: "Scenario", place: "Place") -> tuple[Any, int, Any]:
    from tests.torture.calls import watch  # noqa: PLC0415 - likewise.
    from tests.torture.power_trace import Recorder  # noqa: PLC0415 - likewise.

    base = os.fsencode(place.base)
    recorder = Recorder(base)
    watch(base, recorder)
    scenario.act(place)
    return recorder.before, recorder.root, recorder.operations


def _recover(scenario: "Scenario", place: "Place", said: list[str], faces: Any) -> int:
    """Check, recover and check; return how many revisions were read for that."""
    from tests.torture.crash_scenarios import DONE  # noqa: PLC0415 - likewise.
    from tests.torture.power_faces import put_on  # noqa: PLC0415 - likewise.

    if faces is not None:
        put_on(faces)
    scenario.check_crashed(place, said)
    if DONE in said:
        scenario.check_ended(place, said)
    scenario.again(place)
    scenario.check_ended(place, said)
    return place.compared


def _chosen(points: Any, chance: random.Random, limit: int) -> list[Any]:
    found = list(points)
    return chance.sample(found, min(limit or len(found), len(found)))


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    shared = Path("/dev/shm")  # noqa: S108 - a tmpfs, where syncs are quick and inode numbers come once.
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="confstream-crash-") as name:
        yield Path(name)


def _break(broken: str) -> None:
    module, _, name = broken.partition(":")
    function: Callable[[], None] = getattr(importlib.import_module(module), name)
    function()


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("scenarios", nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--broken", default="")
    asked = parser.parse_args()
    from tests.torture import calls  # noqa: PLC0415 - before confstream is imported.

    calls.install()
    from tests.torture.crash_children import import_everything  # noqa: PLC0415 - and only then that.

    import_everything()
    from tests.torture.crash_scenarios import SCENARIOS  # noqa: PLC0415 - likewise.

    if asked.broken:
        _break(asked.broken)
    for name in asked.scenarios:
        chance = random.Random(f"{asked.part} {name} {asked.seed}")  # noqa: S311 - a seed, no secret.
        result = Result(asked.part, name, asked.seed)
        with _workplace() as work:
            bench = Bench(work, SCENARIOS[name], result, until_failure=bool(asked.broken))
            bench.prepare()
            run = bench.kill_at_points if asked.part == "crashes" else bench.cut_power
            run(chance, asked.limit, asked.only)
        print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - what it is for.


if __name__ == "__main__":
    main()
