import pytest

from confstream.log.spool import Spool


def test_p14_contents_beyond_the_bound_lie_in_a_file_and_come_back_the_same() -> None:
    spool = Spool(memory_size_max=10)
    contents = {bytes([number]) * 32: bytes([number]) * number for number in range(9)}

    for digest, content in contents.items():
        spool.add(digest, content)
        spool.add(digest, content)

    assert len(spool) == len(contents)
    assert {digest: spool[digest] for digest in contents} == contents
    assert spool._memory_size <= 10
    spool.close()


def test_a_spool_does_not_have_what_was_not_added_or_was_let_go() -> None:
    spool = Spool()
    spool.add(b"a", b"1")
    assert b"b" not in spool
    with pytest.raises(KeyError):
        _ = spool[b"b"]

    spool.close()

    assert b"a" not in spool


def test_p14_what_is_taken_out_makes_room_in_memory() -> None:
    spool = Spool(memory_size_max=10)
    spool.add(b"a", b"1" * 10)
    spool.add(b"b", b"2" * 10)

    assert spool.pop(b"a") == b"1" * 10
    assert b"a" not in spool
    assert spool.pop(b"b") == b"2" * 10

    spool.add(b"c", b"3" * 10)
    assert spool._memory_size == 10
    with pytest.raises(KeyError):
        spool.pop(b"a")
    spool.close()
