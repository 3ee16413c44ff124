"""``confstream health``: asked of the running process, for exec probes, compose files and people."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_COLOURS = {"ok": "green", "info": "dim", "degraded": "yellow", "failing": "red"}

_Listen = Annotated[str, options.option("--listen", "Where the process listens [127.0.0.1:9099].", "HOST:PORT")]
_Timeout = Annotated[str, options.option("--timeout", "How long it may take to answer.", "TIME")]


def health(*, listen: _Listen = "", json: options.Json = False, timeout: _Timeout = "5s") -> None:
    """Ask the running process how it is.

    Ends with 0 if everything is protected, 15 if something is not, 16 if nobody answers.
    """
    document = confstream.ask_health(listen, timeout_seconds=options.seconds("--timeout", timeout))
    page = output.Page()
    if json:
        page.json(document)
    else:
        for stream in document["streams"]:
            _print(page, stream)
    if document["status"] == "failing":
        failing = [output.clean(one["stream"]) for one in document["streams"] if one["status"] == "failing"]
        raise confstream.StaleError(f"failing: {', '.join(failing)}")


def _print(page: output.Page, stream: dict[str, Any]) -> None:
    state = page.paint(stream["status"], _COLOURS.get(stream["status"], "dim"))
    facts = f", revision {stream['revision']}" if "revision" in stream else ""
    if stream.get("pending"):
        facts += f", {output.plural(stream['pending'], 'revision')} pending"
    page.line(f"{output.clean(stream['stream'])}: {state}{facts}")
    for reason in stream["reasons"]:
        since = f" since {reason['since'][:19]}Z" if reason["since"] else ""
        name = page.paint(reason["reason"], _COLOURS.get(reason["level"], "dim"))
        page.line(f"  {name}{since}: {output.clean(reason['what'])}; {output.clean(reason['do'])}")
