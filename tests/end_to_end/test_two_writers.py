"""Two pods, one replica: one is fenced, neither loses anything, and they never take turns."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.endpoints import LISTEN, Endpoints
from tests.processes import Process, confstream, run_confstream

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "300s")
_FENCED = 11


@dataclass
class Pods:
    """Two copies of a tree: *loser* was fenced by the writer of the other one, *winner*, which still runs."""

    replica: str
    onlooker: Onlooker
    winner: Process
    winner_tree: Path
    loser_tree: Path
    loser_before: dict[int, bytes]


@contextmanager
def fenced(replicas: Replicas, directory: Path, where: str = "local") -> Iterator[Pods]:
    """Give two pods after their fight."""
    replica = replicas.make(where)
    onlooker = replicas.look_at(replica)
    old, new = directory / "old-pod", directory / "new-pod"
    for root in (old, new):
        root.mkdir()
        (root / "config.yml").write_text("origin: both\n")
    with ExitStack() as stack:
        loser = stack.enter_context(replicate(old, replica))
        edit(onlooker, loser, old, "origin: old pod\n")
        before = onlooker.hashes
        winner = stack.enter_context(replicate(new, replica))
        edit(onlooker, winner, new, "origin: new pod\n")
        (old / "config.yml").write_text("origin: old pod again\n")
        ended = loser.finish()
        assert ended.code == _FENCED, ended
        yield Pods(replica, onlooker, winner, new, old, before)


def replicate(tree: Path, replica: str, *more: str) -> Process:
    return confstream("replicate", tree, replica, *_OPTIONS, *more)


def edit(onlooker: Onlooker, writer: Process, tree: Path, text: str) -> None:
    """Write the configuration, and wait for it on the replica."""
    (tree / "config.yml").write_text(text)
    onlooker.wait_for_file("config.yml", text.encode(), writer)


@pytest.mark.parametrize("where", ["local", "seaweed"])
def test_p5_of_two_writers_one_is_fenced_with_exit_11_and_both_histories_stay_readable(
    where: str, replicas: Replicas, tmp_path: Path
) -> None:
    with fenced(replicas, tmp_path, where) as pods:
        assert pods.winner.stop().code == 0

    kept = pods.onlooker.hashes
    assert {number: kept[number] for number in pods.loser_before} == pods.loser_before
    assert pods.onlooker.versions("config.yml")[-1] == b"origin: new pod\n"
    assert b"origin: old pod\n" in pods.onlooker.versions("config.yml")
    assert b"origin: old pod again\n" not in pods.onlooker.versions("config.yml")
    forked = pods.onlooker.forks()
    assert [change.path for entry in forked for change in entry.changes] == [b"config.yml"]


def test_p5_what_is_in_a_fork_is_shown_and_restored_like_any_other_revision(replicas: Replicas, tmp_path: Path) -> None:
    with fenced(replicas, tmp_path) as pods:
        assert pods.winner.stop().code == 0
    (forked,) = pods.onlooker.forks()
    assert forked.fork is not None
    name = f"{forked.fork.name}/{forked.number}"
    ours, target = b"origin: old pod again\n", tmp_path / "restored"

    listed = run_confstream("log", pods.replica)
    shown = run_confstream("show", pods.replica, name)
    printed = run_confstream("cat", pods.replica, "config.yml", "--revision", name)
    files = run_confstream("ls", pods.replica, "--revision", name)
    compared = run_confstream("diff", pods.replica, name, "latest")
    restored = run_confstream("restore", pods.replica, target, "--revision", name)
    refused = run_confstream("restore", pods.replica, pods.winner_tree, "--revision", name)
    forced = run_confstream("restore", pods.replica, pods.winner_tree, "--revision", name, "--force")

    assert f"--revision {name} " in listed.stdout
    assert f"revision {forked.number} of the fork" in shown.stdout
    assert "-origin: old pod\n+origin: old pod again\n" in shown.stdout
    assert printed.stdout.encode() == ours
    assert files.stdout.split()[-1] == "config.yml"
    assert "-origin: old pod again\n+origin: new pod\n" in compared.stdout, compared
    assert (restored.code, (target / "config.yml").read_bytes()) == (0, ours)
    assert (refused.code, forced.code) == (4, 0)
    assert (pods.winner_tree / "config.yml").read_bytes() == ours
    published = run_confstream("replicate", pods.winner_tree, pods.replica, "--once", *_OPTIONS)
    assert published.code == 0, published
    why = f"restored the tree to revision {forked.number} of the fork {forked.fork.name}"
    assert pods.onlooker.log()[-1].authorship.message == why
    assert pods.onlooker.versions("config.yml")[-1] == ours


@pytest.mark.parametrize("name", ["nobody-1/2", "{fork}/99"])
def test_p8_a_revision_that_no_fork_has_is_not_found_and_those_that_are_there_are_named(
    name: str, replicas: Replicas, tmp_path: Path
) -> None:
    with fenced(replicas, tmp_path) as pods:
        assert pods.winner.stop().code == 0
    (forked,) = pods.onlooker.forks()
    assert forked.fork is not None

    fork = forked.fork.name
    done = run_confstream("restore", pods.replica, tmp_path / "target", "--revision", name.format(fork=fork))

    assert done.code == 5, done
    assert fork in done.stderr


def test_p5_the_fenced_writer_says_who_fenced_it_and_where_its_edits_are(replicas: Replicas, tmp_path: Path) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    trees = tmp_path / "old", tmp_path / "new"
    for tree in trees:
        tree.mkdir()
    with replicate(trees[0], replica) as loser:
        edit(onlooker, loser, trees[0], "a: 1\n")
        with replicate(trees[1], replica) as winner:
            edit(onlooker, winner, trees[1], "a: 2\n")
            (trees[0] / "config.yml").write_text("a: 3\n")
            said = loser.finish()
            assert winner.stop().code == 0

    (fork,) = {entry.fork for entry in onlooker.forks()}
    assert fork is not None
    assert said.code == _FENCED
    assert "fork" in said.stderr
    assert fork.writer in said.stderr


def test_p5_a_fenced_writer_that_is_restarted_stands_by_and_publishes_nothing(
    replicas: Replicas, tmp_path: Path
) -> None:
    with fenced(replicas, tmp_path) as pods, replicate(pods.loser_tree, pods.replica) as again:
        again.wait_for_line("standing by")
        (pods.loser_tree / "config.yml").write_text("origin: old pod, restarted\n")
        edit(pods.onlooker, pods.winner, pods.winner_tree, "origin: new pod, undisturbed\n")
        edit(pods.onlooker, pods.winner, pods.winner_tree, "origin: new pod, still undisturbed\n")
        assert again.is_running

        assert b"origin: old pod, restarted\n" not in pods.onlooker.versions("config.yml")
        again.kill()
        assert pods.winner.stop().code == 0


def test_p5_takeover_lets_the_fenced_writer_publish_and_fences_the_other(replicas: Replicas, tmp_path: Path) -> None:
    with fenced(replicas, tmp_path) as pods, replicate(pods.loser_tree, pods.replica, "--takeover") as again:
        pods.onlooker.wait_for_file("config.yml", b"origin: old pod again\n", again)

        (pods.winner_tree / "config.yml").write_text("origin: new pod, too late\n")
        ended = pods.winner.finish()

        assert ended.code == _FENCED, ended
        assert again.stop().code == 0
    assert b"origin: new pod, too late\n" not in pods.onlooker.versions("config.yml")


def test_p5_when_the_winner_stops_cleanly_the_waiting_loser_goes_on(replicas: Replicas, tmp_path: Path) -> None:
    # It looks at the other one's heartbeat as often as it would write its own.
    with fenced(replicas, tmp_path) as pods, replicate(pods.loser_tree, pods.replica, "--heartbeat", "1s") as again:
        again.wait_for_line("standing by")

        assert pods.winner.stop().code == 0

        edit(pods.onlooker, again, pods.loser_tree, "origin: old pod, going on\n")
        assert again.stop().code == 0


def test_p7_a_writer_that_stands_by_is_red_and_ready_until_it_goes_on(replicas: Replicas, tmp_path: Path) -> None:
    with (
        fenced(replicas, tmp_path, "seaweed") as pods,
        replicate(pods.loser_tree, pods.replica, "--heartbeat", "1s", *LISTEN) as again,
    ):
        seen = Endpoints(again)
        reason = seen.wait_for_reason("standby")
        assert (reason["level"], seen.health["code"], seen.metric("fenced")) == ("failing", 503, 1)
        assert seen.metric("up_to_date") == 0
        again.wait_until(lambda: seen.get("/readyz")[0] == 200, "readiness")

        assert pods.winner.stop().code == 0

        edit(pods.onlooker, again, pods.loser_tree, "origin: old pod, going on\n")
        seen.wait_for_health()
        assert (seen.metric("fenced"), seen.metric("up_to_date")) == (0, 1)
        again.wait_for_line("taking over from writer")
        assert again.stop().code == 0


def test_p5_after_the_winner_stopped_cleanly_a_restart_of_the_loser_goes_on_at_once(
    replicas: Replicas, tmp_path: Path
) -> None:
    with fenced(replicas, tmp_path) as pods:
        assert pods.winner.stop().code == 0
        with replicate(pods.loser_tree, pods.replica) as again:
            edit(pods.onlooker, again, pods.loser_tree, "origin: old pod, going on\n")
            assert again.stop().code == 0


def test_two_pods_of_a_rolling_update_do_not_interleave(replicas: Replicas, tmp_path: Path) -> None:
    with fenced(replicas, tmp_path) as pods, replicate(pods.loser_tree, pods.replica) as again:
        for count in range(5):
            (pods.loser_tree / "config.yml").write_text(f"origin: old pod {count}\n")
            edit(pods.onlooker, pods.winner, pods.winner_tree, f"origin: new pod {count}\n")
        again.kill()
        assert pods.winner.stop().code == 0

    writers = [entry.writer for entry in pods.onlooker.log()]
    changes_of_writer = sum(one != other for one, other in pairwise(writers))
    assert changes_of_writer == 1, writers


def test_two_writers_that_write_the_same_leave_it_once_and_no_fork(replicas: Replicas, tmp_path: Path) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    trees = tmp_path / "a", tmp_path / "b"
    for tree in trees:
        tree.mkdir()
        (tree / "config.yml").write_text("same: 1\n")
    with replicate(trees[0], replica) as first:
        onlooker.wait_for_file("config.yml", b"same: 1\n", first)
        with replicate(trees[1], replica) as second:
            second.wait_for_line("watching")
            for tree in trees:
                (tree / "config.yml").write_text("same: 2\n")
            onlooker.wait_for_file("config.yml", b"same: 2\n")
            codes = {second.stop().code, first.stop().code}

    assert onlooker.versions("config.yml") == [b"same: 1\n", b"same: 2\n"]
    assert [entry for entry in onlooker.forks() if entry.changes] == []
    assert codes <= {0, _FENCED}
