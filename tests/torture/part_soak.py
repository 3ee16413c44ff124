"""Every nasty kind of edit, kills, outages, packings; in the end every moment that was copied aside restores."""

import json
import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from confstream import (
    History,
    NoReplicaError,
    RestoreOptions,
    SystemClock,
    UnavailableError,
    compact,
    format_utc,
    open_store,
    restore,
)
from tests.fragile import FragileServer
from tests.processes import run_confstream
from tests.proxy import CuttingProxy
from tests.servers import run_seaweed, wait_until
from tests.torture.editing import Editor, Look, difference, look
from tests.torture.figures import Failure, Figures
from tests.torture.pod import PATIENCE_SECONDS, Pod, Weather, pause

EDITS_MIN = 40
_CLOCK = SystemClock()
_SAMPLE = 3
_EDITING = 2 / 3
"""The share of the time in which there are edits; to compare what came of them takes about as long as is left."""
_KEPT_BYTES = 1 << 17
_BY_TIME = 5
"""Every so many-th moment is restored by its time, too, and not only by the number that this time leads to."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time at which the directory rested, and what a copy made by other means holds."""

    number: int
    time_ns: int
    state: Look


class Shadow:
    """Copies of a directory, made by reading it: contents under their hash, and one list for every moment."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root = root
        self._place = place
        self.moments: list[Moment] = []
        (place / "contents").mkdir(parents=True)

    def copy(self, settled: Callable[[Look], None]) -> Moment:
        """Copy the directory, which nobody edits now; the moment counts once *settled* returns."""
        state = look(self._root, self._keep)
        settled(state)
        moment = Moment(len(self.moments), _CLOCK.now_ns(), state)
        self.moments.append(moment)
        listing = {os.fsdecode(path).encode("unicode_escape").decode(): repr(entry) for path, entry in state.items()}
        document = {"time": format_utc(moment.time_ns), "tree": listing}
        (self._place / f"{moment.number}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        return moment

    def _keep(self, digest: bytes, content: bytes) -> None:
        path = self._place / "contents" / digest.hex()
        if not path.exists():
            path.write_bytes(content)


class Soak:
    """One soak: the directory, who edits it, and everything that goes wrong around it."""

    def __init__(self, seed: int, figures: Figures, pod: Pod, weather: Weather, server: FragileServer) -> None:
        self.figures = figures
        self.pod = pod
        self.weather = weather
        self.server = server
        self._draw = random.Random(f"soak {seed}")  # noqa: S311 - a seed, not a secret.
        self._editor = Editor(pod.tree, self._draw)
        self.shadow = Shadow(pod.tree, pod.tree.parent / "shadow")
        self._over: Callable[[], None] | None = None
        self._left = 0

    def run(self, seconds: float) -> None:
        """Edit for *seconds*, at least ``EDITS_MIN`` times, and end well."""
        end = _CLOCK.elapsed_seconds() + seconds
        self.pod.start()
        self.pod.watching()
        edits = 0
        while edits < EDITS_MIN or _CLOCK.elapsed_seconds() < end:
            kind = self._editor.edit()
            self.figures.more[f"edit_{kind}"] += 1
            self.figures.operations += 1
            edits += 1
            self._go_on()
        self._end_trouble()
        self.weather.chance = 0.0
        self.pod.wait_replicated(self._copy().state)
        ended = self.pod.stop()
        assert ended.code == 0, ended

    def _go_on(self) -> None:
        """Let happen what happens after an edit."""
        self.pod.keep_alive()
        if self._over is not None:
            self._left -= 1
            if not self._left:
                self._end_trouble()
        fate = self._draw.random()
        if fate < 0.4:
            self._copy()
        elif fate < 0.44:
            self.pod.kill()
            self.pod.start()
        elif fate < 0.45:
            self.pod.stop()
            self.pod.start()
        elif fate < 0.48 and self._over is None:
            self._begin_trouble()
        elif fate < 0.51 and self._over is None:
            self._pack()
        else:
            pause(self._draw, 0.3)

    def _copy(self) -> Moment:
        self.figures.more["moments"] += 1
        return self.shadow.copy(self.pod.wait_captured)

    def _begin_trouble(self) -> None:
        """Take the storage away in one of the ways there are, for some edits."""
        self._left = self._draw.randint(3, 25)
        self.figures.faults += 1
        how = self._draw.randrange(4)
        self.pod.is_reachable = how > 1
        if how == 0:
            self.server.freeze()
            self._over = self.server.thaw
        elif how == 1:
            self.server.kill()
            self._over = self.server.revive
        else:
            self.weather.is_out = True
            self._over = self._calm

    def _calm(self) -> None:
        self.weather.is_out = False

    def _end_trouble(self) -> None:
        if self._over is not None:
            self._over()
            self._over = None
            self.pod.is_reachable = True
            # A server that was killed answers before it has found all of its data again.
            wait_until(self._is_back, PATIENCE_SECONDS, "the storage to answer for all that it has")

    def _is_back(self) -> bool:
        try:
            self.pod.compare()
        except UnavailableError:
            return False
        return True

    def _pack(self) -> None:
        """Pack what there is, beside the writer."""
        store = open_store(self.pod.url, storage_options=self.pod.server.quick_options)
        try:
            report = compact(
                store, _CLOCK, pack_size=self._draw.choice((10, 20, 50)), minimum=self._draw.choice((5, 20)), tail=5
            )
        except NoReplicaError:
            return
        finally:
            store.close()
        self.figures.more["packs"] += len(report.packs)


class _Shared:
    """A store that stays open for the next restore, and asks once for what never changes: nobody writes meanwhile."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._listed: dict[str, list[str]] = {}
        self._read: dict[tuple[str, int, int | None], bytes] = {}

    def list(self, prefix: str = "") -> "list[str]":
        """Return what was listed before."""
        if prefix not in self._listed:
            self._listed[prefix] = self._inner.list(prefix)
        return self._listed[prefix]

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return what was read before, unless it is large."""
        asked = key, first, size
        if asked in self._read:
            return self._read[asked]
        body: bytes = self._inner.get(key, first, size)
        if len(body) < _KEPT_BYTES:
            self._read[asked] = body
        return body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        """Leave it open."""


def run(seconds: float, seed: int) -> Figures:
    """Soak for *seconds*, in the last third of which all that the replica has of that time is looked at."""
    figures = Figures(seeds=1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        try:
            soak(seed, figures, seconds * _EDITING, Path(name))
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever goes wrong is what is looked for.
            figures.failures.append(Failure(seed, traceback.format_exc(), seconds))
    return figures


def soak(seed: int, figures: Figures, seconds: float, directory: Path) -> None:
    """Soak, and compare every moment."""
    tree = directory / "tree"
    weather = Weather(random.Random(f"weather {seed}"), 0.02)  # noqa: S311 - a seed, not a secret.
    (directory / "weed").mkdir()
    with ExitStack() as stack:
        server = FragileServer(stack.enter_context(run_seaweed(directory / "weed")))
        stack.callback(server.close)
        proxy = stack.enter_context(CuttingProxy("127.0.0.1", server.server.port))
        proxy.weather = weather
        pod = stack.enter_context(Pod(tree, server.server, proxy.endpoint))
        made = Soak(seed, figures, pod, weather, server)
        try:
            made.run(seconds)
            figures.more["revisions"] += pod.judge()
            _compare_all(made.shadow.moments, pod, directory, figures)
        finally:
            figures.kills += pod.kills
            figures.faults += weather.faults.total()
            figures.more.update({f"exit_{code}": count for code, count in pod.exits.items()})


def _compare_all(moments: list[Moment], pod: Pod, directory: Path, figures: Figures) -> None:
    """Restore every moment, half of them once everything is packed, and some by the command."""
    store = open_store(pod.url, storage_options=pod.server.quick_options)
    draw = random.Random(len(moments))  # noqa: S311 - a choice, not a secret.
    restored = directory / "restored"
    try:
        _compare(moments[::2], store, pod, restored, figures)
        # One packs, and the next one deletes what is packed: nobody else is there to wait for.
        reports = [compact(store, _CLOCK, pack_size=50, minimum=1, tail=1, grace_seconds=0) for _ in range(2)]
        assert reports[1].deleted, f"nothing was packed: {reports}"
        _compare(moments[1::2] + draw.sample(moments[::2], _SAMPLE), store, pod, restored, figures)
        pod.judge()
    finally:
        store.close()
    for moment in draw.sample(moments, _SAMPLE):
        when = format_utc(moment.time_ns)
        done = run_confstream("restore", pod.url, restored, "--timestamp", when, environment=pod.server.env)
        assert done.code == 0, done
        _same(moment, restored, figures)


def _compare(moments: list[Moment], store: Any, pod: Pod, target: Path, figures: Figures) -> None:
    """Restore *moments* by the number that their time leads to, some by their time, and compare with the copies."""
    shared: Any = _Shared(store)
    with History(shared, _CLOCK) as history:
        numbers = [history.at_time(format_utc(moment.time_ns)).number for moment in moments]
    for moment, number in zip(moments, numbers, strict=True):
        asked = [RestoreOptions(revision=str(number))]
        if moment.number % _BY_TIME == 0:
            asked.append(RestoreOptions(timestamp=format_utc(moment.time_ns)))
        for options in asked:
            restore(pod.url, target, options, clock=_CLOCK, open_store=lambda *_urls, **_options: shared)
            _same(moment, target, figures)


def _same(moment: Moment, target: Path, figures: Figures) -> None:
    wrong = difference(moment.state, look(target))
    assert not wrong, f"the moment {moment.number} ({format_utc(moment.time_ns)}) restores otherwise: {wrong}"
    figures.revisions_compared += 1
    shutil.rmtree(target)
