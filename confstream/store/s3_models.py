"""What botocore knows of AWS, in a third of the memory: 8 MB of every process that holds a connection through s3fs."""

import gzip
import json
from pathlib import Path
from typing import Any

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
            return _needed(found) if plain.stem == "endpoints" else found

    session = AioSession(**options)
    session.get_component("data_loader").file_loader = Small()
    return session


def _needed(endpoints: Any) -> Any:  # noqa: ANN401 - whatever the file has
    """Return *endpoints* without the services that are none of ours, in memory of its own."""
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services.keys() & _SERVICES}
    # A copy: what is left lies scattered among what goes, and would keep all of that from the system.
    return json.loads(json.dumps(endpoints))
