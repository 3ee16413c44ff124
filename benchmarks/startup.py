"""Measure how long a container waits for ``restore --if-missing`` when there is nothing to do.

Compared with the interpreter alone and with the cheapest command there is.
The replica's address is one where nothing listens: P2 promises not to ask.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNREACHABLE = "s3://nobody-there/config"


def contenders(confstream: Path, tree: Path) -> dict[str, list[str]]:
    """Return the commands to compare, by name."""
    return {
        "python": [sys.executable, "-c", "pass"],
        "version": [str(confstream), "--version"],
        "restore_if_missing": [str(confstream), "restore", "--if-missing", UNREACHABLE, str(tree)],
    }


def fill(tree: Path, files: int) -> None:
    """Make *tree* a configuration directory of *files* files, none of them blank."""
    tree.mkdir()
    for number in range(files):
        (tree / f"part-{number:04}.yml").write_text(f"part:\n  number: {number}\n", encoding="utf-8")


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Return how long *command* takes from start to end; a command that fails ends the benchmark."""
    began = time.perf_counter()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    return took


def summary(samples: list[float]) -> dict[str, float]:
    """Return what is worth keeping of *samples*, in milliseconds."""
    first, median, third = (1000 * value for value in statistics.quantiles(samples, n=4, method="inclusive"))
    values = {
        "median_ms": median,
        "first_quartile_ms": first,
        "third_quartile_ms": third,
        "min_ms": 1000 * min(samples),
    }
    return {name: round(value, 2) for name, value in values.items()}


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Run every command once per round, in turns, after one round that only warms the caches."""
    # What the user has set for confstream or for S3 must not decide what is measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONFSTREAM_", "AWS_"))}
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            took = seconds(command, environment)
            if number:
                samples[name].append(took)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each command runs (default: 20)")
    parser.add_argument("--files", type=int, default=100, help="files in the configuration directory (default: 100)")
    parser.add_argument(
        "--confstream",
        type=Path,
        default=Path(sys.executable).with_name("confstream"),
        help="the command (default: the one beside this Python)",
    )
    options = parser.parse_args()
    if options.rounds < 2:  # noqa: PLR2004, quartiles need two samples.
        parser.error("--rounds must be at least 2")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "config")
        fill(tree, options.files)
        print(f"{options.rounds} rounds, {options.files} files ...", file=sys.stderr)
        samples = measure(contenders(options.confstream, tree), options.rounds)
    result = {
        "question": "startup",
        "rounds": options.rounds,
        "files": options.files,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "results": {name: summary(taken) for name, taken in samples.items()},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
