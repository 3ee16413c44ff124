"""The checkers, checked: the suite notices when the product is broken on purpose."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

from tests.processes import ROOT
from tests.torture.part_variants import table
from tests.torture.variants import VARIANTS

_REPORT = ROOT / "docs" / "reliability.md"
_ALWAYS = (
    "no-fence", "slot-skipped", "success-assumed", "blind-retry", "pack-deletes-early", "no-directory-fsync",
    "rename-before-fsync", "marker-removed-first", "stale-listing-trusted", "listing-cache-on", "hash-not-checked",
    "not-staged",
)  # fmt: skip


def test_the_suite_notices_that_the_product_is_broken(amount: Callable[[int, int], int]) -> None:
    rest = tuple(variant.name for variant in VARIANTS if variant.name not in _ALWAYS)
    names = (_ALWAYS + rest)[: amount(len(VARIANTS), len(_ALWAYS))]

    # Not from this process, which has threads.
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.part_variants", *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["variant"] for row in rows] == [*names]
    assert [row for row in rows if not row["test"]] == []


def test_every_variant_edits_what_is_in_the_product_and_names_tests_that_are_in_the_suite() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert variant.made()
        for test in variant.tests:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), test


def test_the_report_has_every_variant_and_the_test_that_caught_it() -> None:
    found = re.findall(r"<!-- variants -->\n(.*)<!-- end of variants -->", _REPORT.read_text("utf-8"), re.DOTALL)
    rows = found[0].splitlines()

    assert rows[:2] == table([]).splitlines()
    assert [row.partition(":")[0] for row in rows[2:]] == [f"| {variant.name}" for variant in VARIANTS]
    for row, variant in zip(rows[2:], VARIANTS, strict=True):
        assert variant.wrong in row
        assert any(re.search(rf"\| `{re.escape(test.partition('::')[2])}", row) for test in variant.tests), row
