"""What stands in deploy/, as values: documents, command lines, and what kustomize makes of them.

Knows as much of kustomize as deploy/ uses, and refuses the rest: what cannot
be checked here does not belong there.
"""

import configparser
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
IMAGE = "confstream"

OF_AN_OPERATOR = {"PrometheusRule", "PodMonitor"}
"""Objects that Kubernetes knows only with the operator of Prometheus."""

OLDEST = {"component": "1.29", "component-plain": "1.25"}
"""The oldest Kubernetes that a component is checked against: with native sidecars, and with schemas at all."""

Document = dict[str, Any]

STATEFUL: Document = yaml.safe_load("""
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: app, labels: {confstream: protect}}
spec:
  serviceName: app
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      initContainers: [{name: first, image: app}]
      containers: [{name: app, image: app, volumeMounts: [{name: config, mountPath: /config}]}]
  volumeClaimTemplates:
    - metadata: {name: config}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
""")
"""An application with a container of its own that runs first, to be protected."""

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_KUSTOMIZATION = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "patches",
    "configMapGenerator",
    "secretGenerator",
    "images",
}


@dataclass(frozen=True)
class CommandLine:
    """One call of confstream: where it stands, its words, and the variables that it finds."""

    where: str
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def documents(path: Path) -> list[Document]:
    """Return the documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document is not None]


def kustomize(directory: Path) -> list[Document]:
    """Return what ``kustomize build`` prints for *directory*, but for the hashes at the end of generated names."""
    made: list[Document] = []
    (kustomization,) = documents(directory / "kustomization.yaml")
    return _kustomized(directory, kustomization, made)


def versions(first: str = OLDEST["component"]) -> list[str]:
    """Return the minor versions of Kubernetes from *first* on that there are schemas of."""

    def key(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split(".")[:2])

    found = {key(version) for version in kubernetes_validate.utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= key(first)]


def check(document: Document, version: str) -> None:
    """Refuse an object that Kubernetes would, or that has what it does not know."""
    kubernetes_validate.validate(document, version, strict=True)


def merge(target: Any, patch: Any, key: str = "") -> Any:
    """Return *target* after a strategic merge of *patch*, as kustomize does it: new list items come first."""
    if isinstance(patch, dict) and isinstance(target, dict):
        merged = {name: value for name, value in target.items() if patch.get(name, ...) is not None}
        merged.update(
            {name: merge(target.get(name), value, name) for name, value in patch.items() if value is not None}
        )
        return merged
    if isinstance(patch, list) and isinstance(target, list) and key in _MERGE_KEYS:
        by = _MERGE_KEYS[key]
        patches = {item[by]: item for item in patch}
        kept = [merge(item, patches.pop(item[by])) if item[by] in patches else item for item in target]
        return [*patches.values(), *kept]
    return patch


def workloads(made: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Yield each document that has pods, and the specification of its pod."""
    for document in made:
        specification = document.get("spec", {})
        template = specification.get("jobTemplate", {}).get("spec", specification).get("template")
        if template is not None:
            yield document, template["spec"]


def command_lines() -> list[CommandLine]:
    """Return every call of confstream in deploy/."""
    found: list[CommandLine] = []
    for path in sorted(DEPLOY.rglob("*")):
        where = path.relative_to(DEPLOY).as_posix()
        if path.suffix in {".yaml", ".yml"}:
            for document in documents(path):
                found += _of_containers(where, document)
        elif path.suffix == ".md":
            found += _of_page(where, path)
        elif path.suffix == ".service":
            found += _of_unit(where, path)
        elif path.is_file() and path.parent.parent.name == "s6-rc.d":
            found += [
                CommandLine(where, tuple(shlex.split(line.partition("confstream ")[2])))
                for line in path.read_text(encoding="utf-8").splitlines()
                if "confstream " in line
            ]
    return found


def variables_of(environment: Any) -> dict[str, str]:
    """Return what a list or mapping of variables sets to something."""
    if isinstance(environment, dict):
        return {name: str(value) for name, value in environment.items()}
    return {one["name"]: one["value"] for one in environment or [] if "value" in one}


def unit(path: Path) -> configparser.RawConfigParser:
    """Return a unit of systemd; of a key that occurs twice, all values on lines of their own."""

    class Values(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(
        dict_type=Values, strict=False, delimiters=("=",), comment_prefixes=("#",), empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # As its documentation has it.
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


def _kustomized(directory: Path, kustomization: Document, made: list[Document]) -> list[Document]:
    unknown = kustomization.keys() - _KUSTOMIZATION
    assert not unknown, f"{directory}: this check knows nothing of {unknown}"
    for name in kustomization.get("resources", []):
        made += kustomize(directory / name) if (directory / name).is_dir() else documents(directory / name)
    for name in kustomization.get("components", []):
        (component,) = documents(directory / name / "kustomization.yaml")
        assert component["kind"] == "Component"
        made = _kustomized(directory / name, component, made)
    made += [_config_map(directory, one) for one in kustomization.get("configMapGenerator", [])]
    made += [_secret(directory, one) for one in kustomization.get("secretGenerator", [])]
    for patch in kustomization.get("patches", []):
        made = _patched(directory, patch, made)
    for image in kustomization.get("images", []):
        for _, pod in workloads(made):
            _rename(pod, image)
    if "namespace" in kustomization:
        for document in made:
            if document["kind"] != "Namespace":
                document["metadata"]["namespace"] = kustomization["namespace"]
    return made


def _patched(directory: Path, patch: Document, made: list[Document]) -> list[Document]:
    assert patch.keys() <= {"path", "target"}
    (content,) = documents(directory / patch["path"])
    target = patch.get("target")
    if target is None:
        name, kind = content["metadata"]["name"], content["kind"]
        chosen = [d for d in made if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    else:
        assert target.keys() == {"kind", "labelSelector"}
        label, _, value = target["labelSelector"].partition("=")
        chosen = [
            d
            for d in made
            if re.fullmatch(target["kind"], d["kind"]) and d["metadata"].get("labels", {}).get(label) == value
        ]
    assert chosen, f"{directory / patch['path']} patches nothing"
    content = {"spec": content["spec"]}
    return [merge(document, content) if document in chosen else document for document in made]


def _config_map(directory: Path, made: Document) -> Document:
    assert made.keys() <= {"name", "literals", "files", "options"}
    content = dict(one.split("=", 1) for one in made.get("literals", []))
    content |= {name: (directory / name).read_text(encoding="utf-8") for name in made.get("files", [])}
    metadata = {"name": made["name"], "labels": made.get("options", {}).get("labels", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": content}


def _secret(directory: Path, made: Document) -> Document:
    assert made.keys() == {"name", "envs"}
    lines = [line for name in made["envs"] for line in (directory / name).read_text(encoding="utf-8").splitlines()]
    content = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": made["name"]}, "stringData": content}


def _rename(pod: Document, image: Document) -> None:
    assert image.keys() == {"name", "newName", "newTag"}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        if container["image"].partition(":")[0] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"


def _of_containers(where: str, part: Any, name: str = "") -> Iterator[CommandLine]:
    if isinstance(part, list):
        for item in part:
            yield from _of_containers(where, item)
    if not isinstance(part, dict):
        return
    name = str(part.get("name", name))
    variables = {**variables_of(part.get("env")), **variables_of(part.get("environment"))}
    words = part.get("args") or part.get("command")
    if _is_ours(part.get("image")) and words:
        yield CommandLine(f"{where}:{name}", tuple(words), variables)
    entry = part.get("entrypoint") or [""]
    if entry[0] == "confstream":
        yield CommandLine(f"{where}:{name}", (*entry[1:], *(part.get("command") or [])), variables)
    for key, value in part.items():
        if not key.startswith("x-"):
            yield from _of_containers(where, value, key)


def _is_ours(image: Any) -> bool:
    name = image.get("repository") if isinstance(image, dict) else str(image or "").partition(":")[0]
    return name == IMAGE


def _of_page(where: str, path: Path) -> Iterator[CommandLine]:
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            call = re.search(r"(?:^|-- )confstream (.+?)(?: && .*)?$", line)
            if call:
                yield CommandLine(where, tuple(shlex.split(call[1], comments=True)))


def _of_unit(where: str, path: Path) -> Iterator[CommandLine]:
    service = unit(path)["Service"]
    for key in ("ExecStartPre", "ExecStart"):
        program, *words = shlex.split(service[key])
        assert program.endswith("/confstream"), f"{where}: {program}"
        yield CommandLine(f"{where}:{key}", tuple(words))
