"""What the real kustomize makes of deploy/: the same as these tests believe, and nothing that is not there."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import DEPLOY, OF_AN_OPERATOR, OLDEST, STATEFUL, Document, check, kustomize, versions, workloads

_VERSION_MIN = 4  # Of kustomize, in kubectl 1.21: before, it lacks what deploy/ needs.
_HASH = re.compile(r'"(confstream(?:-s3)?)-[a-z0-9]{10}"')
_GENERATED = {
    "configMapGenerator": [{"name": "confstream", "literals": ["CONFSTREAM_REPLICA=s3://bucket/app"]}],
    "secretGenerator": [{"name": "confstream-s3", "envs": ["s3.env"]}],
}
_DEPLOYMENT: Document = {
    **STATEFUL,
    "kind": "Deployment",
    "spec": {name: STATEFUL["spec"][name] for name in ("selector", "template")},
}


@pytest.fixture(scope="module")
def build() -> Callable[[Path], list[Document]]:
    """Give the real kustomize; skip where there is none."""
    command = _kustomize()

    def run(directory: Path) -> list[Document]:
        done = subprocess.run([*command, directory], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return list(yaml.safe_load_all(done.stdout))

    return run


def _kustomize() -> Sequence[str]:
    if shutil.which("kubectl") is not None:
        told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"^Kustomize Version: v(\d+)\.", told, re.MULTILINE)
        if version is not None and int(version[1]) >= _VERSION_MIN:
            return ("kubectl", "kustomize")
    if shutil.which("kustomize") is not None:
        return ("kustomize", "build")
    pytest.skip("kustomize is not installed: it comes with kubectl, and as a package with Debian 13")


@pytest.fixture
def kubernetes(tmp_path: Path) -> Path:
    """Give a copy of what is for Kubernetes, to write applications beside it."""
    return shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")


def _application(kubernetes: Path, workload: Document, component: str) -> Path:
    """Write an application that *component* protects and that is watched, and return its directory."""
    directory = kubernetes / "app"
    directory.mkdir()
    (directory / "app.yaml").write_text(yaml.safe_dump(workload))
    (directory / "s3.env").write_text((kubernetes / "frigate" / "s3.env").read_text())
    kustomization: dict[str, Any] = {
        "namespace": "app",
        "resources": ["app.yaml", "../monitoring"],
        "components": [f"../{component}"],
        **_GENERATED,
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return directory


def _comparable(made: Sequence[Document]) -> dict[tuple[str, str], Document]:
    """Return objects by kind and name, without hashes in names, and without what says the same in two ways."""
    found = {}
    for document in json.loads(_HASH.sub(r'"\1"', json.dumps(made))):
        if document["kind"] == "Secret":
            document.setdefault("stringData", {}).update(
                {name: base64.b64decode(value).decode() for name, value in document.pop("data", {}).items()}
            )
            document.pop("type", None)
        if not document["metadata"].get("labels"):
            document["metadata"].pop("labels", None)
        found[document["kind"], document["metadata"]["name"]] = document
    assert len(found) == len(made)
    return found


def _references(made: list[Document]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of every object that a container of *made* needs to start."""
    for _, pod in workloads(made):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            for one in container.get("envFrom", []):
                for kind, reference in one.items():
                    yield {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]


def _look_at(directory: Path, build: Callable[[Path], list[Document]], first: str) -> Mapping[Any, Document]:
    """Build *directory* for real; return the objects, once all is proved of them."""
    made = build(directory)
    names = {(one["kind"], one["metadata"]["name"]) for one in made}

    assert _comparable(made) == _comparable(kustomize(directory))
    assert set(_references(made)) - names == set()
    for version in versions(first):
        for document in made:
            if document["kind"] not in OF_AN_OPERATOR:
                check(document, version)
    return _comparable(made)


def test_frigate_is_built_as_these_tests_believe(build: Callable[[Path], list[Document]], kubernetes: Path) -> None:
    made = _look_at(kubernetes / "frigate", build, OLDEST["component"])

    assert ("Deployment", "frigate") in made


def test_what_watches_an_application_is_added_by_one_line(
    build: Callable[[Path], list[Document]], kubernetes: Path
) -> None:
    kustomization = kubernetes / "frigate" / "kustomization.yaml"
    text = kustomization.read_text(encoding="utf-8")
    assert text.count("# - ../monitoring") == 1
    kustomization.write_text(text.replace("# - ../monitoring", "- ../monitoring"))

    made = _look_at(kubernetes / "frigate", build, OLDEST["component"])

    assert {name for kind, name in made if kind == "CronJob"} == {"confstream-status", "confstream-verify"}
    assert {document["metadata"]["namespace"] for key, document in made.items() if key[0] != "Namespace"} == {"frigate"}


@pytest.mark.parametrize("component", OLDEST)
@pytest.mark.parametrize("workload", [STATEFUL, _DEPLOYMENT], ids=lambda workload: str(workload["kind"]))
def test_a_component_is_built_into_a_workload_as_these_tests_believe(
    workload: Document, component: str, build: Callable[[Path], list[Document]], kubernetes: Path
) -> None:
    made = _look_at(_application(kubernetes, workload, component), build, OLDEST[component])

    pod = made[workload["kind"], "app"]["spec"]["template"]["spec"]
    assert "confstream" in {one["name"] for one in [*pod["initContainers"], *pod["containers"]]}
