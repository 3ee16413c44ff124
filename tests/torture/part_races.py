"""Races of many: twenty processes publish to one replica, and one order must explain all that they were told."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from confstream import open_store, verify
from confstream.log.reader import LogReader
from confstream.store import Store
from tests.processes import ROOT
from tests.servers import S3Server, run_moto, run_seaweed
from tests.torture.figures import Figures, repeat
from tests.torture.linear import CREATED, Operation, complaint, log, wrong_slots
from tests.torture.racers import KINDS, Race

STORES = ("local", "moto", "seaweed")
_DEADLINE_SECONDS = 240.0
# SeaweedFS takes more than a second to decide who of twenty was first.
_ROUNDS = {"local": 12, "moto": 6, "seaweed": 3}


def run(seconds: float, seed: int) -> Figures:
    """Run one race after another, at every store in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        servers = _servers(Path(name), stack)
        return repeat(partial(race_of, servers=servers, directory=Path(name)), seed, seconds=seconds)


def _servers(directory: Path, stack: ExitStack) -> dict[str, S3Server]:
    found = {}
    for server, start in {"moto": run_moto, "seaweed": run_seaweed}.items():
        (directory / server).mkdir()
        found[server] = stack.enter_context(start(directory / server))
    return found


def race_of(seed: int, figures: Figures, *, servers: dict[str, S3Server], directory: Path) -> None:
    """Run the race that *seed* says."""
    kind = [*KINDS][seed // len(STORES) % len(KINDS)]
    race_at(STORES[seed % len(STORES)], kind, seed, figures, servers=servers, directory=directory)


def race_at(
    where: str, kind: str, seed: int, figures: Figures, *, servers: dict[str, S3Server], directory: Path
) -> None:
    """Let twenty processes race at a store, and judge what they were told."""
    draw = random.Random(seed)  # noqa: S311 - a seed, not a secret.
    place = Path(tempfile.mkdtemp(prefix=f"race-{seed}-", dir=directory))
    server = servers.get(where)
    url = str(place / "replica") if server is None else server.make_replica()
    options = {} if server is None else {**server.storage_options, "s3_client": draw.choice(("s3fs", "lean"))}
    rounds = _ROUNDS[where] if kind in ("slots", "trees") else max(2, _ROUNDS[where] // 3)
    race = Race(kind, url, str(place), seed, rounds=rounds, lives=draw.randint(2, 4), options=options)
    _start(race)
    store = open_store(url, storage_options={} if server is None else server.quick_options)
    try:
        told = [line for path in race.records for line in map(json.loads, path.read_text("utf-8").splitlines())]
        figures.operations += len(told)
        figures.more[f"races_{where}"] += 1
        figures.more["processes"] += race.racers + race.readers
        _JUDGES[kind](told, store, race, figures)
    finally:
        store.close()


def _start(race: Race) -> None:
    plan = Path(race.directory) / "race.json"
    plan.write_text(json.dumps(asdict(race)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.racers", plan],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        timeout=_DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{race}: {done.returncode} racers failed\n{done.stderr.decode()[-6000:]}"


def _judge_slots(told: list[dict[str, Any]], store: Store, race: Race, figures: Figures) -> None:
    operations = [_operation(line) for line in told]
    wrong = wrong_slots(operations)
    assert not wrong, "\n".join(wrong)
    for number in range(1, race.rounds + 1):
        key = f"log/{number:020d}"
        (winner,) = [one.actor for one in operations if (one.key, one.answer) == (key, CREATED)]
        assert store.get(key).decode() == winner, f"{key} was created by {winner}, and is not what that wrote"
        figures.more["slots"] += 1


def _judge_trees(told: list[dict[str, Any]], store: Store, _race: Race, figures: Figures) -> None:
    """Everything is in the log or, where its writer was fenced, in a fork, once; one order explains what was told."""
    final, forked = _messages(store, figures)
    operations = [_operation(line) for line in told if line["name"] in ("append", "read")]
    _check_order(operations, final)
    for line in told:
        if line["name"] == "append":
            assert final[line["answer"] - 1] == line["argument"], f"{line} was told, and the log has {final}"
        if line["name"] == "forked":
            assert line["argument"] in forked, f"{line['argument']} was fenced, and is in no fork: {sorted(forked)}"
            assert line["argument"] not in final, f"{line['argument']} was said to be fenced, and is in the log"
    assert len(final) == sum(line["name"] == "append" for line in told), "the log has what nobody was told of"
    figures.more["forked"] += len(forked)


def _judge_equal_trees(told: list[dict[str, Any]], store: Store, race: Race, figures: Figures) -> None:
    """Who has the same tree has nothing to publish: each is in the log once, and a fence is no loss."""
    final, _ = _messages(store, figures)
    operations = [_operation(line) for line in told if line["name"] in ("append", "read")]
    _check_order(operations, final)
    assert {line["argument"] for line in told if line["name"] == "append"} == set(final)
    reader = LogReader(store)
    digests = [made.revision.tree_hash for made in reader.revisions()]
    assert len(set(digests)) == race.rounds, "some tree is missing"
    assert all(one != two for one, two in pairwise(digests)), "the same tree twice in a row"


def _judge_journals(told: list[dict[str, Any]], store: Store, race: Race, figures: Figures) -> None:
    """What was synced is in the log, what was only written in the log or a fork, and nothing in both."""
    final, forked = _messages(store, figures)
    numbers = {message: number for number, message in enumerate(final, 1)}
    for line in told:
        if line["name"] == "synced":
            assert line["argument"] in numbers, f"{line['argument']} was acknowledged, and is not in the log: {final}"
        if line["name"] == "written":
            kept = (line["argument"] in numbers) + (line["argument"] in forked)
            assert kept == 1, f"{line['argument']} is {kept} times in {final} and {sorted(forked)}"
    synced = [
        Operation(line["actor"], line["begin"], line["end"], "append", line["argument"], numbers[line["argument"]])
        for line in told
        if line["name"] == "synced"
    ]
    # What was published, and its writer not told before it was fenced.
    told_of = {one.argument for one in synced}
    synced += [Operation("?", 0.0, None, "append", message) for message in final if message not in told_of]
    _check_order([*synced, *(_operation(line) for line in told if line["name"] == "read")], final)
    figures.more["forked"] += len(forked)
    figures.more["fenced"] += sum(line["name"] == "fenced" for line in told)
    assert len(told) > race.racers


def _judge_equal_journals(told: list[dict[str, Any]], store: Store, race: Race, figures: Figures) -> None:
    """Twenty journals of one tree: the first publishes it, the others find nothing to publish, and nobody is fenced."""
    final, forked = _messages(store, figures)
    assert len(final) == 1, final
    assert not forked
    assert sum(line["name"] == "sync" for line in told) == race.racers


_JUDGES: dict[str, Callable[[list[dict[str, Any]], Store, Race, Figures], None]] = {
    "slots": _judge_slots,
    "trees": _judge_trees,
    "equal trees": _judge_equal_trees,
    "journals": _judge_journals,
    "equal journals": _judge_equal_journals,
}


def _check_order(operations: list[Operation], final: list[str]) -> None:
    # A last look, after everything: what was said of the log must fit what it is.
    end = 1 + max((one.end or one.begin for one in operations), default=0.0)
    look = Operation("judge", end, end, "read", answer=tuple(final))
    wrong = complaint([*operations, look], (), log)
    assert not wrong, wrong


def _messages(store: Store, figures: Figures) -> tuple[list[str], set[str]]:
    """Return the messages of the log in order, and those of all forks, once everything is verified."""
    report = verify(store)
    assert report.ok, str(report)
    reader = LogReader(store)
    made = list(reader.revisions())
    assert [one.revision.number for one in made] == [*range(1, len(made) + 1)]
    figures.more["revisions"] += len(made)
    forked = [one.revision.authorship.message for fork in reader.listing.forks for one in reader.fork(fork)]
    assert len(forked) == len(set(forked)), f"twice in forks: {sorted(forked)}"
    return [one.revision.authorship.message for one in made], set(forked)


def _operation(line: dict[str, Any]) -> Operation:
    answer = line.get("answer")
    if isinstance(answer, list):
        answer = tuple(answer)
    return Operation(
        line["actor"], line["begin"], line["end"], line["name"], line.get("argument"), answer, line.get("key", "")
    )
