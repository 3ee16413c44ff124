"""The simulator: some of its histories, that each can be told again, and that it finds what is broken on purpose."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from confstream.codec import envelope
from confstream.compactor import packing
from confstream.errors import ObjectExistsError, OutcomeUnknownError
from confstream.journal import fork, origin, recorder, uplink
from confstream.journal.draft import FencedBy
from confstream.layout import log_key
from confstream.log.publisher import Publisher
from tests.torture.figures import repeat
from tests.torture.part_simulator import first_failure, simulate
from tests.torture.simulator.cloud import Bucket
from tests.torture.simulator.world import Scenario

SEED = 20_260_000
SEEDS = [*range(SEED, SEED + 9), SEED + 10, SEED + 11, SEED + 14]
"""One that is left out takes as long as four others; these have every kind of storage, fault and crash,
a journal that may hold little and a disk that is full at times."""
ROOT = Path(__file__).parents[2]

FOUND_WITHIN = 100
"""How many histories it may take to find out what is broken on purpose."""


def test_p3_p4_p5_p9_whatever_happens_no_history_loses_what_was_acknowledged() -> None:
    runs = [repeat(simulate, seed) for seed in SEEDS]

    for figures in runs:
        assert not figures.failures, figures.complaint("simulator")
    assert sum(figures.kills for figures in runs) > 2 * len(SEEDS)
    assert sum(figures.faults for figures in runs) > 10 * len(SEEDS)
    assert sum(figures.revisions_compared for figures in runs) > 20 * len(SEEDS)


@pytest.mark.parametrize("seed", [SEED, SEED + 3])
def test_the_same_seed_tells_the_same_history(seed: int) -> None:
    told = {_told(seed, hash_seed) for hash_seed in ("1", "2")}

    assert len(told) == 1


def _told(seed: int, hash_seed: str) -> str:
    program = (
        "import random, sys; from tests.torture.figures import Figures\n"
        "from tests.torture.part_simulator import history; from tests.torture.simulator.world import Scenario\n"
        "seed = int(sys.argv[1]); print(history(seed, Scenario.choose(random.Random(seed)), Figures()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-c", program, str(seed)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "revisions=" in finished.stdout
    return finished.stdout


# What is broken on purpose: each replaces a piece of the product.

Break = Callable[[pytest.MonkeyPatch], None]
_create = Publisher._create


def _success_assumed_on_time_out(patch: pytest.MonkeyPatch) -> None:
    def create(self: Publisher, revision: Any, body: bytes) -> Any:
        try:
            return _create(self, revision, body)
        except OutcomeUnknownError:
            return None

    patch.setattr(Publisher, "_create", create)
    patch.setattr("confstream.log.publisher._UNKNOWN_RETRIES", 1)


def _slot_skipped_on_time_out(patch: pytest.MonkeyPatch) -> None:
    def create(self: Publisher, revision: Any, body: bytes) -> Any:
        try:
            self._store.put(log_key(revision.number), body)
        except OutcomeUnknownError:
            self._store.put(log_key(revision.number + 1), body)
        except ObjectExistsError:
            return _create(self, revision, body)
        return None

    patch.setattr(Publisher, "_create", create)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    advance = Publisher._yield_to

    def yield_to(self: Publisher, taken: Any) -> None:
        epoch, self.epoch = self.epoch, max(self.epoch, taken.revision.epoch + 1)
        advance(self, taken)
        self.epoch = epoch

    patch.setattr(Publisher, "_yield_to", yield_to)


def _no_exclusive_create(patch: pytest.MonkeyPatch) -> None:
    def create(self: Bucket, key: str, body: bytes) -> bool:
        self._set(key, body)
        self._changed("create", key, body)
        return True

    patch.setattr(Bucket, "create", create)
    patch.setattr("confstream.log.identity._prove", lambda *_, **__: True)


def _pack_before_its_snapshot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(packing, "_store_snapshot", lambda *_, **_more: True)


def _old_listing_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Publisher, "_is_listing_old", lambda _: False)


def _hash_not_checked(patch: pytest.MonkeyPatch) -> None:
    def unseal(body: bytes, kind: envelope.ObjectKind, key: str) -> tuple[bytes, bytes]:
        header = envelope.read_header(body, kind, key)
        offset = header.contents_offset
        return body[envelope.HEADER_SIZE : offset], body[offset : offset + header.contents_size]

    for name in ("objects", "notes"):
        patch.setattr(f"confstream.codec.{name}.unseal", unseal, raising=False)


def _fork_not_kept(patch: pytest.MonkeyPatch) -> None:
    def keep(ledger: Any, publisher: Any, _sources: Any) -> None:
        if ledger.pending:
            ledger.forked(ledger.pending[-1].write_id)
        ledger.fence(FencedBy(publisher.fenced_by.revision.writer, publisher.fenced_by.revision.epoch))

    patch.setattr(fork, "keep", keep)


def _no_redo_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recorder, "redo", lambda *_: [])


def _no_look_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(origin, "_confirmed", lambda *_: ())


def _sync_that_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uplink.Uplink, "wait", lambda *_: None)


QUIET = Scenario(
    kills=False, faults=False, spoils=False, pauses=False, jumps=False, packer=False, reader=False, restorer=False,
    actions=60,
)  # fmt: skip
CRASHING = replace(QUIET, kills=True, writers=1, batches=True)
FAULTY = replace(QUIET, faults=True, writers=1, actions=24)
SPOILING = replace(QUIET, spoils=True, reader=True, packer=True, writers=1, actions=24)
FENCING = replace(QUIET, heartbeat_seconds=0.0)
RIVALS = replace(QUIET, kills=True, writers=3, heartbeat_seconds=0.0)
SLEEPING = replace(QUIET, pauses=True, packer=True, pack_size=2, heartbeat_seconds=0.0)

BROKEN: dict[str, tuple[Break, str, Scenario | None]] = {
    "success assumed on time-out": (_success_assumed_on_time_out, "was skipped|holds", FAULTY),
    "slot skipped on time-out": (_slot_skipped_on_time_out, "was skipped|holds", FAULTY),
    "no fence": (_no_fence, "epoch . after|two writers in epoch", None),
    "no exclusive create": (_no_exclusive_create, "is another one now", None),
    "pack before its snapshot": (_pack_before_its_snapshot, "its snapshot", None),
    "hash not checked": (_hash_not_checked, "", SPOILING),
    "fork not kept": (_fork_not_kept, "in neither log nor fork|nowhere any more|does not come to an end", FENCING),
    "no redo after a crash": (_no_redo_after_a_crash, "after a restart", CRASHING),
    "no look after a restart": (_no_look_after_a_restart, "published twice", RIVALS),
    "sync that does not wait": (_sync_that_does_not_wait, "was told that the replica holds", None),
    "old listing trusted": (_old_listing_trusted, "was told that|another history|published twice", SLEEPING),
}
RARE = {"old listing trusted"}
"""What takes a few dozen histories to show."""


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_on_purpose_is_found_out(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if name in RARE and not request.config.getoption("--complete"):
        pytest.skip("only looked for with --complete")
    breaks, expected, scenario = BROKEN[name]
    breaks(monkeypatch)

    found = first_failure(range(SEED, SEED + FOUND_WITHIN), scenario)

    assert found, f"{FOUND_WITHIN} histories, and nobody noticed"
    assert re.search(expected, found.splitlines()[-1]), found


def test_what_fails_is_told_with_the_smallest_scenario_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    _sync_that_does_not_wait(monkeypatch)

    figures = repeat(simulate, SEED, count=5)

    assert len(figures.failures) == 1
    text = figures.complaint("simulator")
    assert "smallest: Scenario(" in text
    assert "kills=False, faults=False" in text
    assert re.search("was told that the replica holds|in neither log nor fork", text)
    assert "python -m tests.torture simulator --seed" in text
