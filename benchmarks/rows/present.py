"""Measure how long a container waits for ``restore`` when the configuration is there."""

import re
import subprocess
import sys
from functools import partial

from benchmarks.commands import Command, environment, program, run
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Place, present
from benchmarks.contenders.litestream import Litestream
from benchmarks.samples import Row, interleaved
from benchmarks.world import World

# Nothing listens there: whoever asked would fail.
_UNREACHABLE = "http://127.0.0.1:9"


def measure(world: World) -> Row:
    """Compare with the interpreter alone, with the cheapest command there is, and with Litestream."""
    row = Row("present", "How long does a container wait for `restore` when the configuration is there?")
    confstream, litestream = Confstream("s3fs"), Litestream()
    tree = world.tree(world.scale.files)
    here = world.directory("litestream")
    place = Place("nobody-there", "config", _UNREACHABLE, here)
    commands = {
        "python -c pass": Command((sys.executable, "-c", "pass")),
        "confstream --version": confstream.command("--version"),
        "confstream": confstream.command("restore", "--if-missing", place.url, str(tree)),
    }
    if present([litestream], row.left_out):
        litestream.prepare(tree, place)
        commands[litestream.name] = litestream.present(place)
    rounds = 3 * world.scale.rounds
    taken = interleaved(rounds, {name: partial(run, command) for name, command in commands.items()}, world.chance)
    row.add_all(
        "time", "ms", {name: [1000 * ended.seconds for ended in all_ended] for name, all_ended in taken.items()}
    )
    row.add_all(
        "CPU", "ms", {name: [1000 * ended.cpu_seconds for ended in all_ended] for name, all_ended in taken.items()}
    )
    for name in ("python -c pass", "confstream"):
        if program("valgrind"):
            row.add("instructions", name, "million", [_instructions(commands[name]) / 1e6])
        else:
            row.left_out["instructions"] = "not installed: valgrind"
    row.notes.append(
        "Requests: 0 for each; nothing listens where the replica would be, and yet each says that all is well."
    )
    return row


def _instructions(command: Command) -> int:
    """Return how many instructions *command* takes: the same on a busy machine."""
    arguments = [program("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", *command.arguments]
    if command.arguments[0] != sys.executable:
        # A script's first line names its Python; valgrind would follow no other process than its own.
        arguments[3:3] = [sys.executable]
    settings = environment({**command.environment, "PYTHONHASHSEED": "0"})
    ended = subprocess.run(arguments, env=settings, cwd=command.directory, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", ended.stderr)
    if found is None:
        raise ValueError(f"callgrind counted nothing: {ended.stderr[-500:]}")
    return int(found.group(1))
