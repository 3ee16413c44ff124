"""Which revision a restore chooses and what it says about it; paths, single files, options that cannot be meant."""

from pathlib import Path

import pytest

from confstream.errors import IntegrityError, NotFoundError, RefusedError, UsageError
from confstream.log.reader import LogReader
from confstream.restorer import RestoreOptions, read_one, restore
from confstream.selection import Selection
from confstream.store.metered import MeteredStore
from confstream.testing import ManualClock, damage
from tests.restoring import INVALID, NEW, OLD, SUSPICIOUS, URL, Replica, contents, held, replica_of, write


@pytest.fixture
def replica() -> Replica:
    return replica_of(OLD, NEW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def test_p10_the_default_skips_doubted_revisions_and_says_how_to_get_them(replica: Replica, root: Path) -> None:
    replica.publish({"config.yml": b"{\n"}, INVALID)
    replica.publish({"config.yml": b""}, SUSPICIOUS)

    report = replica.restore(root)

    assert report.revision == 2
    assert [(one.number, one.status, one.flag) for one in report.skipped] == [
        (4, "suspicious", "--revision 4"),
        (3, "invalid", "--revision 3"),
    ]
    assert "skipped revision 4, suspicious (config.yml became blank); --revision 4 selects it" in replica.lines


def test_a_doubted_revision_is_restored_if_it_is_named(replica: Replica, root: Path) -> None:
    replica.publish({"config.yml": b"{\n"}, INVALID)

    report = replica.restore(root, revision="latest")

    assert contents(root) == {"config.yml": b"{\n"}
    assert any("revision 3 is invalid" in warning for warning in report.warnings)


@pytest.mark.parametrize(("revision", "number"), [("1", 1), ("latest", 3), ("latest-good", 3), ("-2", 1), ("v1", 1)])
def test_a_revision_is_named_in_every_way(replica: Replica, root: Path, revision: str, number: int) -> None:
    replica.publish({"config.yml": b"a: 3\n"})
    replica.publisher.tag("v1", LogReader(replica.store).revision(1))

    report = replica.restore(root, revision=revision)

    assert report.revision == number


def test_p8_a_time_means_the_last_revision_until_then_and_the_instant_is_told(root: Path) -> None:
    clock = ManualClock()
    replica = Replica(clock=clock)
    replica.publish(OLD)
    clock.advance(3600)
    replica.publish(NEW)
    clock.advance(3600)

    report = replica.restore(root, timestamp="90m")

    assert report.revision == 1
    chosen = next(line for line in replica.lines if line.startswith("revision 1 of "))
    assert "Z, local " in chosen
    assert report.as_json()["time"] in chosen


def test_p8_a_time_before_history_names_the_first_revision(replica: Replica, root: Path) -> None:
    with pytest.raises(NotFoundError, match="the first is revision 1"):
        replica.restore(root, timestamp="2001-01-01")

    assert not root.exists()


def test_p8_a_damaged_log_never_restores_an_older_state_in_silence(replica: Replica, root: Path) -> None:
    replica.publish(OLD)
    replica.store.delete(["log/" + "2".rjust(20, "0")])

    with pytest.raises(IntegrityError, match="revision 1"):
        replica.restore(root, revision="3")

    assert not root.exists()


def test_p9_a_flipped_bit_is_found_before_anything_is_touched(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b""})
    replica.faults.append(damage(times=10**6, prefix="log/", flip=200))

    with pytest.raises(IntegrityError):
        replica.restore(root, if_missing=True)

    assert held(root, state=True) == {"config.yml": (b"", 0o644)}


@pytest.mark.parametrize(
    "options",
    [{"timestamp": "1h", "revision": "2"}, {"path": "../x"}, {"path": ".confstream/wal"}, {"timeout_seconds": 0}],
)
def test_options_that_cannot_be_meant_are_usage_errors(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        RestoreOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"timestamp": "tomorrow"}, {"revision": "no/tag"}])
def test_moments_that_cannot_be_meant_are_usage_errors_even_when_present(root: Path, options: dict[str, str]) -> None:
    write(root, OLD)

    with pytest.raises(UsageError):
        restore(URL, root, RestoreOptions(if_missing=True, **options))  # type: ignore[arg-type]


def test_a_warning_says_for_how_long_no_writer_was_seen(root: Path) -> None:
    clock = ManualClock()
    replica = Replica(clock=clock)
    replica.publish(OLD)
    replica.publisher.beat(300.0, 0.0, "0.1")
    clock.advance(9 * 86400 + 60)

    report = replica.restore(root)

    assert any("the last writer was seen 9 days ago" in warning for warning in report.warnings)


def test_a_writer_that_was_just_seen_is_no_warning(replica: Replica, root: Path) -> None:
    replica.publisher.beat(300.0, 0.0, "0.1")

    assert replica.restore(root).warnings == ()


def test_p11_a_restore_lists_once_and_reads_each_object_once(root: Path) -> None:
    replica = Replica()
    for number in range(20):
        replica.publish({"config.yml": b"a: %d\n" % number})
        if number == 14:
            replica.publisher.snapshot(replica.known)
    metered = MeteredStore(replica.store)

    restore(URL, root, open_store=lambda _url, **_options: metered)

    # One snapshot and five revisions after it, the newest of which says whether it is good.
    assert metered.calls == {"list": 1, "get": 6}


def test_one_file_is_restored_alone(replica: Replica, root: Path) -> None:
    report = replica.restore(root, path="sub/b.yml")

    assert (report.outcome, contents(root)) == ("restored", {"sub": None, "sub/b.yml": b"b: 1\n"})


def test_p1_one_file_that_differs_is_refused_and_the_rest_does_not_matter(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"mine\n", "other": b"x"})

    replica.restore(root, path="sub")
    with pytest.raises(RefusedError, match=r"config\.yml holds what is in no revision"):
        replica.restore(root, path="config.yml")

    assert contents(root) == {"config.yml": b"mine\n", "other": b"x", "sub": None, "sub/b.yml": b"b: 1\n"}


def test_one_file_that_is_as_it_should_be_is_nothing_to_do(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"a: 2\n", "other": b"x"})

    assert replica.restore(root, path="config.yml").outcome == "nothing to do"


@pytest.mark.parametrize("path", ["nothing.yml", "config.yml/x"])
def test_a_path_that_the_revision_lacks_is_not_found(replica: Replica, root: Path, path: str) -> None:
    with pytest.raises(NotFoundError, match="revision 2 has no"):
        replica.restore(root, path=path)

    assert not root.exists()


def test_p2_if_missing_with_a_path_looks_at_the_path_only(replica: Replica, root: Path) -> None:
    write(root, {"config.yml": b"mine\n"})

    first = replica.restore(root, path="sub", if_missing=True)
    again = replica.restore(root, path="sub", if_missing=True)

    assert (first.outcome, again.outcome) == ("restored", "present")
    assert (root / "config.yml").read_bytes() == b"mine\n"


def test_to_stdout_returns_the_bytes_of_one_file(replica: Replica) -> None:
    lines: list[str] = []
    replica.publish({"config.yml": b""}, SUSPICIOUS)

    def read(path: str, **options: str) -> bytes:
        chosen = RestoreOptions(**options)  # type: ignore[arg-type]
        return read_one(URL, path, chosen, open_store=replica.opened, report=lines.append)

    assert read("config.yml") == b"a: 2\n"
    assert read("config.yml", revision="1") == b"a: 1\n"
    assert any("skipped revision 3" in line for line in lines)
    with pytest.raises(NotFoundError, match="is a directory"):
        read("sub")
    with pytest.raises(NotFoundError):
        read("nothing")


def test_the_selection_decides_what_is_present(replica: Replica, root: Path) -> None:
    write(root, {"cache.bin": b"x"})

    report = replica.restore(root, if_missing=True, selection=Selection(exclude=("*.bin",)))

    assert report.outcome == "restored"
    assert contents(root) == NEW | {"sub": None, "cache.bin": b"x"}


GROUP = (("/flows.json", "/flows_cred.json", "/.config.*"),)
FLOWS = {"flows.json": b"[1]", "flows_cred.json": b"{1}", ".config.runtime.json": b"{k}", "settings.js": b"1"}


def test_a_file_that_is_restored_without_what_belongs_to_it_names_the_others(tmp_path: Path) -> None:
    replica = replica_of(FLOWS)
    root = write(tmp_path / "tree", FLOWS | {"flows.json": b"[2]", "flows_cred.json": b"{2}", "settings.js": b"2"})

    report = replica.restore(root, path="flows.json", force=True, groups=GROUP)

    (told,) = report.warnings
    assert told.startswith(
        "flows.json is restored without what belongs to it: flows_cred.json is not as in revision 1;"
    )


def test_p1_what_is_filled_in_beside_what_is_kept_is_told(tmp_path: Path) -> None:
    replica = replica_of(FLOWS)
    root = write(tmp_path / "tree", {"flows_cred.json": b"{2}", ".config.new.json": b"n"})

    report = replica.restore(root, if_missing=True, guards=("flows.json",), groups=GROUP)

    assert contents(root)["flows_cred.json"] == b"{2}"
    assert [one for one in report.warnings if ".config.new.json, flows_cred.json are not as in revision 1" in one]


def test_a_group_that_is_restored_as_a_whole_or_fits_is_not_talked_about(tmp_path: Path) -> None:
    replica = replica_of(FLOWS)
    fitting = replica.restore(write(tmp_path / "fits", FLOWS | {"flows.json": b""}), path="flows.json", groups=GROUP)
    other = replica.restore(write(tmp_path / "other", FLOWS | {"settings.js": b""}), path="settings.js", groups=GROUP)
    whole = replica.restore(write(tmp_path / "whole", {"settings.js": b"2"}), force=True, groups=GROUP)

    assert (fitting.warnings, other.warnings, whole.warnings) == ((), (), ())
