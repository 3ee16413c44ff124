"""Log lines on stderr: text for people, JSON lines for machines; no secret in either (P12)."""

import logging
import sys
from typing import Any

import confstream
from confstream_cli import output

WARNING = logging.WARNING
FORMATS = ("text", "json")


def configure(level: int, form: str = "plain", *, streams: bool = False) -> None:
    """Send what the library logs from *level* on to stderr; *form* is ``text``, ``json`` or ``plain``.

    With *streams*, because several run, lines of text name theirs, as JSON always does.
    """
    reset()
    handler = _Stderr()
    handler.setFormatter({"text": _Text(streams=streams), "json": _Json(), "plain": _Plain()}[form])
    logger = logging.getLogger("confstream")
    logger.addHandler(handler)
    logger.setLevel(level)


def reset() -> None:
    """Undo ``configure``: a program that calls a command goes on with the logging it had."""
    logger = logging.getLogger("confstream")
    for handler in [*logger.handlers]:
        if isinstance(handler, _Stderr):
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def fail(text: str, code: int) -> bool:
    """Log *text*, with which the command ends, where stderr is for a program; return whether it is."""
    logger = logging.getLogger("confstream")
    if not any(isinstance(handler.formatter, _Json) for handler in logger.handlers):
        return False
    text = " ".join(text.split("\n"))
    logger.error("%s", text, extra=confstream.about("failed", error=text, exit_code=code))
    return True


def check_form(form: str) -> str:
    """Return *form*, or raise ``UsageError`` if there is none like it."""
    if form not in FORMATS:
        raise confstream.UsageError(f"--log-format {form!r}: expected text or json")
    return form


class _Stderr(logging.Handler):
    """Writes to what stderr is at the moment, one whole line at a time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            # Nobody reads what we say: no reason to stop protecting files.
            return


class _Text(logging.Formatter):
    def __init__(self, *, streams: bool) -> None:
        super().__init__()
        self._streams = streams

    def format(self, record: logging.LogRecord) -> str:
        name = confstream.stream_name() if self._streams else ""
        return f"{_time(record)} {record.levelname:<7} {f'[{output.clean(name)}] ' if name else ''}{_message(record)}"


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"confstream: {record.levelname.lower()}: {_message(record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        import json  # noqa: PLC0415 - only where a program reads it

        # A handler runs in the thread that logs: its stream is the line's.
        row = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None),
            "stream": output.clean(confstream.stream_name()) or None,
            "message": _message(record),
            "logger": record.name,
        }
        for name, value in getattr(record, "fields", {}).items():
            row.setdefault(name, _field(value))
        return json.dumps(row, ensure_ascii=False)


def _field(value: Any) -> Any:  # noqa: ANN401 - what JSON has
    if isinstance(value, bytes):
        return output.path(value)
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list | tuple):
        return [_field(one) for one in value]
    return value if value is None or isinstance(value, int) else _safe(str(value))


def _time(record: logging.LogRecord) -> str:
    return confstream.format_utc(int(record.created * 1e9) // 1_000_000 * 1_000_000)[:-7] + "Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        import traceback  # noqa: PLC0415 - only where there is one

        # The trace has lines of code and no values; the last line may quote some.
        text += ": " + "".join(traceback.format_exception_only(record.exc_info[1])).strip()
    return _safe(text)


def _safe(text: str) -> str:
    return output.clean(confstream.mask_line(text))
