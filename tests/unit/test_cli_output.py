"""What a person sees: ages, sizes, columns, and nothing that a terminal would obey."""

import io
import json
import logging

import pytest

import confstream
from confstream_cli import logs, options, output

SECOND = 10**9


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (59, "59s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (86400 * 2, "2d"),
        (86400 * 62, "62d"),
        (86400 * 63, "9w"),
    ],
)
def test_a_length_of_time_is_one_short_word(seconds: float, shown: str) -> None:
    assert output.length(seconds) == shown


def test_what_a_wrong_clock_puts_into_the_future_is_said_so() -> None:
    assert output.ago(100 * SECOND, 40 * SECOND) == "in 60s"
    assert output.ago(40 * SECOND, 100 * SECOND) == "60s ago"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99949, "99.9 kB"),
        (99950, "100 kB"),
        (999400, "999 kB"),
        (999500, "1.0 MB"),
        (10**9, "1.0 GB"),
        (10**15, "1000 TB"),
    ],
)
def test_a_size_is_rounded_to_what_can_be_read(count: int, shown: str) -> None:
    assert output.size(count) == shown


@pytest.mark.parametrize(
    ("count", "noun", "shown"), [(1, "file", "1 file"), (0, "file", "0 files"), (2, "entry", "2 entries")]
)
def test_nouns_are_counted_in_words(count: int, noun: str, shown: str) -> None:
    assert output.plural(count, noun) == shown


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\rb", "a\nb", "\x9b31m", "\u202ebidi", "\udcff", "\0"])
def test_nothing_that_a_terminal_would_obey_is_left(hostile: str) -> None:
    assert output.clean(hostile).isprintable()


def test_columns_are_aligned_by_what_is_seen() -> None:
    stream = io.StringIO()

    output.Page(stream).columns([["名", "1", "x"], ["ab", "10", "y"], ["é", "2", "z"]], right=(1,), indent="")

    assert stream.getvalue() == "名   1  x\nab  10  y\né    2  z\n"


def test_a_line_is_cut_where_the_terminal_ends() -> None:
    page = output.Page(io.StringIO())
    page.width = 10

    assert page.cut("0123456789") == "0123456789"
    assert page.cut("01234567890") == "012345678…"
    assert output.width(page.cut("名名名名名名")) <= 10


@pytest.mark.parametrize("form", ["text", "json", "plain"])
def test_p12_no_log_line_has_a_secret_or_a_second_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logging.INFO, form)

    error = ValueError("token=canary-7261\nsecond")
    logging.getLogger("confstream.test").error("s3://me:canary-7261@host is\x1b[31m down", exc_info=error)
    logs.reset()

    err = capsys.readouterr().err
    assert "canary-7261" not in err
    assert "\x1b" not in err
    assert err.count("\n") == 1
    if form == "json":
        assert json.loads(err).keys() == {"ts", "level", "event", "stream", "logger", "message"}


@pytest.mark.parametrize(
    ("arguments", "replica", "rest"),
    [
        (["s3://b/p"], "s3://b/p", []),
        (["s3://b/p", "x"], "s3://b/p", ["x"]),
        (["backup", "x"], "backup", ["x"]),
    ],
)
def test_without_a_variable_the_first_argument_is_the_replica(
    arguments: list[str], replica: str, rest: list[str]
) -> None:
    assert options.replica_and_rest(arguments, "PATH") == (replica, rest)


@pytest.mark.parametrize(
    ("arguments", "replica", "rest"),
    [
        ([], "s3://env/p", []),
        (["x"], "s3://env/p", ["x"]),
        (["./backup"], "./backup", []),
        (["s3://b/p"], "s3://b/p", []),
        (["backup", "x"], "backup", ["x"]),
    ],
)
def test_with_the_variable_the_replica_may_be_left_out(
    arguments: list[str], replica: str, rest: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFSTREAM_REPLICA", "s3://env/p")

    assert options.replica_and_rest(arguments, "PATH") == (replica, rest)


def test_the_replica_of_replicate_stands_behind_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options.replica_and_rest(["/config", "s3://b/p"], "TREE", required=1, last=True) == ("s3://b/p", ["/config"])

    monkeypatch.setenv("CONFSTREAM_REPLICA", "s3://env/p")
    assert options.replica_and_rest(["/config"], "TREE", required=1, last=True) == ("s3://env/p", ["/config"])


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["a", "--typo"]])
def test_arguments_that_cannot_be_meant_are_refused(arguments: list[str]) -> None:
    with pytest.raises(confstream.UsageError):
        options.replica_and_rest(arguments, "PATH")


@pytest.mark.parametrize("text", ["soon", "0", "-1s", "10"])
def test_a_time_that_cannot_be_meant_names_its_option(text: str) -> None:
    with pytest.raises(confstream.UsageError, match="--settle"):
        options.seconds("--settle", text)
