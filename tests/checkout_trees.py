"""Small trees to check out, and the shortest way to do it."""

import os
from pathlib import Path

from confstream import checkout, scan
from confstream.checkout import Action, Finished, plan_checkout
from confstream.checkout.marker import Marker
from confstream.testing import ManualClock
from confstream.tree import Entry, Tree, content_hash

CONTENTS = {content_hash(content): content for content in (b"", b"old", b"new", b"newer\n", b"secret")}


def file(path: str, content: bytes = b"new", mode: int = 0o644, **owner: int) -> Entry:
    return Entry.file(os.fsencode(path), content, mode, **({"uid": os.getuid(), "gid": os.getgid()} | owner))


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry.directory(os.fsencode(path), mode, uid=os.getuid(), gid=os.getgid())


def link(path: str, target: bytes) -> Entry:
    return Entry.symlink(os.fsencode(path), target, uid=os.getuid(), gid=os.getgid())


def verbs(plan: list[Action]) -> list[tuple[str, str]]:
    return [(str(action.verb), os.fsdecode(action.path)) for action in plan]


def current(root: Path) -> Tree:
    return scan.load(root).tree


def stage(root: Path, target: Tree, **options: object) -> Marker:
    plan = plan_checkout(current(root), target, **options)  # type: ignore[arg-type]
    return checkout.stage(root, plan, CONTENTS.__getitem__, clock=ManualClock(), note={"revision": 7})


def restore(root: Path, target: Tree, **options: object) -> Finished:
    stage(root, target, **options)
    finished = checkout.finish(root)
    assert finished is not None
    return finished
