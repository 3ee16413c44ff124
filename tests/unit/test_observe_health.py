"""From vitals to answers: what makes a stream degraded or failing, what does not, and how it reads."""

import json
from typing import Any

import pytest

from confstream.journal.phase import Phase
from confstream.journal.vitals import Loop, Vitals
from confstream.observe.health import Level, asleep, health_of, unstarted, up_to_date
from confstream.revision import Status, Verdict
from confstream.store.contact import Answers, Failure
from tests.vitals import LOOPS, NOW_NS, SECOND_NS, status, vitals

DENIED = Answers(failures={"write": Failure("denied", NOW_NS - SECOND_NS, "s3://bucket: access denied")})
UNWELL: list[tuple[str, str, Vitals]] = [
    ("ended", "failing", vitals(ended="fenced by another", loops=())),
    ("loop", "failing", vitals(loops=(Loop("capture", alive=False), LOOPS[1]))),
    ("loop", "failing", vitals(loops=(Loop("capture", alive=True, late_ns=NOW_NS - SECOND_NS), LOOPS[1]))),
    ("loop", "failing", vitals(loops=(LOOPS[0], Loop("uplink", alive=False)))),
    ("starting", "degraded", vitals(scanned_ns=0)),
    ("starting", "degraded", vitals(status(connected=False))),
    ("fenced", "failing", vitals(status(phase=Phase.FENCED, trouble="fenced", error="x"))),
    ("standby", "failing", vitals(status(phase=Phase.STANDBY, trouble="fenced", error="x"))),
    ("replica-denied", "failing", vitals(status(trouble="denied", error="x", failing_ns=NOW_NS))),
    ("replica-denied", "failing", vitals(replica=DENIED)),
    ("replica-unreachable", "failing", vitals(status(trouble="unavailable", error="x", failing_ns=NOW_NS))),
    ("replica-unreachable", "failing", vitals(status(trouble="unknown", error="x", failing_ns=NOW_NS))),
    ("replica-unreachable", "failing", vitals(replica=Answers(waiting_ns=NOW_NS - 6 * SECOND_NS))),
    ("replica-unreachable", "failing", vitals(replica=Answers(failures={"read": Failure("unavailable", 1, "x")}))),
    ("replica-refused", "failing", vitals(status(trouble="refused", error="x", phase=Phase.STOPPED))),
    ("replica-damaged", "failing", vitals(status(trouble="integrity", error="x"))),
    ("replica-address", "failing", vitals(status(trouble="usage", error="x"))),
    ("replica-error", "failing", vitals(status(trouble="something new", error="x"))),
    ("replica-delete", "degraded", vitals(replica=Answers(failures={"delete": Failure("denied", 1, "x")}))),
    ("heartbeat-late", "failing", vitals(replica=Answers(silent_seconds=700.0))),
    ("lag", "degraded", vitals(status(pending=1, lag_seconds=61.0))),
    ("lag", "failing", vitals(status(pending=1, lag_seconds=601.0))),
    ("behind", "degraded", vitals(status(phase=Phase.BEHIND, detail="an older revision"))),
    ("held", "failing", vitals(status(phase=Phase.HELD, detail="an empty directory"))),
    ("held", "failing", vitals(status(held="the directory is empty"))),
    ("unrecorded", "failing", vitals(unrecorded="no space left on device")),
    ("merged", "degraded", vitals(status(pending=1, merged=40))),
    ("unreadable", "failing", vitals(status(unreadable={"acme.json": "Permission denied"}))),
    ("doubtful", "degraded", vitals(status(doubts={"config.yml": ("config.yml:3:1: not YAML",)}))),
    ("doubtful", "degraded", vitals(status(verdict=Verdict(Status.SUSPICIOUS, ("5 of 6 files are gone",))))),
    ("validator-broken", "degraded", vitals(validators={"yaml": "the module yaml cannot be imported"})),
    ("polling", "ok", vitals(polling="it is a network file system")),
]


def test_a_stream_that_is_well_is_ok_without_a_reason() -> None:
    health = health_of([vitals()])

    assert health.status is Level.OK
    assert health.streams[0].reasons == ()
    assert up_to_date(vitals())


@pytest.mark.parametrize(("name", "level", "unwell"), UNWELL)
def test_what_is_wrong_is_named_with_its_level_and_what_to_do(name: str, level: str, unwell: Vitals) -> None:
    (stream,) = health_of([unwell]).streams

    assert [reason.name for reason in stream.reasons] == [name]
    assert stream.status.value == level
    assert stream.reasons[0].what
    assert stream.reasons[0].do


def test_before_the_journal_is_open_a_stream_is_starting() -> None:
    starting = Vitals("config", NOW_NS, NOW_NS)

    assert [reason.name for reason in health_of([starting]).streams[0].reasons] == ["starting"]
    assert unstarted([starting]) == ["config: the journal is not open yet"]
    assert asleep([starting]) == []
    assert not up_to_date(starting)


def test_the_worst_stream_decides() -> None:
    broken = vitals(validators={"yaml": "broken"})

    assert health_of([vitals(), broken]).status is Level.DEGRADED
    assert health_of([vitals(), broken, vitals(replica=DENIED)]).status is Level.FAILING
    assert health_of([]).status is Level.OK


@pytest.mark.parametrize(
    "outage", [{"replica": DENIED}, {"of_status": status(trouble="unavailable", error="x", connected=False)}]
)
def test_an_outage_of_the_replica_changes_neither_readiness_nor_liveness(outage: dict[str, Any]) -> None:
    assert unstarted([vitals(**outage)]) == []
    assert asleep([vitals(**outage)]) == []


def test_readiness_waits_for_the_first_look_at_everything() -> None:
    assert unstarted([vitals(), vitals(scanned_ns=0)]) == ["config: the first look at the whole directory is not done"]


def test_a_doubt_says_since_when() -> None:
    doubtful = vitals(status(doubts={"a.yml": ("is blank",)}), since={"doubtful": NOW_NS - SECOND_NS})

    (reason,) = health_of([doubtful]).streams[0].reasons
    assert (reason.name, reason.since_ns) == ("doubtful", NOW_NS - SECOND_NS)


def test_a_loop_that_does_not_come_round_is_not_alive_but_one_that_finished_is() -> None:
    late, finished = Loop("capture", alive=True, late_ns=NOW_NS), Loop("uplink", alive=False, finished=True)

    assert asleep([vitals(loops=(late, LOOPS[1]))]) == ["config: the capture loop does not come round"]
    assert asleep([vitals(loops=(LOOPS[0], finished))]) == []
    assert asleep([vitals(), vitals(loops=(late,), ended="the backend is not fit")]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"of_status": status(pending=1)},
        {"of_status": status(connected=False)},
        {"of_status": status(held="gone")},
        {"of_status": status(unreadable={"a": "b"})},
        {"of_status": status(phase=Phase.STANDBY)},
        {"of_status": status(trouble="denied")},
        {"replica": DENIED},
        {"replica": Answers(waiting_ns=1)},
        {"unrecorded": "full"},
        {"scanned_ns": 0},
    ],
)
def test_up_to_date_means_that_the_replica_provably_holds_everything(changes: dict[str, Any]) -> None:
    assert not up_to_date(vitals(**changes))


def test_the_first_of_uplink_and_requests_to_fail_says_since_when() -> None:
    unwell = vitals(status(trouble="denied", error="x", failing_ns=NOW_NS), replica=DENIED)

    (reason,) = health_of([unwell]).streams[0].reasons
    assert reason.since_ns == NOW_NS - SECOND_NS


def test_a_heartbeat_is_not_late_where_none_is_written() -> None:
    silent = vitals(replica=Answers(silent_seconds=10_000.0), heartbeat_seconds=0.0)

    assert health_of([silent]).status is Level.OK


def test_the_document_is_json_with_the_keys_that_are_promised() -> None:
    unreadable = {f"file-{number:02}": "Permission denied" for number in range(30)}
    document = health_of([vitals(status(unreadable=unreadable), replica=DENIED)]).document()

    read = json.loads(json.dumps(document))
    assert read.keys() == {"status", "time", "version", "streams"}
    (stream,) = read["streams"]
    assert stream.keys() == {
        "stream", "status", "reasons", "tree", "replica", "phase", "revision", "pending", "pending_bytes",
        "lag_seconds", "confirmed", "changed", "scanned", "watching", "files", "unreadable", "doubtful", "validators",
    }  # fmt: skip
    assert stream["reasons"][0] == {
        "reason": "replica-denied",
        "level": "failing",
        "what": "s3://bucket: access denied",
        "since": "2027-01-15T07:59:59.000000000Z",
        "do": "correct the credentials, the bucket's name or its policy, or the clock, whichever it names",
    }
    assert len(stream["unreadable"]) == 20


def test_p12_a_secret_in_an_error_or_a_reason_is_masked() -> None:
    leaking = "https://me:canary-7261@host/x: password=canary-7261"
    unwell = vitals(
        status(trouble="error", error=leaking, doubts={"a.yml": (leaking,)}, held=leaking),
        unrecorded=leaking,
        ended="",
        validators={"yaml": leaking},
        polling=leaking,
    )

    assert "canary-7261" not in json.dumps(health_of([unwell]).document())
