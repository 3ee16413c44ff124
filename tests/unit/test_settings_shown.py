"""What is shown of settings, and said about them: everything but secrets, in a form that reads the same."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from confstream.errors import UsageError
from confstream.moments import parse_duration
from confstream.settings import parse
from confstream.settings_kinds import show_duration
from confstream.stream import Settings, Stream
from tests.streams import CANARY, FULL, one

JUNK = st.text("{}[]:,-*&!|>'\"%@`#?$\\ \tab0", max_size=12)


@pytest.mark.parametrize(
    "lines",
    [
        "storage_options: {key: testing, secret: CANARY}",
        "storage_options: {client_kwargs: {aws_secret_access_key: CANARY}}",
        "storage_options: {credentials: {first: CANARY, CANARY: [CANARY]}}",
        "storage_options: {secret: {CANARY}, token: [CANARY]}",
        "storage_options: {a: '${SECRET}', b: ['x${SECRET}'], c: {d: '${INNOCENT}'}}",
        "storage_options: {url: 'https://user:CANARY@host/'}",
        "replica: s3://user:CANARY@host/prefix",
        "replica: s3://user:CAN ARY CANARY@host/prefix",
        "replica: https://host/prefix?token=CANARY",
        "replica: 'https://host/${SECRET_TOKEN}/x'",
        "replica: 'https://${USER}:${SECRET}@host/x'",
        "state_dir: /x/${SECRET}",
    ],
)
def test_p12_no_secret_is_shown(lines: str) -> None:
    environ = {"SECRET": CANARY, "SECRET_TOKEN": CANARY, "INNOCENT": CANARY, "USER": "somebody"}

    stream = one(lines.replace("CANARY", CANARY), **environ)

    shown = [stream.show(), repr(stream), str(Settings({"a": stream})), Settings({"a": stream}).show()]
    assert [text for text in shown if CANARY in text] == []
    assert lines.partition(":")[0] in stream.show()


@pytest.mark.parametrize(
    "lines",
    [
        "settle: ${SECRET}",
        "profile: ${SECRET}",
        "exclude: ['${SECRET}//x']",
        "guard: /${SECRET}",
        "unsafe_single_writer: ${SECRET}",
        "unsafe_single_writer: CANARY",
        "storage_options: CANARY",
        "storage_options: [CANARY]",
        "storage_options: {secret: *CANARY}",
        "storage_options: {secret: !CANARY x}",
        "storage_options: {secret: &CANARY x}",
        "storage_options: {secret: !CANARY!x x}",
        "storage_options: {secret: {CANARY: '${NOPE}'}}",
        "storage_options: {secret: {CANARY, CANARY}}",
        "storage_options: {secret: %CANARY}",
        "storage_options: {secret: '${CANARY}",
        "storage_options: {secret: 'CANARY' CANARY}",
        "storage_options: {secret: CANARY: CANARY}",
        "storage_options: {secret: @CANARY}",
        "storage_options: {secret: '${CANARY!}'}",
        'storage_options: {secret: "\\CANARY"}',
        "replica: {CANARY: x}",
        "secret password CANARY: x",
        "s3://user:CANARY@host: x",
        "tree: ${SECRET}\nreplica: x\nheartbeat: soon",
    ],
)
@pytest.mark.parametrize("library", ["C", "Python"])
def test_p12_no_secret_is_in_an_error(lines: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "Python":
        # A build of PyYAML without the C library has other messages.
        monkeypatch.delattr(yaml, "CSafeLoader")

    with pytest.raises(UsageError) as caught:
        one(lines.replace("CANARY", CANARY), SECRET=CANARY)

    told: BaseException | None = caught.value
    while told is not None:
        assert CANARY not in str(told)
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)


@given(JUNK, JUNK)
def test_p12_no_secret_is_told_whatever_stands_around_it(before: str, after: str) -> None:
    text = f"streams:\n  a:\n    tree: /x\n    replica: /y\n    storage_options:\n      secret: {before}{CANARY}{after}"

    try:
        told = parse(text, {}).show()
    except UsageError as error:
        told = str(error)

    assert CANARY not in told


def test_the_name_of_a_secret_variable_is_shown_in_its_place() -> None:
    environ = {"MY_TOKEN": "t", "SECRET": "s"}

    shown = one("replica: 's3://${MY_TOKEN}/x'\nstorage_options: {secret: '${SECRET}'}", **environ).show()

    assert 'replica: "s3://${MY_TOKEN}/x"' in shown
    assert 'storage_options: {"secret": "${SECRET}"}' in shown


def test_the_value_of_any_other_variable_is_shown() -> None:
    assert 'tree: "/config"' in one("tree: ${WHERE}", WHERE="/config").show()


def test_what_is_shown_of_a_full_file_reads_the_same() -> None:
    plain = FULL.replace('key: "007"', 'region: "007"')

    assert parse(parse(plain, {}).show(), {}) == parse(plain, {})


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(
    lambda text: text.strip() and not re.search(r"[:=@?<]|--|-----", text)
)


@given(PLAIN, PLAIN, st.dictionaries(st.sampled_from(["a", "b", "region"]), PLAIN | st.integers() | st.booleans()))
@example("$${a} ${b}", "$$${", {"a": "${c}"})
def test_any_text_comes_back_from_what_is_shown(tree: str, replica: str, options: dict[str, Any]) -> None:
    stream = Stream("a", tree, "/" + replica, storage_options=options, guard=())

    again = parse(Settings({"a": stream}).show(), {}).stream()

    assert (again.tree, again.replica, again.storage_options, again.guard) == (tree, "/" + replica, options, ())


@given(st.floats(0, 366 * 86400))
def test_a_length_of_time_comes_back_from_what_is_shown(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-12, abs=1e-9)
