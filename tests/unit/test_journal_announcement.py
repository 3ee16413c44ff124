import logging
from dataclasses import replace
from pathlib import Path

import pytest

from confstream.journal.announcement import Before, announce
from confstream.revision import OK, Revision, Status, Verdict
from confstream.tree import EMPTY, diff
from tests.journals import PATIENCE_SECONDS, Open, Replica
from tests.logs import grow, tree_of

CONFIG = "mqtt:\n  host: broker\n  password: canary-1\n"


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if getattr(record, "event", "") == "revision_published"
    ]


def _made(replica: Replica) -> Revision:
    grow(replica.memory, 1)
    (revision,) = replica.revisions()
    return revision


def test_every_revision_is_one_line_that_says_what_changed(
    root: Path, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")

    with start(root) as journal:
        journal.write("config.yml", CONFIG)
        journal.sync(PATIENCE_SECONDS)
        journal.write("config.yml", CONFIG.replace("broker", "other").replace("canary-1", "canary-2"))
        journal.sync(PATIENCE_SECONDS)

    assert lines(caplog) == [
        ("INFO", "revision 1: + config.yml (42 B) (api)"),
        ("INFO", "revision 2: config.yml: mqtt.host broker → other, mqtt.password *** → *** (api)"),
    ]
    assert "canary" not in caplog.text


def test_a_revision_has_its_facts_for_programs(root: Path, start: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "confstream")

    with start(root) as journal:
        journal.write("config.yml", CONFIG)
        journal.sync(PATIENCE_SECONDS)

    (fields,) = [
        vars(record)["fields"] for record in caplog.records if vars(record).get("event") == "revision_published"
    ]
    assert fields.pop("duration_s") >= 0
    assert fields == {"position": 1, "source": "api", "path": b"config.yml", "files": 1, "deleted": 0, "verdict": "ok"}


def test_p6_a_doubt_is_a_warning_with_its_place_once_and_its_end_is_told(
    root: Path, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")

    with start(root) as journal:
        for name, text in (
            ("config.yml", CONFIG),
            ("config.yml", CONFIG + "mqtt: {\n"),
            ("other.yml", "a: 1\n"),
            ("config.yml", CONFIG),
        ):
            journal.write(name, text)
            journal.sync(PATIENCE_SECONDS)

    (_, broken, still, mended) = lines(caplog)
    assert broken[0] == "WARNING"
    assert broken[1].startswith("revision 2 is invalid (config.yml:5:1: ")
    assert broken[1].endswith("): config.yml: changed (+1 -0 lines) (api)")
    assert still[0] == "INFO"
    assert still[1].startswith("revision 3 is invalid (still invalid: config.yml:5:1: ")
    assert mended == ("INFO", "revision 4 is ok again: config.yml: changed (+0 -1 lines) (api)")


def test_nothing_is_found_out_that_nobody_reads(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    revision = _made(replica)
    caplog.set_level(logging.WARNING, "confstream")
    asked: list[bytes] = []

    announce(revision, Before(tree_of({"file1.yml": b"a: 1\n"}), OK), asked.append, 0.0)

    assert (asked, caplog.records) == ([], [])


def test_p6_words_that_cannot_be_found_leave_the_names(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    before = tree_of({"a.yml": b"a: 1\n"})
    revision = _made(replica)
    revision = replace(revision, changes=tuple(diff(before, tree_of({"a.yml": b"a: 2\n"}))))
    caplog.set_level(logging.INFO, "confstream")

    def broken(_: bytes) -> bytes:
        raise ImportError

    announce(revision, Before(before, OK), broken, 0.0)

    assert lines(caplog) == [("INFO", "revision 1: a.yml (api)")]


def test_in_brief_the_files_are_only_named(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    revision = _made(replica)
    caplog.set_level(logging.INFO, "confstream")

    announce(revision, Before(EMPTY, OK), lambda _: None, 0.0, in_brief=True)

    assert lines(caplog) == [("INFO", "revision 1: file1.yml (api)")]


def test_of_many_reasons_a_few_are_told(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    verdict = Verdict(Status.SUSPICIOUS, tuple(f"{number}.yml became blank" for number in range(5)))
    revision = replace(_made(replica), verdict=verdict)

    announce(revision, Before(EMPTY, OK), lambda _: None, 0.0, in_brief=True)

    ((level, said),) = lines(caplog)
    assert level == "WARNING"
    assert "suspicious (0.yml became blank; 1.yml became blank; 2.yml became blank; and 2 more): " in said
