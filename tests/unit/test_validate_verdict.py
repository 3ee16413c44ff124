"""What a revision's verdict becomes, and how long a broken file stays in it."""

from collections.abc import Mapping

import pytest

from confstream import guards
from confstream.guards import REASONS_MAX
from confstream.revision import OK, Status, Verdict
from confstream.tree import Entry, Tree, diff
from confstream.validate import Judgement, Validators, combined, judge
from tests.logs import tree_of

VALIDATORS = Validators.default()
GOOD, BAD = b"a: 1\n", b"a: b: c\n"


class Directory:
    """A directory that changes step by step, with the verdict of each step."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tree = tree_of({})
        self.contents: dict[bytes, bytes] = {}
        self.judgement = Judgement()

    def become(self, files: Mapping[str, bytes]) -> Verdict:
        before, self.tree = self.tree, tree_of(dict(files))
        self.contents |= {
            entry.hash: files[path.decode()] for path, entry in self.tree.items() if path.decode() in files
        }
        self.judgement = judge(
            diff(before, self.tree),
            lambda entry: self.contents.get(entry.hash),
            VALIDATORS,
            before=before,
            broken=self.judgement.broken,
        )
        return self.judgement.verdict


def test_valid_files_and_files_without_a_validator_are_ok() -> None:
    assert Directory().become({"a.yml": GOOD, "b.bin": b"\0\1"}) == OK


def test_p10_a_file_that_became_invalid_stays_in_the_verdict_until_it_is_mended() -> None:
    directory = Directory()
    reason = "a.yml:1:5: mapping values are not allowed in this context"

    assert directory.become({"a.yml": GOOD}) == OK
    assert directory.become({"a.yml": BAD}) == Verdict(Status.INVALID, (reason,))
    assert directory.become({"a.yml": BAD, "b": b"1"}) == Verdict(Status.INVALID, (f"still invalid: {reason}",))
    assert directory.become({"a.yml": BAD + b"#", "b": b"1"}).status is Status.INVALID
    assert directory.become({"a.yml": BAD + b"#", "b": b"2"}).status is Status.INVALID
    assert directory.become({"a.yml": GOOD, "b": b"2"}) == OK


def test_deleting_a_broken_file_mends_it() -> None:
    directory = Directory()
    directory.become({"a.yml": GOOD, "b": b"1"})
    directory.become({"a.yml": BAD, "b": b"1"})

    assert directory.become({"b": b"1"}) == OK


def test_a_template_that_never_was_valid_makes_only_its_own_revisions_invalid() -> None:
    directory = Directory()

    assert directory.become({"t.yml": b"{% if %}"}).status is Status.INVALID
    assert directory.become({"t.yml": b"{% if %}", "b": b"1"}) == OK
    assert directory.become({"t.yml": b"{% if x %}", "b": b"1"}).status is Status.INVALID
    assert directory.become({"t.yml": b"{% if x %}", "b": b"2"}) == OK


def test_p6_a_content_that_is_not_at_hand_or_cannot_be_judged_is_unchecked_and_nothing_else() -> None:
    tree = Tree([Entry.file(b"a.yml", BAD), Entry.file(b"b.json", b"[" * 100_000), Entry.symlink(b"c.yml", b"x: y: z")])

    found = judge(diff(tree_of({}), tree), lambda entry: None if entry.path == b"a.yml" else b"[" * 100_000, VALIDATORS)

    assert found.verdict == OK
    assert found.unchecked == {
        b"a.yml": "its content is not at hand",
        b"b.json": "json: is nested too deeply to be parsed",
    }


def test_a_change_of_mode_changes_no_verdict() -> None:
    old, new = Tree([Entry.file(b"a.yml", BAD)]), Tree([Entry.file(b"a.yml", BAD, 0o600)])

    found = judge(diff(old, new), lambda _: BAD, VALIDATORS, before=old, broken={b"a.yml": ("a.yml: broken",)})

    assert found.verdict.status is Status.INVALID
    assert b"a.yml" in found.broken


def test_a_verdict_of_many_files_is_bounded() -> None:
    verdict = Directory().become({f"{n:03}.yml": BAD for n in range(200)})

    assert len(verdict.reasons) == REASONS_MAX + 1
    assert verdict.reasons[-1] == f"and {200 - REASONS_MAX} more"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], OK),
        ([OK, OK], OK),
        (
            [Verdict(Status.SUSPICIOUS, ("s",)), OK, Verdict(Status.INVALID, ("i",))],
            Verdict(Status.INVALID, ("i", "s")),
        ),
    ],
)
def test_the_worst_of_several_verdicts_counts_with_the_reasons_of_all(
    verdicts: list[Verdict], expected: Verdict
) -> None:
    assert combined(*verdicts) == expected


def test_p10_a_file_that_shrank_to_less_than_half_is_suspicious() -> None:
    old, new = tree_of({"a": b"x" * 8192}), tree_of({"a": b"x" * 4095})

    assert guards.judge(old, new) == Verdict(Status.SUSPICIOUS, ("a shrank from 8192 to 4095 bytes",))


@pytest.mark.parametrize(("before", "after"), [(8192, 4096), (1023, 1), (4096, 8192)])
def test_a_file_that_kept_half_or_was_small_is_no_cause_for_suspicion(before: int, after: int) -> None:
    assert guards.judge(tree_of({"a": b"x" * before}), tree_of({"a": b"x" * after})) == OK


def test_a_file_that_became_blank_is_not_said_to_have_shrunk_as_well() -> None:
    old, new = tree_of({"a": b"x" * 8192}), tree_of({"a": b"\n"})

    assert guards.judge(old, new, blank=[b"a"]).reasons == ("a became blank",)
