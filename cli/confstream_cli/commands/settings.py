"""``confstream config`` and ``confstream profile``: what a file says, and what is known of applications."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import confstream
from confstream_cli import options, output

_FILE = "confstream.yml"


def config(
    arguments: Annotated[list[str] | None, options.arguments("check | show | schema")] = None,
    *,
    config: options.Config = None,
    stream: options.Stream = None,
    json: options.Json = False,
) -> None:
    """Check a configuration file, or show what it means.

    check reads it as strictly as replicate does, and tries what needs no replica: profiles, patterns, validators. show
    prints the settings in force, variables put in, secrets masked. schema prints the file's JSON Schema, for editors.
    The file is that of --config, else confstream.yml here.
    """
    action, _ = _action(arguments, {"check": "", "show": "", "schema": ""})
    page = output.Page()
    if action == "schema":
        page.json(confstream.settings_schema())
        return
    settings = confstream.load_settings(config or _FILE, os.environ)
    if stream is not None:
        settings = settings.only(stream)
    if action == "check":
        _print_check(page, settings.source, [_checked(each) for each in settings.streams.values()], json=json)
    elif json:
        page.json(settings.as_json())
    else:
        page.write(settings.show())


def profile(
    arguments: Annotated[list[str] | None, options.arguments("list | show NAME | detect TREE")] = None,
    *,
    json: options.Json = False,
) -> None:
    """Print the profiles that there are, or which one fits.

    list names them, show prints what one tracks, guards, checks and masks, detect says which one fits a directory.
    """
    action, what = _action(arguments, {"list": "", "show": "NAME", "detect": "TREE"})
    page = output.Page()
    if action == "list":
        known = [confstream.load_profile(name) for name in confstream.profile_names()]
        if json:
            page.json({"profiles": [{"name": one.name, "description": one.description} for one in known]})
        else:
            page.facts((one.name, one.description) for one in known)
        return
    if action == "show":
        document = confstream.load_profile(what).as_json()
        if json:
            page.json(document)
        else:
            page.facts((key.replace("_", " "), _text(value)) for key, value in document.items())
        return
    if not Path(what).is_dir():
        raise confstream.UsageError(f"{what} is not a directory")
    found = confstream.track(what, writes=True)
    if json:
        page.json({"tree": what, "profile": found.profile.name, "why": found.why, "doubt": found.doubt})
        return
    page.line(page.paint(found.profile.name, "bold") + f": {output.clean(found.why)}")
    if found.doubt:
        page.line(page.paint(f"but {output.clean(found.doubt)}", "yellow"))


def _checked(stream: confstream.Stream) -> dict[str, Any]:
    """Return what can be said of *stream* without asking its replica."""
    state_dir = None if stream.state_dir is None else Path(stream.state_dir)
    tracking = confstream.track(stream.tree, options.tracked_by(stream), state_dir, writes=True)
    tests = tracking.validators().self_test()
    return {
        "stream": stream.name,
        "tree": stream.tree,
        "is_directory": Path(stream.tree).is_dir(),
        "replica": confstream.mask_url(stream.replica),
        "profile": tracking.profile.name,
        "why": tracking.why,
        "doubt": tracking.doubt,
        "guards": [list(names) for names in tracking.guards],
        "broken_validators": {name: test.why for name, test in tests.items() if not test.ok},
    }


def _print_check(page: output.Page, source: str, rows: list[dict[str, Any]], *, json: bool) -> None:
    broken = [f"{row['stream']}: {name}: {why}" for row in rows for name, why in row["broken_validators"].items()]
    if json:
        page.json({"file": source, "ok": not broken, "streams": rows})
    else:
        for row in rows:
            page.line(page.paint(f"{row['stream']}:", "bold") + f" {output.clean(row['tree'])} to {row['replica']}")
            page.line(f"  profile {row['profile']}: {output.clean(row['why'])}")
            doubts = [f"but {row['doubt']}"] if row["doubt"] else []
            doubts += [] if row["is_directory"] else [f"{row['tree']} is no directory yet"]
            doubts += [f"the validator {name} is broken: {why}" for name, why in row["broken_validators"].items()]
            for doubt in doubts:
                page.line(page.paint(f"  {output.clean(doubt)}", "yellow"))
    if broken:
        raise confstream.UsageError(f"{source}: {output.plural(len(broken), 'validator')} broken: {'; '.join(broken)}")
    output.note(f"{source} can be meant: {output.plural(len(rows), 'stream')}")


def _action(arguments: list[str] | None, known: dict[str, str]) -> tuple[str, str]:
    """Return which of the *known* actions is meant, and its argument, if *known* has a name for one."""
    expected = ", ".join(f"{action} {name}".rstrip() for action, name in known.items())
    if not arguments:
        raise confstream.UsageError(f"what is to be done? Expected one of {expected}")
    action, *rest = arguments
    if action not in known:
        near = get_close_matches(action, known, 1, 0)[0]
        raise confstream.UsageError(f"there is no {action!r}; did you mean {near!r}? Expected one of {expected}")
    if known[action] and not rest:
        raise confstream.UsageError(f"{known[action]} is missing; expected {action} {known[action]}")
    if len(rest) > bool(known[action]):
        raise confstream.UsageError(f"{rest[-1]!r} is one argument too many; expected one of {expected}")
    return action, rest[0] if rest else ""


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON has
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(" or ".join(each) if isinstance(each, list) else str(each) for each in value)
    return str(value)
