"""A program's word on a file: on a copy, bounded in time and output, and only where it had its say."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.validate import CommandValidator, Finding, NotCheckedError, Outcome, Rule, Samples, Validators, prove

SAMPLES = Samples(b"sample.conf", b"good\n", b"bad\n")
_PR_SET_CHILD_SUBREAPER = 36
_READ = "import sys, os; text = open(sys.argv[1]).read(); "


def python(program: str, **options: object) -> CommandValidator:
    argv = [sys.executable, "-c", _READ + program]
    return CommandValidator("program", argv, SAMPLES, **options)  # type: ignore[arg-type]


def test_the_exit_code_decides() -> None:
    validator = python("sys.exit('bad' in text)")

    assert prove(validator).ok
    assert validator.check(b"a.conf", b"good") == []
    assert validator.check(b"a.conf", b"bad") == [Finding(0, 0, "program exited with 1")]


def test_a_validator_may_accept_other_exit_codes() -> None:
    validator = python("sys.exit(3 if 'bad' in text else 2)", accepts=(0, 2))

    assert prove(validator).ok


def test_the_program_sees_a_private_copy_under_the_files_own_name_and_nothing_stays(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = (
        f"where = os.path.abspath(sys.argv[1]); here = os.path.dirname(where);"
        f"open({str(seen)!r}, 'w').write('\\n'.join([where, os.getcwd(), os.environ['HOME'],"
        "oct(os.stat(here).st_mode & 0o777), oct(os.stat(where).st_mode & 0o777)]));"
        "open(where, 'w').write('rewritten')"
    )

    python(program).check(b"conf/my config.yml", b"good")

    where, cwd, home, directory_mode, file_mode = seen.read_text().splitlines()
    assert Path(where).name == "my config.yml"
    assert Path(where).parent == Path(cwd) == Path(home)
    assert (directory_mode, file_mode) == ("0o700", "0o600")
    assert not Path(cwd).exists()


def test_the_path_goes_where_the_arguments_say() -> None:
    argv = [
        sys.executable,
        "-c",
        "import sys; sys.exit(open(sys.argv[1][7:]).read() != 'good\\n')",
        "--file={file}",
        "x",
    ]

    assert prove(CommandValidator("program", argv, SAMPLES)).ok


def test_p6_a_program_that_is_not_there_says_nothing_about_the_file() -> None:
    validator = CommandValidator("program", ["no-such-program-anywhere"], SAMPLES)
    validators = Validators([validator], [Rule(("*",), "program")])

    outcome = validators.check(b"file", b"bad")

    why = "the program no-such-program-anywhere is not there or not executable"
    assert outcome == Outcome(unchecked={"program": why})


def test_p6_a_program_that_lacks_a_module_fails_its_self_test() -> None:
    validators = Validators([python("import a_module_that_is_not_there")], [Rule(("*",), "program")])

    outcome = validators.check(b"file", b"bad")

    assert outcome == Outcome(unchecked={"program": "rejects its good sample: program exited with 1"})


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("sys.exit(127)", "exit code 127"),
        ("sys.exit(126)", "exit code 126"),
    ],
)
def test_p6_a_program_that_came_to_no_answer_says_nothing_about_the_file(program: str, why: str) -> None:
    with pytest.raises(NotCheckedError, match=why):
        python(program).check(b"a", b"bad")


def test_p14_a_program_that_takes_too_long_is_killed_with_all_its_children(tmp_path: Path) -> None:
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    # A child of the program holds the pipe open for writing; the end of file is the end of both.
    program = f"end = open({str(pipe)!r}, 'w'); end.write('x'); end.flush(); os.fork(); import time; time.sleep(600)"
    ended = threading.Event()

    def read_to_the_end() -> None:
        assert pipe.read_bytes() == b"x"
        ended.set()

    reader = threading.Thread(target=read_to_the_end, daemon=True)
    reader.start()

    with pytest.raises(NotCheckedError, match="longer than 1 s"):
        python(program, timeout_seconds=1.0).check(b"a", b"bad")

    assert ended.wait(10)


@pytest.fixture
def first_process() -> Iterator[None]:
    """Have this process inherit orphans, as the first process of a container does."""
    if sys.platform != "linux":
        pytest.skip("only Linux lets a process inherit orphans")
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("first_process")
@pytest.mark.parametrize("program", ["sys.exit(0)", "os.system('sleep 600')"], ids=["in time", "too slow"])
def test_p14_the_first_process_of_a_container_buries_what_a_program_leaves_behind(program: str) -> None:
    before = _children()
    leaves_one = "os.fork() or os.execlp('sleep', 'sleep', '600'); "

    with contextlib.suppress(NotCheckedError):
        python(leaves_one + program, timeout_seconds=2.0).check(b"a", b"good")

    assert _children() - before == set()


def _children() -> set[str]:
    """Return the processes that this one has to bury, alive or not."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_p14_output_is_drained_and_bounded() -> None:
    program = "sys.stdout.write('x' * 10_000_000); sys.exit(1)"

    found = python(program, shows_output=True).check(b"a", b"bad")

    assert len(found[0].message) < 300


def test_p12_only_a_place_is_taken_from_what_the_program_prints() -> None:
    program = "print('error: line 3, column 14: hunter2 is no port', file=sys.stderr); sys.exit(1)"

    assert python(program).check(b"a", b"bad") == [Finding(3, 14, "program exited with 1")]


def test_p12_output_that_is_asked_for_is_masked_and_names_no_temporary_directory() -> None:
    program = "print('\\n' + sys.argv[1] + ' password: hunter2'); sys.exit(1)"

    found = python(program, shows_output=True).check(b"a.yml", b"bad")

    assert found[0].message.startswith("program exited with 1: a.yml password: ")
    assert "hunter2" not in found[0].message


def test_p12_the_program_does_not_inherit_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    program = "sys.exit('AWS_SECRET_ACCESS_KEY' in os.environ or os.environ['GIVEN'] != '1')"

    assert python(program, environment={"GIVEN": "1"}).check(b"a", b"good") == []


def test_a_program_that_leaves_its_session_is_not_waited_for() -> None:
    clock = SystemClock()
    program = "p = os.fork()\nif not p:\n  os.setsid(); import time; time.sleep(20)"
    argv = [sys.executable, "-c", "import os\n" + program]
    started = clock.elapsed_seconds()

    assert CommandValidator("program", argv, SAMPLES).check(b"a", b"good") == []

    assert clock.elapsed_seconds() - started < 15


@pytest.mark.parametrize(
    ("change", "match"),
    [({"argv": []}, "a command"), ({"timeout_seconds": 0}, "timeout"), ({"accepts": ()}, "no exit code")],
)
def test_a_command_that_cannot_be_meant_is_refused(change: dict[str, object], match: str) -> None:
    options: dict[str, object] = {"name": "program", "argv": ["true"], "samples": SAMPLES, **change}

    with pytest.raises(ValueError, match=match):
        CommandValidator(**options)  # type: ignore[arg-type]
