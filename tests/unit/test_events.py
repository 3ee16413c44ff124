import re
import threading
from pathlib import Path
from typing import get_args

import pytest

from confstream.events import Event, about, carrying, in_stream, stream_name

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_documented_events_are_those_that_there_are() -> None:
    text = (ROOT / "confstream" / "LOGS.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| event \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)

    documented = [row.split("|")[1].strip(" `") for row in table.splitlines()]

    assert sorted(documented) == sorted(get_args(Event))


@pytest.mark.parametrize("name", get_args(Event))
def test_an_event_is_told_somewhere(name: str) -> None:
    told = re.compile(rf"""\babout\(\s*(?:"\w+" if \w+ else )?"{name}"|\babout\("{name}" if""")

    modules = [*(ROOT / "confstream").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]

    assert any(told.search(path.read_text(encoding="utf-8")) for path in modules)


def test_what_is_none_is_left_out() -> None:
    assert about("watching", files=0, root=None) == {"event": "watching", "fields": {"files": 0}}


def test_a_thread_works_for_the_stream_that_made_it_and_for_no_other() -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(stream_name())

    with in_stream("frigate"):
        carried = threading.Thread(target=carrying(work))
        with in_stream("traefik"):
            carried.start()
            carried.join()
            other = threading.Thread(target=carrying(work))
    other.start()
    other.join()

    assert seen == ["frigate", "traefik"]
    assert stream_name() == ""
