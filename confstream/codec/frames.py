"""zstd frames with every size known, and capped, before anything is allocated.

A frame may be compressed against a *prefix*: bytes that the reader has
already, after which an edited file costs a few dozen bytes.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from confstream.errors import IntegrityError

if TYPE_CHECKING:
    from types import ModuleType

WINDOW_LOG_MAX = 27
"""128 MiB: what a reader is willing to hold of a pack while it decodes."""

PREFIX_SIZE_MAX = 1 << 24
"""16 MiB: what an object may ask a reader to hold of contents that lie elsewhere."""

_DICT_SIZE_MIN = 8
_LONG_SIZE_MIN = 1 << 18
_CHUNK_SIZE = 1 << 17


class Effort(NamedTuple):
    """What a frame may take to be made small: zstd's *level*, and a window.

    With *window_log*, matches are looked for in the last 2 ** *window_log* bytes, which are held: versions of one file
    that lie far apart then cost next to nothing.
    """

    level: int = 3
    window_log: int = 0


_USUAL = Effort()


def compress(parts: Iterable[bytes], size: int, *, prefix: Iterable[bytes] = (), effort: Effort = _USUAL) -> bytes:
    """Return one frame of the *parts*, *size* bytes together; nothing at all for no bytes.

    The parts are taken one at a time. A long *prefix* is within the window whatever the *effort*. Raise ``ValueError``
    if a reader would refuse it.
    """
    if size == 0:
        return b""
    zstd = _zstd()
    known = _joined(prefix)
    options: dict[Any, int] = {
        zstd.CompressionParameter.compression_level: effort.level,
        zstd.CompressionParameter.checksum_flag: 0,  # SHA-256 hashes of contents and object do that.
    }
    reach = max((size + len(known) - 1).bit_length(), 10)
    # Without, only the end of a long prefix is found again.
    window_log = WINDOW_LOG_MAX if len(known) > _LONG_SIZE_MIN else effort.window_log
    if window_log:
        options[zstd.CompressionParameter.window_log] = min(reach, window_log)
        options[zstd.CompressionParameter.enable_long_distance_matching] = 1
    compressor = zstd.ZstdCompressor(options=options, zstd_dict=_dictionary(zstd, known))
    compressor.set_pledged_input_size(size)
    frame = [compressor.compress(part) for part in parts]
    frame.append(compressor.flush())
    return b"".join(frame)


def decompress(frame: bytes, key: str, size_max: int) -> bytes:
    """Return the content of *frame*, which may be at most *size_max* bytes, or raise ``IntegrityError``."""
    size = frame_size(frame, key)
    if size > size_max:
        raise IntegrityError(f"{key}: a frame announces {size} bytes, at most {size_max} are allowed")
    (content,) = split(frame, key, [size])
    return content


def split(frame: bytes, key: str, sizes: Sequence[int], *, prefix: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Yield the parts of *frame*, which are *sizes* bytes long, holding one at a time.

    The announced size must be the sum of *sizes*, so a caller who caps these
    has capped everything; *prefix* is taken one at a time, up to its own limit.
    Raise ``IntegrityError`` otherwise.
    """
    announced, expected = frame_size(frame, key), sum(sizes)
    if announced != expected:
        raise IntegrityError(f"{key}: a frame announces {announced} bytes, expected {expected}")
    if expected == 0:
        if frame:
            raise IntegrityError(f"{key}: a frame of nothing, where no frame at all is expected")
        yield from (b"" for _ in sizes)
        return
    zstd = _zstd()
    decompressor = _decompressor(zstd, prefix, key)
    given = memoryview(frame)
    try:
        for size in sizes:
            part, missing = [], size
            while missing:
                if decompressor.eof:
                    raise IntegrityError(f"{key}: a frame ends early")
                chunk = b""
                if decompressor.needs_input:
                    chunk, given = bytes(given[:_CHUNK_SIZE]), given[_CHUNK_SIZE:]
                    if not chunk:
                        raise IntegrityError(f"{key}: a frame is cut short")
                part.append(decompressor.decompress(chunk, missing))
                missing -= len(part[-1])
            yield part[0] if len(part) == 1 else b"".join(part)
        _expect_end(decompressor, bytes(given), key)
    except zstd.ZstdError as error:
        raise IntegrityError(f"{key}: a frame does not decompress: {error}") from error


def frame_size(frame: bytes, key: str) -> int:
    """Return the size that *frame* announces, without decompressing it; 0 for no frame."""
    if not frame:
        return 0
    zstd = _zstd()
    try:
        size = zstd.get_frame_info(frame).decompressed_size
    except zstd.ZstdError as error:
        raise IntegrityError(f"{key}: no zstd frame where one is expected: {error}") from error
    if size is None:
        raise IntegrityError(f"{key}: a frame does not announce its size")
    return int(size)


def _expect_end(decompressor: Any, rest: bytes, key: str) -> None:  # noqa: ANN401 - the type differs by Python version
    if not decompressor.eof:
        surplus = decompressor.decompress(rest, 1)
        if surplus or not decompressor.eof:
            raise IntegrityError(f"{key}: a frame is longer than announced")
        rest = b""
    if rest or decompressor.unused_data:
        raise IntegrityError(f"{key}: bytes follow a frame")


def _decompressor(zstd: "ModuleType", prefix: Iterable[bytes], key: str) -> Any:  # noqa: ANN401 - as above
    try:
        known = _joined(prefix)
    except ValueError as error:
        raise IntegrityError(f"{key}: {error}") from error
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    return zstd.ZstdDecompressor(zstd_dict=_dictionary(zstd, known), options=options)


def _joined(prefix: Iterable[bytes]) -> bytes:
    known = bytearray()
    for part in prefix:
        if len(known) + len(part) > PREFIX_SIZE_MAX:
            raise ValueError(f"a frame against a prefix of more than {PREFIX_SIZE_MAX} bytes")
        known += part
    return bytes(known)


def _dictionary(zstd: "ModuleType", prefix: bytes) -> Any:  # noqa: ANN401 - what the library calls a dictionary
    if len(prefix) < _DICT_SIZE_MIN:
        return None
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix


def _zstd() -> "ModuleType":
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - 25 ms that a command without contents need not wait for
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd
