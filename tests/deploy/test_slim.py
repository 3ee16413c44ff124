"""What the image's diet takes off a library leaves it working."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import ROOT


@pytest.fixture
def slim() -> Any:
    spec = importlib.util.spec_from_file_location("slim", ROOT / "deploy" / "image" / "slim.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are ELF on Linux only")
def test_a_library_is_smaller_and_works_as_before(slim: Any, tmp_path: Path) -> None:
    found = importlib.util.find_spec("yaml._yaml")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    shutil.copytree(package, tmp_path / "yaml")
    library = tmp_path / "yaml" / Path(found.origin).name
    before = library.stat().st_size

    slim._strip(library)
    program = "import yaml; print(yaml.__file__, yaml.__with_libyaml__, yaml.load('a: 1', yaml.CSafeLoader))"
    shown = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    assert library.stat().st_size < before
    assert shown.stdout.split() == [str(tmp_path / "yaml" / "__init__.py"), "True", "{'a':", "1}"]


def test_what_is_no_library_is_left_as_it_is(slim: Any, tmp_path: Path) -> None:
    script = tmp_path / "linker.so"
    script.write_bytes(b"GROUP ( libc.so.6 )\n")

    slim._strip(script)

    assert script.read_bytes() == b"GROUP ( libc.so.6 )\n"
