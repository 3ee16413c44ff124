"""Log lines on stderr: text for people, JSON lines for machines; no secret in either (P12)."""

import json
import logging
import sys
import traceback

import confstream
from confstream_cli import output

WARNING = logging.WARNING
FORMATS = ("text", "json")


def configure(level: int, form: str = "plain") -> None:
    """Send what the library logs from *level* on to stderr; *form* is ``text``, ``json`` or ``plain``."""
    reset()
    handler = _Stderr()
    handler.setFormatter({"text": _Text, "json": _Json, "plain": _Plain}[form]())
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
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname:<7} {_message(record)}"


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"confstream: {record.levelname.lower()}: {_message(record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        row = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        return json.dumps(row, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return confstream.format_utc(int(record.created * 1e9) // 1_000_000 * 1_000_000)[:-7] + "Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        # The trace has lines of code and no values; the last line may quote some.
        text += ": " + "".join(traceback.format_exception_only(record.exc_info[1])).strip()
    return output.clean(confstream.mask_line(text))
