"""Which validator judges what, whether it is trusted, and what its findings read like."""

import logging
import sys
from collections.abc import Callable

import pytest

from confstream.errors import UsageError
from confstream.validate import (
    Finding,
    NotCheckedError,
    Outcome,
    RequiredKeys,
    Rule,
    Samples,
    SelfTest,
    Validators,
    findings_to_reasons,
)
from confstream.validate.finding import FINDINGS_MAX


class Scripted:
    """A validator that does what a test says."""

    name = "scripted"
    samples = Samples(b"a", b"good", b"bad")

    def __init__(self, answer: Callable[[bytes], list[Finding]]) -> None:
        self.answer = answer

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        del path
        return self.answer(content)


def rejects_bad(content: bytes) -> list[Finding]:
    return [Finding(1, 2, "is bad")] if content == b"bad" else []


def failing(error: Exception) -> Callable[[bytes], list[Finding]]:
    def answer(content: bytes) -> list[Finding]:
        del content
        raise error

    return answer


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (b"config.yml", b"", ("yaml",)),
        (b"a/B.YAML", b"", ("yaml",)),
        (b"a.json", b"", ("json",)),
        (b"a.ndjson", b"", ("jsonl",)),
        (b"a.toml", b"", ("toml",)),
        (b"a.xml", b"", ("xml",)),
        (b"a.ini", b"", ("ini",)),
        (b"yml", b"", ()),
        (b"mosquitto.conf", b"", ()),
        (b"database.db", b"{}", ()),
        (b"tsconfig.json", b"// c\n{}", ()),
        (b"x/.vscode/settings.json", b"// c\n{}", ()),
        (b".storage/core.config_entries", b'{"a": 1', ("json",)),
        (b"ha/.storage/onboarding", b"\xef\xbb\xbf {", ("json",)),
        (b".storage/cookies", b"\x80\x04pickle", ()),
        (b".storage/sub/any", b"{", ()),
        (b"my.storage/any", b"{", ()),
    ],
)
def test_the_name_chooses_the_validator(path: bytes, content: bytes, expected: tuple[str, ...]) -> None:
    assert Validators.default().for_path(path, content) == expected


def test_rules_add_validators_and_none_takes_a_path_away() -> None:
    rules = [
        Rule(("database.db",), "jsonl"),
        Rule(("/config.yml",), "keys-cameras"),
        Rule(("templates/*.yml", "!templates/real.yml"), "none"),
    ]
    validators = Validators([RequiredKeys(("cameras",))], rules)

    assert validators.for_path(b"database.db") == ("jsonl",)
    assert validators.for_path(b"config.yml") == ("yaml", "keys-cameras")
    assert validators.for_path(b"sub/config.yml") == ("yaml",)
    assert validators.for_path(b"templates/a.yml") == ()
    assert validators.for_path(b"templates/real.yml") == ("yaml",)
    assert Validators(by_suffix=False).for_path(b"a.yml") == ()
    assert validators.check(b"config.yml", b"mqtt: 1\n").findings == (
        Finding(0, 0, "the required key cameras is missing"),
    )


def test_a_rule_that_cannot_be_meant_is_refused_with_what_can_be() -> None:
    with pytest.raises(UsageError, match="expected one of yaml, json"):
        Validators([], [Rule(("*.yml",), "ymal")])
    with pytest.raises(UsageError, match="two validators called scripted"):
        Validators([Scripted(rejects_bad), Scripted(rejects_bad)])
    with pytest.raises(UsageError, match="names no path"):
        Rule((), "yaml")


def test_every_built_in_validator_passes_its_self_test() -> None:
    tests = Validators.default().self_test()

    assert tests == dict.fromkeys(["yaml", "json", "jsonl", "toml", "xml", "ini"], SelfTest(ok=True))


@pytest.mark.parametrize("module", ["yaml", "tomllib", "xml.parsers"])
def test_p6_a_parser_that_cannot_be_imported_leaves_files_unchecked_and_says_so_once(
    module: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    name = {"yaml": "yaml", "tomllib": "toml"}.get(module, "xml")
    validators, path = Validators.default(), f"a.{name}".encode()

    first, second = validators.check(path, b"a: b: c"), validators.check(path, b"a: b: c")

    assert first == second == Outcome(unchecked={name: f"the module {module} cannot be imported"})
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"the validator {name} is broken" in caplog.text
    assert not validators.self_test()[name].ok
    assert validators.check(b"a.json", b"{").findings


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: [], "accepts its bad sample"),
        (lambda _: [Finding(1, 1, "no")], "rejects its good sample: no"),
        (failing(NotCheckedError("no program")), "no program"),
        (failing(RuntimeError("hunter2")), "failed with RuntimeError"),
    ],
)
def test_p6_a_validator_that_fails_its_self_test_never_says_invalid(
    answer: Callable[[bytes], list[Finding]], why: str
) -> None:
    validators = Validators([Scripted(answer)], [Rule(("*",), "scripted")])

    assert validators.check(b"file", b"bad") == Outcome(unchecked={"scripted": why})


def test_a_validator_that_works_again_is_heard_again_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    scripted = Scripted(failing(NotCheckedError("too slow")))
    validators = Validators([scripted], [Rule(("*",), "scripted")])
    assert not validators.self_test()["scripted"].ok

    scripted.answer = rejects_bad
    with caplog.at_level(logging.INFO):
        assert validators.self_test()["scripted"].ok

    assert "recovered: the validator scripted works again" in caplog.text
    assert validators.check(b"file", b"bad").findings == (Finding(1, 2, "is bad"),)


def test_p6_a_validator_that_fails_on_one_file_leaves_that_file_unchecked() -> None:
    def answer(content: bytes) -> list[Finding]:
        return failing(ValueError("hunter2"))(content) if content == b"odd" else rejects_bad(content)

    validators = Validators([Scripted(answer)], [Rule(("*.yml",), "scripted")])

    outcome = validators.check(b"a.yml", b"odd")

    assert outcome == Outcome(checked_by=("yaml",), unchecked={"scripted": "failed with ValueError"})


def test_p14_a_file_that_is_too_large_is_not_checked() -> None:
    outcome = Validators(size_bytes_max=10).check(b"a.json", b"[" * 11)

    assert outcome == Outcome(unchecked={"json": "has 11 bytes, more than the 10 that are checked"})


def test_a_reason_is_one_bounded_line_with_path_line_and_column() -> None:
    assert findings_to_reasons(b"config.yml", [Finding(12, 3, "mapping values are not allowed here")]) == (
        "config.yml:12:3: mapping values are not allowed here",
    )
    assert findings_to_reasons(b"a", [Finding(4, 0, "x")]) == ("a:4: x",)
    assert findings_to_reasons(b"a", [Finding(0, 0, "x")]) == ("a: x",)
    long = findings_to_reasons(b"a\n\xff" * 400, [Finding(1, 1, "b\nc\x1b[31m " + "d" * 10_000)])[0]
    assert long.isprintable()
    assert len(long) < 500


def test_findings_past_a_bound_are_counted() -> None:
    reasons = findings_to_reasons(b"a", [Finding(1, n, "x") for n in range(FINDINGS_MAX + 3)])

    assert len(reasons) == FINDINGS_MAX + 1
    assert reasons[-1] == "a: and 3 more"
