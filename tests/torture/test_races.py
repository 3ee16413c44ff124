"""Twenty processes at once, on each kind of storage: one winner for every slot, and nothing lost."""

from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.torture.figures import Figures
from tests.torture.part_races import race_at

SEED = 20261126


def test_p5_of_twenty_processes_one_creates_each_slot_in_a_directory(tmp_path: Path) -> None:
    figures = Figures()

    race_at("local", "slots", SEED, figures, servers={}, directory=tmp_path)

    assert figures.operations > 240


def test_p5_of_twenty_processes_one_creates_each_slot_on_s3(s3_server: S3Server, tmp_path: Path) -> None:
    figures = Figures()

    race_at(s3_server.name, "slots", SEED, figures, servers={s3_server.name: s3_server}, directory=tmp_path)

    assert figures.operations > 60


@pytest.mark.parametrize("kind", ["trees", "equal trees", "journals", "equal journals"])
def test_p5_twenty_writers_of_one_directory_lose_nothing_and_one_order_explains_it(kind: str, tmp_path: Path) -> None:
    figures = Figures()

    race_at("local", kind, SEED, figures, servers={}, directory=tmp_path)

    assert figures.operations > 40


def test_p5_twenty_journals_of_one_s3_replica_lose_nothing_and_one_order_explains_it(
    seaweed: S3Server, tmp_path: Path
) -> None:
    figures = Figures()

    race_at("seaweed", "journals", SEED, figures, servers={"seaweed": seaweed}, directory=tmp_path)

    assert figures.operations > 40
