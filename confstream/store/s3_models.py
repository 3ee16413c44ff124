"""What botocore knows of AWS, in a third of the memory: 8 MB of every process that holds a connection through s3fs."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OPERATIONS = frozenset(
    [
        "CreateSession",
        "DeleteObject",
        "DeleteObjects",
        "GetBucketLocation",
        "GetObject",
        "HeadBucket",
        "HeadObject",
        "ListObjectsV2",
        "PutObject",
    ]
)
"""What the store asks for, and what botocore asks for by itself."""

_SERVICES = frozenset({"oidc", "portal.sso", "s3", "sso", "sts"})
"""Whose endpoints a client of S3 may need: its own, and those that credentials come from."""


def small_session(options: dict[str, Any]) -> Any:  # noqa: ANN401 - aiobotocore's session
    """Return a session with *options* that has read as little as S3 takes, and that as plain dictionaries."""
    from aiobotocore.session import AioSession  # noqa: PLC0415
    from botocore.loaders import JSONFileLoader  # noqa: PLC0415

    class Small(JSONFileLoader):  # type: ignore[misc]  # botocore has no types.
        """Reads the files of botocore that are there as JSON; leaves all others to botocore."""

        def load_file(self, file_path: str) -> Any:  # noqa: ANN401 - whatever the file has
            """Return what the file at *file_path*, without its suffix, has; None if there is none."""
            plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
            if plain.is_file():
                found = json.loads(plain.read_bytes())
            elif packed.is_file():
                found = json.loads(gzip.decompress(packed.read_bytes()))
            else:
                return super().load_file(file_path)
            shorten = _shortening(plain)
            try:
                return found if shorten is None else _copied(shorten(found))
            except (AttributeError, KeyError, TypeError):
                # Another botocore may write its files in another way: then all of them is held.
                return super().load_file(file_path)

    session = AioSession(**options)
    session.get_component("data_loader").file_loader = Small()
    return session


def _shortening(file: Path) -> Callable[[Any], Any] | None:
    """Return what makes less of the content of *file*, None for what is held as it is."""
    if file.stem == "endpoints":
        return _with_few_services
    return _with_few_operations if file.stem == "service-2" and file.parent.parent.name == "s3" else None


def _with_few_services(endpoints: Any) -> Any:  # noqa: ANN401 - whatever the file has
    """Return *endpoints* without the services that are none of ours."""
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services.keys() & _SERVICES}
    return endpoints


def _with_few_operations(service: Any) -> Any:  # noqa: ANN401 - whatever the file has
    """Return the model *service* with the operations that are asked for, and the shapes that these are made of."""
    operations, shapes = service["operations"], service["shapes"]
    kept = {name: operations[name] for name in operations if name in _OPERATIONS}
    needed: set[str] = set()
    left = [*_shapes_in(kept), *(name for name, shape in shapes.items() if shape.get("exception"))]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left += _shapes_in(shapes[name])
    return {**service, "operations": kept, "shapes": {name: shapes[name] for name in shapes if name in needed}}


def _shapes_in(model: Any) -> list[str]:  # noqa: ANN401 - a part of a model
    """Return the names of the shapes that *model* refers to."""
    if isinstance(model, list):
        return [name for each in model for name in _shapes_in(each)]
    if not isinstance(model, dict):
        return []
    own = [model["shape"]] if isinstance(model.get("shape"), str) else []
    return own + [name for each in model.values() for name in _shapes_in(each)]


def _copied(model: Any) -> Any:  # noqa: ANN401 - whatever JSON has
    """Return *model* in memory of its own: scattered among what goes, it would keep all of that from the system."""
    return json.loads(json.dumps(model))
