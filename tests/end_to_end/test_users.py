"""One volume, several users: whoever comes next can use what the last one left, or is told what to do."""

import os
import stat
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.endpoints import LISTEN, Endpoints
from tests.privileges import contained
from tests.processes import confstream, run_confstream

_OPTIONS = ("--settle", "0.2s", "--heartbeat", "0")
_APP, _NOBODY_KNOWS = 1000, 1_234_567
_REFUSED, _UNAVAILABLE = 4, 16


@pytest.fixture
def shared(open_base: Path) -> Path:
    """Give a directory that everybody reaches, with an empty ``tree`` and room for a ``replica``, both the app's."""
    for name in ("tree", "replica"):
        (open_base / name).mkdir()
    give(open_base / "tree", _APP)
    give(open_base / "replica", _APP)
    return open_base


@pytest.fixture
def onlooker(shared: Path, replicas: Replicas, request: pytest.FixtureRequest) -> Onlooker:
    """Give an onlooker of the replica, local or on SeaweedFS, which is verified when the test is over."""
    if getattr(request, "param", "local") == "seaweed":
        return replicas.look_at(replicas.make("seaweed"))
    return replicas.look_at(replicas.verify_at_the_end(str(shared / "replica")))


def give(place: Path, uid: int) -> None:
    """Give *place* and everything in it to *uid*."""
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def owners_of_state(tree: Path) -> set[tuple[int, int]]:
    """Return whose the state directory of *tree* and everything in it is."""
    state = tree / ".confstream"
    return {(path.lstat().st_uid, path.lstat().st_mode & 0o077) for path in (state, *state.rglob("*"))}


def edit_as_sidecar(shared: Path, onlooker: Onlooker, text: str, within: list[str]) -> None:
    """Let a sidecar publish *text* as the configuration, and be well all the time."""
    with confstream("replicate", shared / "tree", onlooker.url, *_OPTIONS, *LISTEN, within=within) as writer:
        seen = Endpoints(writer)
        writer.wait_for_line("watching")
        (shared / "tree" / "config.yml").write_text(text)
        os.chown(shared / "tree" / "config.yml", _APP, _APP)
        onlooker.wait_for_file("config.yml", text.encode(), writer)
        writer.wait_until(lambda: seen.metric("up_to_date") == 1, "it to know")
        seen.wait_for_health()
        assert (seen.metric("health", status="ok"), seen.metric("unreadable_files")) == (1, 0)
        ended = writer.stop()
    assert ended.code == 0, ended
    assert "ERROR" not in ended.stderr, ended


@pytest.mark.parametrize(("onlooker", "rounds"), [("local", 3), ("seaweed", 1)], indirect=["onlooker"])
def test_an_init_container_of_root_and_a_sidecar_of_another_user_take_turns(
    shared: Path, onlooker: Onlooker, rounds: int
) -> None:
    tree, replica = shared / "tree", onlooker.url
    edit_as_sidecar(shared, onlooker, "a: 1\n", contained(_APP))
    (tree / "acme.json").write_text("{}\n")
    (tree / "acme.json").chmod(0o600)
    os.chown(tree / "acme.json", _APP, _APP)
    edit_as_sidecar(shared, onlooker, "a: 2\n", contained(_APP))
    for number in range(3, 3 + rounds):
        # The volume is lost, the pod starts again: as root first.
        volume = shared / f"volume-{number}"
        volume.mkdir()
        give(volume, _APP)
        done = run_confstream("restore", replica, volume, "--if-missing", "--if-replica-exists")
        assert done.code == 0, done
        assert {(path.stat().st_uid, oct(stat.S_IMODE(path.stat().st_mode))) for path in volume.glob("*.json")} == {
            (_APP, "0o600")
        }
        assert owners_of_state(volume) == {(_APP, 0)}
        tree.rename(shared / f"lost-{number}")
        volume.rename(tree)
        edit_as_sidecar(shared, onlooker, f"a: {number}\n", contained(_APP))
        again = run_confstream("restore", replica, tree, "--if-missing", "--if-replica-exists")
        assert again.code == 0, again
        assert owners_of_state(tree) == {(_APP, 0)}

    assert onlooker.versions("config.yml") == [f"a: {number}\n".encode() for number in range(1, 3 + rounds)]


@pytest.mark.parametrize("onlooker", ["seaweed"], indirect=True)
def test_what_root_does_with_a_journal_in_between_leaves_it_usable_for_its_owner(
    shared: Path, onlooker: Onlooker
) -> None:
    tree, replica = shared / "tree", onlooker.url
    edit_as_sidecar(shared, onlooker, "a: 1\n", contained(_APP))
    (tree / "config.yml").write_text("a: 2\n")
    assert run_confstream("replicate", tree, replica, "--once", *_OPTIONS).code == 0
    done = run_confstream("restore", replica, tree, "--revision", "1", "--force")
    assert done.code == 0, done
    assert (tree / "config.yml").stat().st_uid == _APP
    edit_as_sidecar(shared, onlooker, "a: 3\n", [])

    assert owners_of_state(tree) == {(_APP, 0)}
    edit_as_sidecar(shared, onlooker, "a: 4\n", contained(_APP))


@pytest.mark.parametrize("onlooker", ["local", "seaweed"], indirect=True)
def test_any_uid_without_a_name_or_home_works_on_a_read_only_root_file_system(shared: Path, onlooker: Onlooker) -> None:
    tree, replica = shared / "tree", onlooker.url
    give(tree, _NOBODY_KNOWS)
    give(shared / "replica", _NOBODY_KNOWS)
    within = contained(_NOBODY_KNOWS, 0, writable=[tree, shared / "replica"])
    edit_as_sidecar(shared, onlooker, "a: 1\n", within)
    (tree / "config.yml").write_text("a: 2\n")

    for command in (
        ("replicate", tree, replica, "--once", *_OPTIONS),
        ("restore", replica, tree, "--if-missing"),
        ("restore", replica, tree, "--revision", "1", "--force"),
        ("status", replica),
        ("log", replica),
        ("verify", replica),
    ):
        done = run_confstream(*command, within=within)
        assert done.code == 0, done
        assert "Traceback" not in done.stderr
    assert (tree / "config.yml").read_text() == "a: 1\n"
    assert owners_of_state(tree) == {(_NOBODY_KNOWS, 0)}


def test_a_state_directory_elsewhere_works_when_the_tree_itself_is_read_only(shared: Path, onlooker: Onlooker) -> None:
    tree, replica, state = shared / "tree", shared / "replica", shared / "state"
    (tree / "config.yml").write_text("a: 1\n")
    state.mkdir()
    give(state, _APP)

    done = run_confstream(
        "replicate", tree, replica, "--once", *_OPTIONS, "--state-dir", state,
        within=contained(_APP, writable=[replica, state]),
    )  # fmt: skip

    assert done.code == 0, done
    assert onlooker.read("config.yml") == b"a: 1\n"
    assert not (tree / ".confstream").exists()


@pytest.mark.parametrize("command", ["replicate", "restore"])
def test_a_state_directory_of_somebody_else_is_one_clear_error(shared: Path, onlooker: Onlooker, command: str) -> None:
    tree, replica = shared / "tree", shared / "replica"
    edit_as_sidecar(shared, onlooker, "a: 1\n", contained(_APP))
    (tree / "config.yml").write_text("a: 2\n")
    give(tree / ".confstream", 2000)
    arguments = {
        "replicate": ("replicate", tree, replica, "--once", *_OPTIONS),
        "restore": ("restore", replica, tree, "--revision", "1", "--force"),
    }[command]

    done = run_confstream(*arguments, within=contained(_APP))

    assert done.code == _REFUSED, done
    errors = [line for line in done.stderr.splitlines() if ".confstream" in line]
    assert len(errors) == 1, done
    assert f"uid {_APP}" in errors[0]
    assert command == "restore" or "belongs to uid 2000 and cannot be used" in errors[0]
    assert "Traceback" not in done.stderr
    assert (tree / "config.yml").read_text() == "a: 2\n"


def test_p7_a_state_directory_of_somebody_else_is_red_for_its_stream_until_it_is_given_back(
    shared: Path, replicas: Replicas
) -> None:
    trees = {name: shared / name for name in ("taken", "other")}
    urls = {"taken": replicas.make("seaweed"), "other": str(shared / "replica")}
    onlooker, state = replicas.look_at(urls["taken"]), trees["taken"] / ".confstream"
    lines = ["listen: 127.0.0.1:0", "streams:"]
    for name, tree in trees.items():
        tree.mkdir()
        (tree / "config.yml").write_text("a: 1\n")
        give(tree, _APP)
        lines += [f"  {name}: {{tree: {tree}, replica: '{urls[name]}', settle: 200ms, heartbeat: 0}}"]
    file, within = shared / "confstream.yml", contained(_APP)
    file.write_text("\n".join(lines) + "\n")
    state.mkdir(mode=0o700)
    give(state, 2000)

    with confstream("replicate", "--config", file, within=within) as writer:
        seen = Endpoints(writer)
        said = writer.wait_for_line("taken ended, the others go on")
        reason = seen.wait_for_reason("ended")
        writer.wait_until(lambda: seen.metric("health", stream="other", status="ok") == 1, "the other to be well")
        assert (seen.health["code"], seen.metric("health", stream="taken", status="failing")) == (503, 1)
        assert [seen.metric("up_to_date", stream=name) for name in trees] == [0, 1]
        ended = writer.stop()
    assert ended.code == _REFUSED, ended
    assert all("belongs to uid 2000 and cannot be used" in text for text in (said, reason["what"], ended.stderr))
    assert onlooker.head == 0

    give(state, _APP)
    with confstream("replicate", "--config", file, within=within) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        seen.wait_for_health()
        writer.wait_until(lambda: seen.metric("up_to_date", stream="taken") == 1, "it to know")
        assert seen.metric("health", stream="taken", status="failing") == 0
        ended = writer.stop()
    assert ended.code == 0, ended
    assert "belongs to uid" not in ended.stderr


def test_a_read_only_volume_is_one_clear_error_that_says_what_to_do(shared: Path, onlooker: Onlooker) -> None:
    tree, replica = shared / "tree", shared / "replica"
    edit_as_sidecar(shared, onlooker, "a: 1\n", contained(_APP))
    (tree / "config.yml").unlink()

    for command in (
        ("replicate", tree, replica, "--once", *_OPTIONS),
        ("restore", replica, tree, "--if-missing"),
    ):
        done = run_confstream(*command, within=contained(_APP, writable=[replica]))
        assert done.code == _UNAVAILABLE, done
        assert "Read-only file system" in done.stderr, done
        assert "mount the volume writable" in done.stderr or "Make it writable for uid 1000" in done.stderr, done
        assert "Traceback" not in done.stderr, done


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o000])
def test_modes_do_not_depend_on_the_umask(shared: Path, onlooker: Onlooker, umask: int) -> None:
    tree, replica, volume = shared / "tree", shared / "replica", shared / "volume"
    (tree / "dir").mkdir(mode=0o755)
    (tree / "dir" / "open.yml").write_text("a: 1\n")
    (tree / "dir" / "open.yml").chmod(0o664)
    (tree / "dir").chmod(0o2775)
    give(tree, _APP)
    (tree / "dir").chmod(0o2775)
    volume.mkdir(mode=0o755)
    give(volume, _APP)

    def mask() -> None:
        os.umask(umask)

    for command in (
        ("replicate", tree, replica, "--once", *_OPTIONS),
        ("restore", replica, volume, "--if-missing"),
        ("replicate", volume, replica, "--once", *_OPTIONS),
    ):
        done = run_confstream(*command, within=contained(_APP), preexec_fn=mask)
        assert done.code == 0, done

    assert oct(stat.S_IMODE((volume / "dir").stat().st_mode)) == "0o2775"
    assert oct(stat.S_IMODE((volume / "dir" / "open.yml").stat().st_mode)) == "0o664"
    assert {mode for _, mode in owners_of_state(volume) | owners_of_state(tree)} == {0}
    assert onlooker.head == 1, "the restored tree is another one than the published"
