"""What cannot be read is said when it begins, again while it lasts, and when it is over."""

import pytest

from confstream.complaint import REPEAT_SECONDS
from confstream.journal.unprotected import Unprotected
from confstream.testing import ManualClock


def test_p7_a_file_that_stays_unreadable_is_said_again_every_five_minutes_and_not_at_every_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "confstream")
    clock = ManualClock()
    unprotected = Unprotected(clock)
    for _ in range(60):
        unprotected.note({b"acme.json": "Permission denied"}, (), lambda _path: True)
        clock.advance(60)
    unprotected.note({}, (), lambda _path: True)

    assert caplog.text.count("acme.json (Permission denied)") == 3600 / REPEAT_SECONDS
    assert caplog.text.count("recovered: acme.json") == 1
