"""deploy/ says what is so: command lines that exist, metrics that exist, objects that Kubernetes takes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer

import confstream
from confstream.observe.metrics import METRICS, PREFIX
from confstream_cli import environment, options
from confstream_cli.app import app
from confstream_cli.commands import replicate, supervise
from tests.manifests import (
    DEPLOY,
    OF_AN_OPERATOR,
    OLDEST,
    ROOT,
    STATEFUL,
    CommandLine,
    check,
    command_lines,
    documents,
    kustomize,
    merge,
    unit,
    versions,
    workloads,
)

_GROUP: Any = typer.main.get_command(app)
_KUBERNETES = DEPLOY / "kubernetes"
_MONITORING = _KUBERNETES / "monitoring"
_SIZES = ("_bucket", "_count", "_sum")


def _protected(component: str, workload: dict[str, Any]) -> dict[str, Any]:
    (patch,) = documents(_KUBERNETES / component / "protect.yaml")
    found = merge(workload, {"spec": patch["spec"]})
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("line", command_lines(), ids=lambda line: f"{line.where} {' '.join(line.words)}")
def test_every_command_line_can_be_meant(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFSTREAM_REPLICA", "s3://bucket/prefix")
    for name, value in line.variables.items():
        monkeypatch.setenv(name, value)
    name, *words = supervise.with_command(line.words)

    values = _GROUP.commands[name].make_context(name, words).params

    arguments = values.pop("arguments")
    if values.get("config") or name in {"config", "profile"}:
        assert not arguments or name in {"config", "profile"}
    elif name in {"replicate", "run"}:
        options.replica_and_rest(arguments, "TREE", required=1, last=True)
        asked = (supervise.Given if name == "run" else replicate.Given)(**values).options()
        assert bool(asked.command) == (name == "run")
    elif name == "restore":
        options.replica_and_rest(arguments, "TREE", required=1)
        assert values["if_missing"] or line.where.endswith(".md")
    else:
        options.replica_and_rest(arguments, *(("OLD", "NEW") if name == "diff" else ()))


def test_every_way_to_run_confstream_has_a_command_line_that_is_checked() -> None:
    lines = [line for line in command_lines() if not line.where.endswith(".md")]
    found = {(line.where.split("/", maxsplit=1)[0], line.words[0]) for line in lines}

    ways = {"app-template", "compose", "kubernetes", "s6-overlay", "systemd"}
    assert {way for way, command in found if command in {"replicate", "run"}} == ways
    assert {way for way, command in found if command in {"restore", "run"}} == ways
    assert {path.name for path in DEPLOY.iterdir() if path.is_dir()} == ways | {"image"}


def _everything() -> str:
    files = (path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_p13_no_manifest_sets_a_variable_that_does_not_exist() -> None:
    text = _everything()

    assert environment.unknown(set(re.findall(r"\bCONFSTREAM_[A-Z_]+", text))) == []


def test_every_image_is_the_version_of_this_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = _everything()

    named = re.findall(r"\bconfstream(?::|==|, tag: )([\d.]+\d)", text) + re.findall(r"newTag: (\S+)", text)
    assert set(named) == {version}


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("directory", ["frigate", "monitoring"])
def test_kubernetes_takes_every_object(directory: str, version: str) -> None:
    made = [one for one in kustomize(_KUBERNETES / directory) if one["kind"] not in OF_AN_OPERATOR]

    for document in made:
        check(document, version)

    assert made


def test_what_kubernetes_does_not_know_is_refused() -> None:
    (document,) = [one for one in kustomize(_KUBERNETES / "frigate") if one["kind"] == "Deployment"]
    document["spec"]["template"]["spec"]["initContainers"][1]["restartPolcy"] = "Always"

    with pytest.raises(kubernetes_validate.ValidationError):
        check(document, versions()[-1])


@pytest.mark.parametrize("component", OLDEST)
def test_a_component_protects_a_stateful_set_as_well(component: str) -> None:
    protected = _protected(component, STATEFUL)

    for version in versions(OLDEST[component]):
        check(protected, version)
    pod = protected["spec"]["template"]["spec"]
    names = [one["name"] for one in pod["initContainers"]]
    # The configuration is there before anything of the application's runs.
    assert names == ["confstream-restore", *(["confstream"] if component == "component" else []), "first"]


def test_the_plain_component_is_for_clusters_without_native_sidecars() -> None:
    pod = _protected("component-plain", STATEFUL)["spec"]["template"]["spec"]

    assert all("restartPolicy" not in one for one in pod["initContainers"])
    (ours,) = [one for one in pod["containers"] if one["name"] == "confstream"]
    waits = int(re.findall(r"sleep\((\d+)\)", ours["lifecycle"]["preStop"]["exec"]["command"][-1])[0])
    # Beside the wait there is time for the last publication.
    assert pod["terminationGracePeriodSeconds"] >= waits + confstream.ReplicateOptions().shutdown_seconds


def _ours(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    containers = [one for _, pod in workloads(made) for one in [*pod.get("initContainers", []), *pod["containers"]]]
    return [one for one in containers if one["image"].startswith("confstream:")]


@pytest.mark.parametrize("directory", ["frigate", "monitoring"])
def test_every_container_of_ours_runs_with_the_least_rights_and_within_bounds(directory: str) -> None:
    ours = _ours(kustomize(_KUBERNETES / directory))

    for container in ours:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["requests"] == {"cpu": "10m", "memory": "64Mi"}
        assert {next(iter(one)) for one in container["envFrom"]} == {"configMapRef", "secretRef"}
    assert len(ours) == 2


def test_frigate_starts_after_the_restore_and_ends_before_the_sidecar() -> None:
    ((_, pod),) = workloads(kustomize(_KUBERNETES / "frigate"))

    restore, sidecar = pod["initContainers"]
    assert (restore["args"][0], sidecar["args"][0]) == ("restore", "replicate")
    assert sidecar["restartPolicy"] == "Always"
    assert "restartPolicy" not in restore
    mounted = {mount["name"] for one in (restore, sidecar) for mount in one["volumeMounts"]}
    assert mounted == {"config"} <= {volume["name"] for volume in pod["volumes"]}
    # Frigate's files are root's: whoever protects them is, too.
    assert restore["securityContext"]["runAsUser"] == sidecar["securityContext"]["runAsUser"] == 0


def test_what_the_containers_take_their_settings_from_is_there() -> None:
    made = kustomize(_KUBERNETES / "frigate")

    named = {
        (kind, reference["name"]) for one in _ours(made) for each in one["envFrom"] for kind, reference in each.items()
    }
    there = {("configMapRef" if one["kind"] == "ConfigMap" else "secretRef", one["metadata"]["name"]) for one in made}
    assert named <= there
    (settings,) = [one["data"] for one in made if one["kind"] == "ConfigMap"]
    (secret,) = [one["stringData"] for one in made if one["kind"] == "Secret"]
    assert settings["CONFSTREAM_REPLICA"].startswith("s3://")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} <= secret.keys()


def _declared() -> set[str]:
    names = {PREFIX + metric.name for metric in METRICS}
    sizes = {PREFIX + metric.name + size for metric in METRICS if metric.kind == "histogram" for size in _SIZES}
    return names | sizes


def _labels() -> set[str]:
    return {label for metric in METRICS for label in metric.labels}


def _alerts() -> list[dict[str, Any]]:
    (rules,) = documents(_MONITORING / "prometheusrule.yaml")
    return [alert for group in rules["spec"]["groups"] for alert in group["rules"]]


def _queries() -> list[str]:
    board = json.loads((_MONITORING / "confstream.json").read_text(encoding="utf-8"))
    return [
        *(target["expr"] for panel in board["panels"] for target in panel["targets"]),
        *(one["query"] for one in board["templating"]["list"] if one["type"] == "query"),
    ]


def test_every_query_of_the_dashboard_and_every_alert_names_metrics_that_exist() -> None:
    expressions = [*_queries(), *(alert["expr"] for alert in _alerts())]

    named = [set(re.findall(r"\bconfstream_[a-z_]+", expression)) for expression in expressions]

    assert set().union(*named) - _declared() == set()
    elsewhere = [text for text, names in zip(expressions, named, strict=True) if not names]
    # What a cluster tells of the checks from outside the pod.
    known = {"kube_job_status_failed", "kube_cronjob_status_last_successful_time", "kube_cronjob_created"}
    assert {name for text in elsewhere for name in re.findall(r"\b[a-z]+_[a-z_]+(?={)", text)} == known


def test_alerts_and_dashboard_use_labels_that_exist() -> None:
    text = "\n".join([*_queries(), json.dumps(_alerts())])

    used = set(re.findall(r"[{,] ?([a-z_]+)=~?\\?\"|[{,] ?([a-z_]+)!~", text)) | {
        (one, "") for one in re.findall(r"\$labels\.([a-z_]+)", text)
    }
    of_prometheus = {"namespace", "pod", "stream", "job_name", "cronjob"}
    assert {one for pair in used for one in pair if one} - _labels() - of_prometheus == set()


def test_every_alert_has_a_page_of_the_runbook_and_every_page_an_alert() -> None:
    pages = re.findall(r"^## (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert [alert["alert"] for alert in _alerts()] == pages
    for alert in _alerts():
        assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{alert['alert'].lower()}"


def test_prometheus_finds_the_port_that_the_sidecar_listens_on() -> None:
    (monitor,) = documents(_MONITORING / "podmonitor.yaml")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    for component in OLDEST:
        pod = _protected(component, STATEFUL)["spec"]["template"]["spec"]
        (sidecar,) = [one for one in [*pod["initContainers"], *pod["containers"]] if one["name"] == "confstream"]
        (port,) = sidecar["ports"]
        assert port["name"] == endpoint["port"]
        assert sidecar["args"][sidecar["args"].index("--listen") + 1] == f":{port['containerPort']}"


def test_the_service_of_systemd_is_told_when_it_is_ready_and_reads_its_credentials_itself() -> None:
    service = unit(DEPLOY / "systemd" / "confstream@.service")["Service"]

    assert service["Type"] == "notify"
    name, _, path = service["LoadCredential"].partition(":")
    assert path == "/etc/confstream/%i.credentials"
    assert service["Environment"] == f"AWS_SHARED_CREDENTIALS_FILE=%d/{name}"
    assert service["ReadWritePaths"] == "%f"
    assert int(service["TimeoutStopSec"]) > confstream.ReplicateOptions().shutdown_seconds


def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    text = (DEPLOY / "systemd" / "confstream@.service").read_text(encoding="utf-8")
    installed = tmp_path / "confstream@srv-homeassistant.service"
    installed.write_text(text.replace("/usr/bin/confstream", "/usr/bin/true"))

    verified = _systemd_analyze("verify", "--man=no", installed)
    exposed = _systemd_analyze("security", "--offline=true", "--threshold=30", installed)

    assert verified.returncode == 0, verified.stderr
    assert verified.stderr == ""
    # Out of 100, where most services have more than 90.
    assert exposed.returncode == 0, exposed.stdout


def _systemd_analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def test_the_trial_of_the_migration_guide_runs_and_finds_no_difference(tmp_path: Path) -> None:
    page = (DEPLOY / "MIGRATING.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", page, re.DOTALL)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yml").write_text("cameras: {}\n")
    command = tmp_path / "bin" / "confstream"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m confstream_cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environ = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}"}

    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "restored" / "config.yml").read_text() == "cameras: {}\n"


def _folders() -> list[Path]:
    return [path.parent for path in _KUBERNETES.rglob("kustomization.yaml")]


@pytest.mark.parametrize("folder", _folders(), ids=lambda path: str(path.name))
def test_every_file_beside_a_kustomization_is_used_by_it(folder: Path) -> None:
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")

    assert [path.name for path in folder.iterdir() if path.name != "kustomization.yaml" and path.name not in text] == []
