"""Draw what was measured: a bar for each contender, from the first to the third quartile a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# The same numbers give the same file.
mpl.rcParams["svg.hashsalt"] = "benchmarks"
mpl.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot as plt  # noqa: E402, after the choice above.

_OURS, _THEIRS = "#2a6f97", "#b8b8b8"
_HEIGHT_OF_A_BAR = 0.32


def draw(name: str, row: Mapping[str, Any], directory: Path) -> None:
    """Draw the figures of *row*, one beside the other, into ``NAME.svg`` in *directory*."""
    figures: dict[str, list[Mapping[str, Any]]] = {}
    for one in row["figures"]:
        if not one["figure"].endswith(", CPU"):
            figures.setdefault(one["figure"], []).append(one)
    if not figures:
        return
    most = max(len(found) for found in figures.values())
    picture, all_axes = plt.subplots(
        1,
        len(figures),
        squeeze=False,
        figsize=(4.5 * len(figures), 1.2 + _HEIGHT_OF_A_BAR * most),
        layout="constrained",
    )
    picture.suptitle(row["question"])
    for axes, (figure, found) in zip(all_axes[0], figures.items(), strict=True):
        medians = [one["median"] for one in found]
        around = [
            [max(0.0, one["median"] - one["first_quartile"]) for one in found],
            [max(0.0, one["third_quartile"] - one["median"]) for one in found],
        ]
        names = [one["contender"] for one in found]
        colours = [_OURS if contender.startswith(("confstream", "Journal")) else _THEIRS for contender in names]
        axes.barh(names, medians, xerr=around, color=colours, ecolor="#444444")
        axes.invert_yaxis()
        axes.set_xlabel(f"{figure}, {found[0]['unit']}" if found[0]["unit"] else figure)
        axes.spines[["top", "right"]].set_visible(False)
    picture.savefig(directory / f"{name}.svg", metadata={"Date": None})
    plt.close(picture)
