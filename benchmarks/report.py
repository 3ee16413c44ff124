"""``python -m benchmarks.report``: render what was measured, as Markdown on stdout, and as plots."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.bar import Judged, judge

_CPU = ", CPU"
_HEADING = "\n## Last figures\n"
_TIMES = "\N{MULTIPLICATION SIGN}"


def main() -> None:
    """Render a document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what `python -m benchmarks` wrote; later files win")
    parser.add_argument("--plots", type=Path, help="also draw a plot of each row, as SVG, into this directory")
    parser.add_argument("--into", type=Path, help=f"replace what follows {_HEADING.strip()!r} in this file")
    options = parser.parse_args()
    document: dict[str, Any] = {"rows": {}}
    for path in options.results:
        read = json.loads(path.read_text(encoding="utf-8"))
        for row in read["rows"].values():
            row["measured"] = _when(read["conditions"])
        document |= {**read, "rows": document["rows"] | read["rows"]}
    text = "\n".join(report(document)) + "\n"
    if options.into is None:
        sys.stdout.write(text)
    else:
        before, heading, _ = options.into.read_text(encoding="utf-8").partition(_HEADING)
        if not heading:
            parser.error(f"{options.into} has no line {_HEADING.strip()!r}")
        options.into.write_text(f"{before}{heading}\n{text}", encoding="utf-8")
    if options.plots is not None:
        # Only who draws needs what draws.
        from benchmarks.plots import draw  # noqa: PLC0415

        options.plots.mkdir(parents=True, exist_ok=True)
        for name, row in document["rows"].items():
            draw(name, row, options.plots)


def report(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines: the conditions, what had to be reached, and every figure."""
    yield from _conditions(document["conditions"])
    yield from ("", "### What must be reached", "")
    yield "| row | figure | confstream | best peer | found | must | goal | reached |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_bar(judged, document["rows"]) for judged in judge(document["rows"]))
    for name, row in document["rows"].items():
        yield from ("", f"### {name}: {row['question']}", "", f"Measured {row['measured']}.", "")
        yield from _row(row)


def _conditions(found: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name}: {version}" for name, version in found["versions"].items())
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version)
    yield f"Measured {_when(found)};"
    yield f"{found['cpu']}, {found['cpus']} CPUs, {found['kernel']} ({found['machine']}), Python {found['python']};"
    yield f"{versions}; {packages}; seed {found['seed']}."


def _when(found: Mapping[str, Any]) -> str:
    load = f"load average {found['load'][0]:g} before, {found['load_after'][0]:g} after"
    return f"{found['date']} at {found['commit'] or 'no commit'}, {found['scale']['rounds']} rounds, {load}"


def _bar(judged: Judged, rows: Mapping[str, Any]) -> str:
    bar = judged.bar
    unit = _unit(rows, bar.row, bar.figure)
    sign = "≥" if bar.is_least else "≤"
    times = _TIMES if bar.peers else unit
    value = f"{judged.ours} {judged.value:g}{unit}"
    peer = f"{judged.peer} {judged.against:g}{unit}" if judged.peer else "-"
    name = bar.figure if bar.statistic == "median" else f"{bar.figure}, {bar.statistic}"
    limits = [f"{sign} {limit:g}{times}" for limit in (bar.must, bar.goal)]
    cells = [bar.row, name, value, peer, f"{judged.found:.3g}{times}", *limits, judged.verdict]
    return f"| {' | '.join(cells)} |"


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    cpu = {
        (one["figure"].removesuffix(_CPU), one["contender"]): one["median"]
        for one in row["figures"]
        if one["figure"].endswith(_CPU)
    }
    yield "| figure | contender | median | quartiles | p95 | least | CPU | n | |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in row["figures"]:
        if not one["figure"].endswith(_CPU):
            unit = f" {one['unit']}" if one["unit"] else ""
            spread = [f"{one['first_quartile']:g} to {one['third_quartile']:g}", f"{one['p95']:g}", f"{one['min']:g}"]
            cells = [
                one["figure"],
                one["contender"],
                f"{one['median']:g}{unit}",
                *(spread if one["count"] > 1 else [""] * 3),
            ]
            spent = cpu.get((one["figure"], one["contender"]), "")
            yield f"| {' | '.join([*cells, str(spent), str(one['count']), one['note']])} |"
    lines = [*(f"Left out: {name} ({why})." for name, why in row["left_out"].items()), *row["notes"]]
    if lines:
        yield from ("", *lines)


def _unit(rows: Mapping[str, Any], row: str, figure: str) -> str:
    unit = next(one["unit"] for one in rows[row]["figures"] if one["figure"] == figure)
    return f" {unit}" if unit else ""


if __name__ == "__main__":
    main()
