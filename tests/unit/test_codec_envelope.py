"""The envelope: what an object says of itself, and that damage anywhere is found (P9)."""

import struct

import pytest

from confstream.codec.envelope import (
    CONTENTS_SIZE_MAX,
    FORMAT_VERSION,
    HEADER_SIZE,
    MAGIC,
    METADATA_SIZE_MAX,
    ObjectKind,
    read_header,
    read_metadata,
    seal,
    unseal,
)
from confstream.errors import IntegrityError
from tests.strategies import decoders, samples

SAMPLES = samples()
DECODERS = decoders()
SEALED = [kind for kind in SAMPLES if kind != "descriptor"]


def test_what_was_sealed_is_unsealed() -> None:
    body = seal(ObjectKind.BLOB, b"metadata", b"contents")

    assert unseal(body, ObjectKind.BLOB, "k") == (b"metadata", b"contents")
    assert len(body) == HEADER_SIZE + len(b"metadatacontents") + 32


def test_the_header_tells_how_much_to_read() -> None:
    body = seal(ObjectKind.PACK, b"metadata", b"contents")

    header = read_header(body[:HEADER_SIZE], ObjectKind.PACK, "k")

    assert (header.metadata_size, header.contents_size, header.object_size) == (8, 8, len(body))
    assert read_metadata(body[: header.contents_offset], header, "k") == b"metadata"


def test_every_object_starts_with_magic_and_version() -> None:
    for kind in SEALED:
        assert SAMPLES[kind][:9] == MAGIC + bytes([FORMAT_VERSION])


@pytest.mark.parametrize("kind", SEALED)
def test_another_version_is_refused_by_name(kind: str) -> None:
    body = bytearray(SAMPLES[kind])
    body[8] = 2

    with pytest.raises(IntegrityError, match=r"k: format version 2, this confstream reads version 1"):
        DECODERS[kind](bytes(body))


@pytest.mark.parametrize("kind", SEALED)
def test_another_kind_is_refused_by_name(kind: str) -> None:
    for number in {*range(256)} - {SAMPLES[kind][9]}:
        body = bytearray(SAMPLES[kind])
        body[9] = number

        with pytest.raises(IntegrityError, match=f"k: an object of kind {number}, expected {kind}"):
            DECODERS[kind](bytes(body))


@pytest.mark.parametrize("bit", range(16))
def test_a_flag_is_refused_by_name(bit: int) -> None:
    body = bytearray(SAMPLES["revision"])
    body[10:12] = struct.pack("<H", 1 << bit)

    with pytest.raises(IntegrityError, match=f"k: flags {1 << bit:#06x}"):
        DECODERS["revision"](bytes(body))


def test_an_object_in_the_place_of_another_kind_is_refused() -> None:
    with pytest.raises(IntegrityError, match="an object of kind 5, expected snapshot"):
        DECODERS["snapshot"](SAMPLES["tag"])


def test_something_else_altogether_is_refused() -> None:
    with pytest.raises(IntegrityError, match="not an object of confstream"):
        DECODERS["pack"](b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>" * 2)


@pytest.mark.parametrize(
    ("metadata_size", "contents_size"), [(METADATA_SIZE_MAX + 1, 0), (0, CONTENTS_SIZE_MAX + 1), (2**32 - 1, 2**64 - 1)]
)
def test_announced_sizes_are_not_believed(metadata_size: int, contents_size: int) -> None:
    head = struct.pack("<8sBBHIQ", MAGIC, 1, ObjectKind.PACK, 0, metadata_size, contents_size) + bytes(32)

    with pytest.raises(IntegrityError, match="which is too much"):
        read_header(head, ObjectKind.PACK, "k")


def test_sections_that_no_reader_would_take_are_not_sealed() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return CONTENTS_SIZE_MAX + 1

    with pytest.raises(ValueError, match="too large"):
        seal(ObjectKind.PACK, Huge())
    with pytest.raises(ValueError, match="too large"):
        seal(ObjectKind.PACK, b"", Huge())


@pytest.mark.parametrize("kind", SAMPLES)
def test_p9_every_single_flipped_bit_is_found(kind: str) -> None:
    body, decode = SAMPLES[kind], DECODERS[kind]
    decode(body)

    for position in range(len(body) * 8):
        damaged = bytearray(body)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(IntegrityError, match="k: "):
            decode(bytes(damaged))


@pytest.mark.parametrize("kind", ["pack index", "snapshot index"])
def test_p9_every_single_flipped_bit_that_an_index_is_read_from_is_found(kind: str) -> None:
    body, decode = SAMPLES[kind.removesuffix(" index")], DECODERS[kind]
    head = body[: HEADER_SIZE + struct.unpack_from("<I", body, 12)[0]]
    decode(head)

    for position in range(len(head) * 8):
        # The size of the contents section is protected too: the checksum covers the header.
        damaged = bytearray(head)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(IntegrityError, match="k: "):
            decode(bytes(damaged))


@pytest.mark.parametrize("kind", SAMPLES)
def test_p9_every_truncation_is_found(kind: str) -> None:
    # The descriptor ends with a newline that a person's editor may drop.
    end = len(SAMPLES[kind]) - (kind == "descriptor")

    for size in range(end):
        with pytest.raises(IntegrityError, match="k: "):
            DECODERS[kind](SAMPLES[kind][:size])


@pytest.mark.parametrize("kind", SEALED)
def test_p9_appended_bytes_are_found(kind: str) -> None:
    with pytest.raises(IntegrityError, match="cut or appended to"):
        DECODERS[kind](SAMPLES[kind] + b"\0")
