"""Remove from an environment what confstream cannot use: ``python slim.py /venv``.

Runs while the image is built, before the build proves with ``confstream
doctor --self`` that nothing needed went. What goes, and why, is below: a
name that is not there any more, or a service that botocore does not have,
ends the build, so that this list stays true.
"""

import gzip
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNUSED_PACKAGES = {
    "markdown-it-py": "rich's",
    "mdurl": "rich's",
    "pygments": "rich's",
    "rich": "Typer imports it for coloured help and traces only, which confstream turns off",
}
"""Packages that are installed for somebody else's sake."""

INSTALLERS = ("setuptools", "pip")
"""A running image installs nothing. A Python may come without the first; the last must go last."""

AWS_SERVICES = frozenset({"s3", "signin", "sso", "sso-oidc", "sts"})
"""What botocore needs descriptions of: the storage, and the ways to its credentials; it brings 400 more."""

UNUSED_FILES = ("tests", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.h", "*.pyi")
"""Within packages: what serves their developers."""

_ELF_OF_64_BITS_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_HEADER_BYTES, _SEGMENTS_AT, _SECTIONS_AT, _SEGMENT_SIZE_AT, _SECTION_COUNT_AT = 64, 32, 40, 54, 60


def main() -> None:
    environment = Path(sys.argv[1])
    (packages,) = environment.glob("lib/python3*/site-packages")
    for path in [*_unused_files(packages), *_unused_services(packages / "botocore" / "data")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _shorten(packages / "botocore" / "data")
    for library in packages.glob("**/*.so*"):
        _strip(library)
    installed = {path.name.partition("-")[0].lower().replace("_", "-") for path in packages.glob("*.dist-info")}
    if missing := UNUSED_PACKAGES.keys() - installed:
        sys.exit(f"not installed, so take it off the list in {__file__}: {', '.join(sorted(missing))}")
    gone = [*UNUSED_PACKAGES, *(name for name in INSTALLERS if name in installed)]
    subprocess.run([environment / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", *gone], check=True)


def _unused_services(descriptions: Path) -> Iterator[Path]:
    services = {path.name for path in descriptions.iterdir() if path.is_dir()}
    if missing := AWS_SERVICES - services:
        sys.exit(f"botocore has no such service any more: {', '.join(sorted(missing))}")
    yield from (descriptions / name for name in sorted(services - AWS_SERVICES))


def _shorten(descriptions: Path) -> None:
    """Take out of the descriptions that stay what a running process would only hold in memory."""
    endpoints = descriptions / "endpoints.json"
    known = json.loads(endpoints.read_bytes())
    for partition in known["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in sorted(AWS_SERVICES & services.keys())}
    endpoints.write_text(json.dumps(known))
    for path in descriptions.glob("*/*/service-2.json.gz"):
        described = _without_words(json.loads(gzip.decompress(path.read_bytes())))
        path.write_bytes(gzip.compress(json.dumps(described).encode(), mtime=0))


def _strip(library: Path) -> None:
    """Cut off what is behind the segments of *library*: names and notes for debuggers, which no loader reads."""
    content = bytearray(library.read_bytes())
    if content[:6] != _ELF_OF_64_BITS_LITTLE_ENDIAN:
        return
    (first,) = struct.unpack_from("<Q", content, _SEGMENTS_AT)
    size, count = struct.unpack_from("<HH", content, _SEGMENT_SIZE_AT)
    ends = [_HEADER_BYTES, first + size * count]
    for number in range(count):
        offset, _, _, length = struct.unpack_from("<4Q", content, first + size * number + 8)
        ends.append(offset + length)
    # There is no table of sections any more, and no section with their names.
    struct.pack_into("<Q", content, _SECTIONS_AT, 0)
    struct.pack_into("<HH", content, _SECTION_COUNT_AT, 0, 0)
    library.write_bytes(content[: max(ends)])


def _without_words(part: Any) -> Any:
    """Return *part* with nothing in its documentation; that there is one, botocore takes for granted."""
    if isinstance(part, dict):
        return {
            key: "" if key == "documentation" and isinstance(value, str) else _without_words(value)
            for key, value in part.items()
        }
    return [_without_words(item) for item in part] if isinstance(part, list) else part


def _unused_files(packages: Path) -> Iterator[Path]:
    for pattern in UNUSED_FILES:
        yield from packages.glob(f"*/{pattern}" if "." not in pattern else f"*/**/{pattern}")


if __name__ == "__main__":
    main()
