"""Every look of the doctor: what it finds, how bad that is, and what to do about it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from confstream import (
    AccessDeniedError,
    ConfstreamError,
    FencedError,
    IntegrityError,
    Journal,
    NoExclusiveCreateError,
    PartialError,
    StaleError,
    SystemClock,
    UnavailableError,
    UsageError,
    diagnose,
    requirements,
    self_test,
)
from confstream.check import Check, Level
from confstream.doctor import Diagnosis, ground, modules, surroundings
from confstream.doctor.distance import Distance
from confstream.doctor.looking import length, look, size
from confstream.revision import Status, Verdict
from confstream.store.local import LocalStore
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, fail_on
from tests.privileges import modes_count
from tests.restoring import Replica


def one(found: Diagnosis, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


def contents(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(root))] = (
            status.st_mode,
            status.st_mtime_ns if path.is_file() else 0,
            path.read_bytes() if path.is_file() else b"",
        )
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "config.yml").write_text("mqtt:\n  host: broker\ncameras:\n  door: {}\n")
    return root


@pytest.fixture
def replica(tree: Path, tmp_path: Path) -> str:
    """Give a replica of *tree* with one revision."""
    url = str(tmp_path / "replica")
    Journal.open(tree, url).close()
    return url


# --- as a whole


def test_a_tree_that_is_protected_has_nothing_wrong_with_it(tree: Path, replica: str) -> None:
    found = diagnose(tree, replica)

    assert found.ok, found.error
    assert found.error is None
    assert [check.name for check in found.checks if check.level is Level.WARN] == ["heartbeat"]
    assert one(found, "exclusive creation").found == "proven: twice, and by a race of four"
    assert one(found, "agreement").found == "journal and replica both end with revision 1"
    assert one(found, "profile").found.startswith("frigate: ")


def test_the_doctor_changes_nothing(tree: Path, replica: str, tmp_path: Path) -> None:
    before = contents(tmp_path)

    diagnose(tree, replica, environment=os.environ)

    assert contents(tmp_path) == before


def test_the_doctor_makes_no_replica_and_no_journal(tree: Path, tmp_path: Path) -> None:
    found = diagnose(tree, str(tmp_path / "above" / "replica"))

    assert found.ok
    assert one(found, "replica").level is Level.WARN
    assert one(found, "exclusive creation").level is Level.SKIP
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    assert [path.name for path in tree.iterdir()] == ["config.yml"]


def test_the_worst_failure_is_the_error() -> None:
    checks = (
        Check("a", Level.FAIL, "old", "look"),
        Check("b", Level.FAIL, "away", "wait", UnavailableError),
        Check("c", Level.WARN, "odd", "weigh", IntegrityError),
    )

    error = Diagnosis(checks).error

    assert isinstance(error, UnavailableError)
    assert str(error) == "not well: b: away: wait (and 1 more)"


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (FencedError("fenced by w2"), FencedError),
        (PermissionError(13, "Permission denied", "/config"), AccessDeniedError),
        (OSError(5, "Input/output error"), StaleError),
        (ModuleNotFoundError("no", name="msgpack"), StaleError),
        (ZeroDivisionError("password: canary-7261"), StaleError),
    ],
)
def test_what_a_look_raises_is_a_finding(raised: Exception, error: type[ConfstreamError]) -> None:
    def fail() -> Check:
        raise raised

    check = only(list(look("thing", fail)))

    assert (check.name, check.level, check.error) == ("thing", Level.FAIL, error)
    assert check.advice
    assert "canary" not in check.found
    if isinstance(raised, ImportError):
        assert "msgpack" in check.found


# --- modules and validators


def test_every_dependency_of_the_project_is_looked_for() -> None:
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = {text.split(";")[0].split(">")[0].strip() for text in project["dependencies"]}

    assert wanted - {"backports.zstd"} <= {module.distribution for module in requirements.MODULES}
    assert {"backports.zstd", "compression.zstd"} & {module.name for module in requirements.MODULES}


@pytest.mark.parametrize("name", [module.name for module in requirements.MODULES])
def test_a_missing_module_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [*sys.modules]:
        if loaded == name:
            monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, name, None)

    found = modules.modules()

    failed = [check for check in found if check.level is Level.FAIL and check.name == f"module {name}"]
    assert len(failed) == 1
    assert f"the module {name}" in failed[0].found
    assert "pip install" in failed[0].advice


def test_a_validator_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    failed = [check for check in modules.validators() if check.level is Level.FAIL]

    assert [check.name for check in failed] == ["validator yaml"]
    assert "the module yaml cannot be imported" in failed[0].found


# --- variables and users


@pytest.mark.parametrize(
    ("environment", "name", "says"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "canary-7261\n", "AWS_ACCESS_KEY_ID": "x"},
            "AWS_SECRET_ACCESS_KEY",
            "ends with a line",
        ),
        ({"AWS_ACCESS_KEY_ID": " canary-7261", "AWS_SECRET_ACCESS_KEY": "x"}, "AWS_ACCESS_KEY_ID", "blanks"),
        ({"AWS_ACCESS_KEY_ID": "canary-7261"}, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY is not"),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "AWS_ENDPOINT_URL", "is no URL"),
        ({"AWS_ENDPOINT_URL": "http://me:canary-7261@minio:9000"}, "AWS_ENDPOINT_URL", "user info"),
        ({"AWS_CA_BUNDLE": "/not/there.pem"}, "AWS_CA_BUNDLE", "does not exist"),
        ({"CONFSTREAM_REPLICA": "s3://b/canary-7261\n"}, "CONFSTREAM_REPLICA", "ends with a line break"),
    ],
)
def test_p12_a_variable_that_cannot_be_meant_is_named_and_not_shown(
    environment: dict[str, str], name: str, says: str
) -> None:
    check = only(surroundings.variables(environment))

    assert (check.name, check.level, check.error) == (name, Level.FAIL, UsageError)
    assert says in check.found
    assert check.advice
    assert "canary" not in str(check)


def test_a_variable_that_is_set_to_nothing_is_doubtful() -> None:
    assert only(surroundings.variables({"AWS_SESSION_TOKEN": ""})).level is Level.WARN


def test_good_variables_are_counted() -> None:
    good = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "PATH": "x",
    }

    assert only(surroundings.variables(good)).found == "3 variables of AWS and confstream, nothing wrong with them"


def test_a_proxy_is_told_without_its_password() -> None:
    check = only(surroundings.proxies({"https_proxy": "http://me:canary-7261@proxy:3128", "NO_PROXY": ".svc"}))

    assert check.level is Level.WARN
    assert check.found == "requests to the storage go through http://***@proxy:3128, except for .svc"


def test_a_user_without_passwd_entry_and_home_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 23_456_789)

    check = surroundings.user({})

    assert check.level is Level.OK
    assert "no entry in passwd, which is fine" in check.found
    assert "HOME is not set, which is fine" in check.found


def test_a_missing_temporary_directory_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)

    assert surroundings.root().level is Level.WARN


# --- the tree


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_tree_that_is_none_is_said_and_nothing_more(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "tree"
    if kind == "file":
        place.write_text("x")

    found = diagnose(place)

    assert one(found, "tree").error is UsageError
    assert isinstance(found.error, UsageError)
    assert "files" not in [check.name for check in found.checks]


def test_an_unreadable_file_is_named_with_its_owner_and_what_to_run_as(tree: Path, replica: str) -> None:
    secret = tree / ".jwt_secret"
    secret.write_text("canary-7261")
    secret.chmod(0)
    closed = tree / "certificates"
    closed.mkdir()
    closed.chmod(0)

    with modes_count():
        found = diagnose(tree, replica)

    check = one(found, "files")
    uid = os.geteuid()
    assert isinstance(found.error, PartialError)
    assert check.found == (
        f"2 paths of uid {uid} (mode 0000, Permission denied) cannot be read by uid {uid}: .jwt_secret, certificates"
    )
    assert check.advice.startswith(f"run as uid {uid} ")


def test_many_unreadable_files_are_counted_and_few_are_named(tree: Path) -> None:
    for number in range(20):
        (tree / f"{number:02}.yml").touch(mode=0)
        (tree / f"{number:02}.yml").chmod(0)

    with modes_count():
        found = diagnose(tree)

    check = next(check for check in found.checks if check.name == "files")
    assert "20 paths" in check.found
    assert check.found.endswith("00.yml, 01.yml, 02.yml, 03.yml, 04.yml and 15 more")


def test_what_is_left_out_need_not_be_readable(tree: Path) -> None:
    (tree / "run.log").touch(mode=0)
    (tree / "run.log").chmod(0)

    with modes_count():
        assert one(diagnose(tree), "files").level is Level.OK


def test_an_empty_tree_is_doubtful(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert one(diagnose(tmp_path / "empty"), "configuration").level is Level.WARN


def test_a_tree_that_cannot_be_written_to_is_doubtful(tree: Path) -> None:
    tree.chmod(0o555)
    try:
        with modes_count():
            found = diagnose(tree)
    finally:
        tree.chmod(0o755)

    assert one(found, "writing").level is Level.WARN
    assert one(found, "state directory").level is Level.FAIL
    assert "--state-dir" in one(found, "state directory").advice


def test_limits_of_inotify_are_compared_with_the_tree(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        (tree / f"d{number}").mkdir()
    limits = tmp_path / "limits"
    limits.mkdir()
    for name, value in (("max_user_watches", 10), ("max_user_instances", 128), ("max_queued_events", 16)):
        (limits / name).write_text(f"{value}\n")
    monkeypatch.setattr(ground, "_INOTIFY", limits)

    found = diagnose(tree)

    assert one(found, "inotify watches").level is Level.WARN
    assert "10 directories" in one(found, "inotify watches").found
    assert one(found, "inotify queue").level is Level.WARN


def test_a_network_file_system_is_said_to_be_polled(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "polling_reason", lambda _root: "network file system nfs4")

    check = one(diagnose(tree), "watching")

    assert check.level is Level.WARN
    assert check.found == "the tree is polled: network file system nfs4"


def test_without_inotify_simple_the_tree_is_said_to_be_polled(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inotify_simple", None)

    found = diagnose(tree)

    assert one(found, "inotify instances").found == "the module inotify_simple is missing, so the tree is polled"
    assert one(found, "module inotify_simple").level is Level.FAIL


def test_a_disk_that_is_nearly_full_is_told(small_disk: Path) -> None:
    (small_disk / "tree").mkdir()

    check = ground.room("tree", small_disk / "tree")

    assert check.level is Level.FAIL
    assert "free some space" in check.advice


# --- the journal


def test_a_state_directory_of_somebody_else_is_told(tree: Path, replica: str) -> None:
    state = tree / ".confstream"
    for path in (*state.iterdir(), state):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        with modes_count():
            found = diagnose(tree, replica)
    finally:
        state.chmod(0o700)

    check = one(found, "state directory")
    assert check.level is Level.FAIL
    assert "cannot be used by uid" in check.found
    assert "lock" in check.found
    assert "chown -R" in check.advice


def test_what_waits_without_a_process_is_a_failure(tree: Path, tmp_path: Path) -> None:
    journal = Journal.open(tree, str(tmp_path / "replica"), publish=False)
    journal.write("config.yml", b"cameras: {}\n")
    running = one(diagnose(tree), "pending")
    journal.abort()
    (tree / ".confstream" / "lock").write_text("")

    left = one(diagnose(tree), "pending")
    late = one(diagnose(tree, clock=ManualClock(SystemClock().now_ns() + 7300 * 10**9)), "pending")

    assert running.level is Level.OK
    assert left.level is Level.FAIL
    assert left.advice == "start replicate"
    assert late.level is Level.FAIL
    assert "unpublished since 2 h" in late.found


def test_p5_a_fenced_writer_is_told_who_fenced_it_and_what_to_do(tree: Path, replica: str) -> None:
    journal = Journal.open(tree, replica, heartbeat_seconds=0)
    journal.write("config.yml", b"ours\n")
    journal.sync(timeout_seconds=30)
    Replica(LocalStore(Path(replica))).publish({"config.yml": b"theirs\n"})
    journal.write("config.yml", b"ours again\n")
    with pytest.raises(FencedError):
        journal.sync(timeout_seconds=30)
    journal.abort()

    check = one(diagnose(tree, replica), "fencing")

    assert (check.level, check.error) == (Level.FAIL, FencedError)
    assert "--takeover" in check.advice
    assert one(diagnose(tree, replica), "forks").level is Level.WARN


def test_a_replica_inside_of_the_tree_is_refused(tree: Path) -> None:
    found = diagnose(tree, str(tree / "backup"))

    assert one(found, "places").error is UsageError
    assert "is inside of the tree" in one(found, "places").found


def test_a_damaged_journal_is_an_integrity_error(tree: Path, replica: str) -> None:
    state = tree / ".confstream" / "state"
    state.write_bytes(b"not a journal")

    found = diagnose(tree, replica)

    assert one(found, "journal").error is IntegrityError


# --- the replica


def looks(store: Any, clock: Any = None, options: dict[str, Any] | None = None) -> Distance:
    return Distance(store, clock or SystemClock(), options or {})


def test_a_replica_that_does_not_answer_is_one_failure() -> None:
    store = FaultyStore(MemoryStore(), [fail_on("list", times=10)])

    check = only(list(look("replica", looks(store).replica)))

    assert check.error is UnavailableError


def test_a_url_that_cannot_be_meant_is_a_usage_error(tree: Path) -> None:
    found = diagnose(tree, "ftpx://nowhere")

    assert isinstance(found.error, UsageError)
    assert one(found, "replica").level is Level.FAIL


def test_a_backend_that_overwrites_is_not_fit(tree: Path) -> None:
    found = diagnose(tree, "simplecache::memory://doctor")

    assert isinstance(found.error, NoExclusiveCreateError)
    assert one(found, "exclusive creation").level is Level.FAIL


def _replica(store: MemoryStore) -> Replica:
    made = Replica(store)
    made.publish({"config.yml": b"a: 1\n"})
    return made


@pytest.mark.parametrize(
    ("age_seconds", "level", "says"),
    [(60, Level.OK, "nothing pending"), (1200, Level.FAIL, "every 5 min"), (-600, Level.WARN, "ahead of ours")],
)
def test_p7_the_age_of_the_last_heartbeat_is_judged(age_seconds: int, level: Level, says: str) -> None:
    store = MemoryStore()
    _replica(store).publisher.beat(300.0, 0.0, "0.1")

    check = looks(store, ManualClock(SystemClock().now_ns() + age_seconds * 10**9)).heartbeat()

    assert check.level is level
    assert says in check.found


def test_a_replica_without_a_heartbeat_is_doubtful() -> None:
    store = MemoryStore()
    _replica(store)

    assert looks(store).heartbeat().level is Level.WARN


def test_a_newest_revision_that_is_suspicious_or_of_the_future_is_doubtful() -> None:
    store = MemoryStore()
    _replica(store).publish({"config.yml": b""}, Verdict(Status.SUSPICIOUS, ("config.yml became blank",)))

    found = looks(store, ManualClock(SystemClock().now_ns() - 7200 * 10**9)).newest()

    assert [(check.name, check.level) for check in found] == [
        ("newest revision", Level.WARN),
        ("verdict", Level.WARN),
    ]
    assert "in the future" in found[0].found
    assert "became blank" in found[1].found


def test_a_replica_that_lost_its_end_or_was_exchanged_is_a_failure(tree: Path, replica: str, tmp_path: Path) -> None:
    with Journal.open(tree, replica) as journal:
        journal.write("config.yml", b"cameras: {}\n")
        journal.sync(timeout_seconds=30)
    store = LocalStore(Path(replica))
    store.delete(["log/00000000000000000002"])
    other = str(tmp_path / "other")
    (tmp_path / "elsewhere").mkdir()
    Journal.open(tmp_path / "elsewhere", other).close()

    lost = diagnose(tree, replica)
    exchanged = diagnose(tree, other)

    assert one(lost, "agreement").level is Level.FAIL
    assert "the journal confirmed revision 2, the replica ends with 1" in one(lost, "agreement").found
    assert one(exchanged, "identity").level is Level.FAIL


def test_the_source_of_credentials_is_said_and_never_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    from confstream.store.open import open_store  # noqa: PLC0415

    store = open_store("s3://bucket/x")
    without = looks(store).credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-7261")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-7261")

    assert (without.level, without.error) == (Level.FAIL, AccessDeniedError)
    assert looks(store).credentials().found == "from variables (AWS_ACCESS_KEY_ID)"
    assert looks(store, options={"key": "canary-7261"}).credentials().found == "from --storage-option key and secret"
    assert looks(store, options={"anon": True}).credentials().level is Level.OK


# --- itself


def test_the_self_test_lives_a_whole_life_of_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    told: list[Check] = []

    found = self_test(tell=told.append)

    assert found.ok, found.error
    assert [check.name for check in found.checks] == ["program", "modules", "validators", "round trip", "S3 client"]
    assert list(found.checks) == told
    assert list(tmp_path.iterdir()) == []


def test_the_self_test_finds_that_a_client_of_s3_lacks_its_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import botocore.loaders  # noqa: PLC0415

    monkeypatch.setattr(botocore.loaders.Loader, "BUILTIN_DATA_PATH", str(tmp_path))

    found = self_test()

    assert type(found.error) is ConfstreamError
    assert one(found, "S3 client").level is Level.FAIL


@pytest.mark.parametrize("name", ["msgpack", "yaml", "s3fs"])
def test_the_self_test_fails_with_1_whatever_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)

    found = self_test()

    assert type(found.error) is ConfstreamError
    assert f"the module {name}" in str([check.found for check in found.checks])


@pytest.mark.parametrize(("bytes_", "shown"), [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1 MiB"), (3 << 40, "3 TiB")])
def test_sizes_are_for_people(bytes_: int, shown: str) -> None:
    assert size(bytes_) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")]
)
def test_lengths_of_time_are_for_people(seconds: float, shown: str) -> None:
    assert length(seconds) == shown
