"""Many drafts as one, where an outage lasts longer than the space does (P14). Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence

from confstream.journal.book import changed
from confstream.journal.draft import Draft, exact_diff
from confstream.revision import WRITE_ID_SIZE, Authorship
from confstream.tree import Entry

_LABEL = "coalesced"


def coalesced(
    drafts: Sequence[Draft],
    before: Mapping[bytes, Entry],
    locked: Collection[bytes],
    new_id: Callable[[int], bytes],
) -> list[Draft]:
    """Return *drafts*, relative to the tree *before*, with every run of neighbours that are not *locked* made one.

    The tree after the result is exactly the tree after *drafts*.
    """
    result: list[Draft] = []
    run: list[Draft] = []
    tree = dict(before)
    for draft in drafts:
        if draft.write_id not in locked:
            run.append(draft)
            continue
        tree = _end_run(tree, run, result, new_id)
        tree = changed(tree, [draft])
        result.append(draft)
        run = []
    _end_run(tree, run, result, new_id)
    return result


def _end_run(
    tree: dict[bytes, Entry], run: Sequence[Draft], result: list[Draft], new_id: Callable[[int], bytes]
) -> dict[bytes, Entry]:
    after = changed(tree, run)
    result.extend(run if len(run) < 2 else [_merged(tree, after, run, new_id(WRITE_ID_SIZE))])  # noqa: PLR2004
    return after


def _merged(before: dict[bytes, Entry], after: dict[bytes, Entry], run: Sequence[Draft], write_id: bytes) -> Draft:
    authorships = [draft.authorship for draft in run]
    labels = dict(authorships[-1].labels.items())
    for made in authorships:
        labels = {name: text for name, text in labels.items() if made.labels.get(name) == text}
    labels[_LABEL] = str(sum(int(made.labels.get(_LABEL, "1")) for made in authorships))
    authorship = Authorship(
        _common([made.source for made in authorships], "replicate"),
        _common([made.author for made in authorships], ""),
        _common([made.message for made in authorships], ""),
        labels,
    )
    newest = run[-1]
    return Draft(write_id, newest.time_ns, authorship, exact_diff(before, after), newest.verdict)


def _common(texts: list[str], otherwise: str) -> str:
    return texts[0] if len(set(texts)) == 1 else otherwise
