"""The configuration file on the disk: read once, strictly."""

from collections.abc import Mapping
from pathlib import Path

from confstream.errors import UsageError
from confstream.settings import parse
from confstream.settings_document import SIZE_MAX
from confstream.stream import Settings


def load_settings(path: str | Path, environ: Mapping[str, str]) -> Settings:
    """Return what the file at *path* says, with the variables of *environ*.

    Raise ``UsageError`` if it cannot be read, is not UTF-8, or says what cannot be meant.
    """
    try:
        with Path(path).open("rb") as file:
            # P14: one byte more than may be there tells a file that is too large, whatever its size.
            content = file.read(4 * SIZE_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot read the configuration file {path}: {reason}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # P12: the error itself holds the content.
        raise UsageError(
            f"the configuration file {path} is not UTF-8 at byte {error.start}; save it as UTF-8"
        ) from None
    return parse(text, environ, str(path))
