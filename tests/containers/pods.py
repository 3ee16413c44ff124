"""Pods as deploy/ makes them, put into words that this podman understands.

Podman of Debian knows no native sidecars, no HTTP probes without curl, and no
Secrets as Kubernetes writes them: a sidecar becomes a container beside the
application, probes are left to the tests, variables stand in the pod itself.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.containers.engine import BASE
from tests.manifests import DEPLOY, documents, merge

APPLICATION = "application"
SIDECAR = "confstream"
RESTORE = "confstream-restore"
QUIET = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"
"""An application that does nothing, and ends when it is told to."""

_PROBES = ("startupProbe", "livenessProbe", "readinessProbe", "envFrom", "lifecycle")


def protected(
    image: str,
    volume: Path,
    variables: Mapping[str, str],
    *,
    user: int,
    program: str = QUIET,
    component: str = "component",
    port: int = 0,
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the pod of an application that *component* protects.

    The application is *program*, in Python; it finds the volume at /config.
    *variables* are those of ConfigMap and Secret, *arguments* go to the
    sidecar besides its own; it listens on *port*.
    """
    mounts = [{"name": "config", "mountPath": "/config"}]
    application = {"name": APPLICATION, "image": BASE, "command": ["python", "-c", program], "volumeMounts": mounts}
    (patch,) = documents(DEPLOY / "kubernetes" / component / "protect.yaml")
    pod: dict[str, Any] = merge({"containers": [application]}, patch["spec"]["template"]["spec"])
    beside = [one for one in pod["initContainers"] if one.pop("restartPolicy", None) == "Always"]
    pod["initContainers"] = [one for one in pod["initContainers"] if one not in beside]
    pod["containers"] += beside
    for container in [*pod["initContainers"], *pod["containers"]]:
        container["imagePullPolicy"] = "Never"
        container["securityContext"] = {**container.get("securityContext", {}), "runAsUser": user, "runAsGroup": user}
        if container["name"] == APPLICATION:
            continue
        container["image"] = image
        container["env"] = [{"name": name, "value": value} for name, value in variables.items()]
        container["args"] = [f"127.0.0.1:{port}" if word == ":9099" else word for word in container["args"]]
        for name in _PROBES:
            container.pop(name, None)
        if container["name"] == SIDECAR:
            container["args"] = [*container["args"], *arguments]
            container.pop("ports", None)
    pod["volumes"] = [{"name": "config", "hostPath": {"path": str(volume), "type": "Directory"}}]
    return pod


def rclone_pair(rclone: Path, volume: Path, variables: Mapping[str, str], remote: str) -> dict[str, Any]:
    """Return the pod that lost a configuration: a copy at every start, unconditional, as root, and a sync beside."""
    container = {
        "image": BASE,
        "imagePullPolicy": "Never",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "rclone", "mountPath": "/bin/rclone"}],
    }
    once, beside = copy.deepcopy(container), copy.deepcopy(container)
    once |= {"name": "restore", "command": ["sh", "-c", f"rclone copy {remote} /config || true"]}
    beside |= {"name": "sync", "command": ["sh", "-c", f"rclone sync /config {remote}; exec sleep infinity"]}
    return {
        "initContainers": [once],
        "containers": [beside],
        "volumes": [
            {"name": "config", "hostPath": {"path": str(volume), "type": "Directory"}},
            {"name": "rclone", "hostPath": {"path": str(rclone), "type": "File"}},
        ],
    }
