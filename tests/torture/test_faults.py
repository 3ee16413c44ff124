"""A storm of faults between a process and its replica passes, and nothing is missing."""

from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.torture.figures import Figures
from tests.torture.part_faults import storm_over_command, storm_over_program

EDITS = 24


@pytest.mark.parametrize(("seed", "client"), [(1, "s3fs"), (2, "lean")])
def test_p4_after_a_storm_of_faults_the_replica_has_what_the_directory_has(
    seed: int, client: str, seaweed: S3Server, moto_server: S3Server, tmp_path: Path
) -> None:
    figures, server = Figures(), [seaweed, moto_server][seed % 2]

    storm_over_command(seed, figures, server=server, directory=tmp_path, edits=EDITS, client=client)

    assert figures.faults > 2, figures


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_p4_what_was_acknowledged_in_a_storm_of_faults_is_there_once_and_in_order(
    seed: int, seaweed: S3Server, tmp_path: Path
) -> None:
    figures = Figures()

    storm_over_program(seed, figures, server=seaweed, directory=tmp_path)

    assert figures.faults > 2, figures
