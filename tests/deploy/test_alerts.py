"""Alerts and dashboard, asked of Prometheus itself: what fires when, what keeps silent, and what it can read."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.endpoints import LISTEN, Endpoints
from tests.manifests import DEPLOY, documents
from tests.processes import confstream
from tests.programs import find_packaged

_MONITORING = DEPLOY / "kubernetes" / "monitoring"
_OWN = {"namespace": "home", "pod": "frigate-1", "stream": "frigate"}
_REQUESTS = 'confstream_storage_requests_total{namespace="home", pod="frigate-1", stream="frigate", op="put", outcome='

Series = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """When an alert fires: *loud* series and the time at which they have made it fire; *quiet* ones never do.

    Times are counted in minutes, or in whatever *unit* is.
    """

    loud: Series
    time: int
    quiet: Sequence[Series]
    summary: str
    labels: Mapping[str, str] = field(default_factory=lambda: _OWN)
    unit: str = "m"


_VERIFY = '{namespace="home", cronjob="confstream-verify"}'


def _of(name: str, **more: str) -> str:
    """Return a series of the stream with *more* labels."""
    labels = ", ".join(f'{key}="{value}"' for key, value in {**_OWN, **more}.items())
    return f"confstream_{name}{{{labels}}}"


# As Prometheus has them: start + step x times, one value for each minute or hour; _ is a scrape without an answer.
CASES = {
    "ConfstreamAbsent": Case(
        {_of("build_info", version="1"): "1x10 _x60", 'confstream_build_info{namespace="other", stream="z2m"}': "1x70"},
        40,
        [
            {_of("build_info", version="1"): "1x10 _x8 1x60"},
            # A pod that is replaced by another, with another version.
            {
                _of("build_info", version="1"): "1x10 _x60",
                'confstream_build_info{namespace="home", pod="frigate-2", stream="frigate", version="2"}': "_x12 1x60",
            },
        ],
        "frigate: no confstream answers; nothing is known of the configuration.",
        {"namespace": "home", "stream": "frigate"},
    ),
    "ConfstreamNotReplicating": Case(
        {_of("replication_lag_seconds"): "0x10 0+60x30", _of("last_success_timestamp_seconds"): "0+60x40"},
        30,
        [
            # Ten minutes behind, and then there.
            {_of("replication_lag_seconds"): "0+60x12 0x30", _of("last_success_timestamp_seconds"): "0+60x60"},
            # A heartbeat that did not get through, and the next.
            {_of("replication_lag_seconds"): "0x30", _of("last_success_timestamp_seconds"): "0x9 600x9 1200x10"},
        ],
        "frigate: changes of the configuration do not reach the replica.",
    ),
    "ConfstreamHeld": Case(
        {_of("held"): "0x5 1x20"},
        8,
        [{_of("held"): "0x30"}, {_of("held"): "0x5 1 0x30"}],
        "frigate: the directory is gone, empty or another volume; nothing of it is recorded.",
    ),
    "ConfstreamFenced": Case(
        {_of("fenced"): "0x5 1x20"},
        15,
        [{_of("fenced"): "0x30"}, {_of("fenced"): "0x5 1x3 0x30"}],  # A rolling update.
        "frigate: another writer owns the replica; this one only records locally.",
    ),
    "ConfstreamUnrecorded": Case(
        {_of("unrecorded"): "0x5 1x20"},
        15,
        [{_of("unrecorded"): "0x30"}, {_of("unrecorded"): "0x5 1x3 0x30"}],
        "frigate: changes cannot be recorded; the disk is full, most likely.",
    ),
    "ConfstreamUnreadable": Case(
        {_of("unreadable_files"): "0x5 3x20"},
        15,
        [{_of("unreadable_files"): "0x30"}, {_of("unreadable_files"): "0x5 3x3 0x30"}],
        "frigate: 3 files cannot be read and are not protected.",
    ),
    "ConfstreamValidatorBroken": Case(
        {_of("validator_ok", validator="yaml"): "1x5 0x20", _of("validator_ok", validator="json"): "1x30"},
        15,
        [{_of("validator_ok", validator="yaml"): "1x30"}, {}],
        "frigate: the validator yaml does not work; its files are not checked.",
        {**_OWN, "validator": "yaml"},
    ),
    "ConfstreamSuspiciousChange": Case(
        {_of("suspicious_changes_total", kind="empty"): "0x5 1x20"},
        8,
        [
            {_of("suspicious_changes_total", kind="empty"): "0x30"},
            {_of("suspicious_changes_total", kind="empty"): "4x30"},
        ],
        "frigate: a change looks like damage (empty).",
        {**_OWN, "kind": "empty"},
    ),
    "ConfstreamRestoreFailed": Case(
        {_of("restores_total", outcome="failed"): "0x5 1x20"},
        8,
        [{_of("restores_total", outcome="failed"): "0x30", _of("restores_total", outcome="restored"): "0x5 1x20"}],
        "frigate: a restore failed.",
        {**_OWN, "outcome": "failed"},
    ),
    "ConfstreamStorageErrors": Case(
        {f'{_REQUESTS}"ok"}}': "0+1x60", f'{_REQUESTS}"unavailable"}}': "0+2x60"},
        40,
        [
            {f'{_REQUESTS}"ok"}}': "0+3x60", f'{_REQUESTS}"unavailable"}}': "0+2x60"},
            # That an object is there already, or is not, is an answer.
            {f'{_REQUESTS}"ok"}}': "0+1x60", f'{_REQUESTS}"exists"}}': "0+9x60", f'{_REQUESTS}"missing"}}': "0+9x60"},
            {f'{_REQUESTS}"ok"}}': "5x60", f'{_REQUESTS}"unavailable"}}': "0x60"},  # Nothing to do.
        ],
        "frigate: more than half of the requests to the storage fail.",
    ),
    "ConfstreamCheckFailed": Case(
        {'kube_job_status_failed{namespace="home", job_name="confstream-status-29"}': "0x5 1x20"},
        8,
        [
            {'kube_job_status_failed{namespace="home", job_name="confstream-verify-29"}': "0x30"},
            {'kube_job_status_failed{namespace="home", job_name="somebody-elses-29"}': "1x30"},
        ],
        "confstream-status-29 failed: no writer lives, or the replica cannot be restored.",
        {"namespace": "home", "job_name": "confstream-status-29"},
    ),
    "ConfstreamVerifyStale": Case(
        {f"kube_cronjob_status_last_successful_time{_VERIFY}": "0x300", f"kube_cronjob_created{_VERIFY}": "0x300"},
        8 * 24 + 2,
        [
            {
                f"kube_cronjob_status_last_successful_time{_VERIFY}": "0x9 600x30",
                f"kube_cronjob_created{_VERIFY}": "0x30",
            }
        ],
        "home: nobody knows for 8 days whether everything can be restored.",
        {"namespace": "home", "cronjob": "confstream-verify"},
        "h",
    ),
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Give the program that knows what Prometheus knows."""
    return find_packaged("promtool", "prometheus")


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _specification() -> dict[str, Any]:
    (rules,) = documents(_MONITORING / "prometheusrule.yaml")
    found: dict[str, Any] = rules["spec"]
    return found


def _alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in _specification()["groups"] for rule in group["rules"]}


def _write_test(directory: Path, name: str, expected: Iterator[dict[str, Any]], unit: str = "m") -> Path:
    """Write the rules, and what is *expected* of them."""
    (directory / "rules.yaml").write_text(yaml.safe_dump(_specification()))
    tests = directory / f"{name}.yaml"
    made = {"rule_files": ["rules.yaml"], "evaluation_interval": f"1{unit}", "tests": list(expected)}
    tests.write_text(yaml.safe_dump(made))
    return tests


def _expectation(
    name: str, series: Series, times: Sequence[int], told: list[dict[str, Any]], unit: str = "m"
) -> dict[str, Any]:
    """Return a test of Prometheus: at each of *times*, *told* is what the alert *name* says."""
    return {
        "interval": f"1{unit}",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{time}{unit}", "alertname": name, "exp_alerts": told} for time in times],
    }


def _expected(name: str, case: Case) -> Iterator[dict[str, Any]]:
    rule = _alerts()[name]
    annotations = {"summary": case.summary, "runbook_url": rule["annotations"]["runbook_url"]}
    told = {"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}
    yield _expectation(name, case.loud, [case.time], [told], case.unit)
    yield _expectation(name, case.loud, [4], [], case.unit)
    for series in case.quiet:
        # Where there is no confstream at all, silence is what ConfstreamAbsent is for.
        yield _expectation(name, series, range(20 if name == "ConfstreamAbsent" else 0, 30), [], case.unit)


def _try(promtool: str, directory: Path, name: str, case: Case) -> None:
    _run(promtool, "test", "rules", _write_test(directory, name, _expected(name, case), case.unit))


def test_prometheus_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_specification()))

    told = _run(promtool, "check", "rules", tmp_path / "rules.yaml")

    assert f"{len(CASES)} rules found" in told


def test_every_alert_has_a_case() -> None:
    assert _alerts().keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should_and_keeps_silent_when_it_should(
    name: str, promtool: str, tmp_path: Path
) -> None:
    _try(promtool, tmp_path, name, CASES[name])


def test_that_no_confstream_answers_anywhere_fires_as_well(promtool: str, tmp_path: Path) -> None:
    rule = _alerts()["ConfstreamAbsent"]
    summary = "all streams: no confstream answers; nothing is known of the configuration."
    annotations = {"summary": summary, "runbook_url": rule["annotations"]["runbook_url"]}
    told = {"exp_labels": rule["labels"], "exp_annotations": annotations}
    expected = _expectation("ConfstreamAbsent", {}, [20], [told])

    _run(promtool, "test", "rules", _write_test(tmp_path, "absent", iter([expected])))


def test_a_writer_that_never_reached_the_replica_fires_as_well(promtool: str, tmp_path: Path) -> None:
    name = "ConfstreamNotReplicating"
    series = {_of("replication_lag_seconds"): "0x60", _of("last_success_timestamp_seconds"): "0x60"}
    case = Case(series, 30, [], CASES[name].summary)

    _try(promtool, tmp_path, name, case)


def test_a_check_that_never_succeeded_is_stale_as_well(promtool: str, tmp_path: Path) -> None:
    name = "ConfstreamVerifyStale"
    case = replace(CASES[name], loud={f"kube_cronjob_created{_VERIFY}": "0x300"}, quiet=[])

    _try(promtool, tmp_path, name, case)


def test_prometheus_finds_no_fault_with_what_it_scrapes(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tmp_path / "tree", tmp_path / "replica", *LISTEN) as writer:
        seen = Endpoints(writer)
        writer.wait_until(lambda: seen.metric("position") == 1, "the first revision")
        code, text = seen.get("/metrics")

    judged = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (code, judged.returncode, judged.stderr) == (HTTPStatus.OK, 0, "")


def test_prometheus_understands_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    board = json.loads((_MONITORING / "confstream.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    # Of a variable, what Grafana asks Prometheus for: the series that have the label.
    queries += [
        re.sub(r"^label_values\((.+), \w+\)$", r"\1", one["query"])
        for one in board["templating"]["list"]
        if one["type"] == "query"
    ]
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "a|b", query)} for number, query in enumerate(queries)
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    told = _run(promtool, "check", "rules", tmp_path / "panels.yaml")

    assert f"{len(queries)} rules found" in told
