"""What only the log knows is kept while nobody may read it, and nothing else is."""

from confstream.journal.kept import kept, with_kept
from confstream.tree import Entry, Kind, Tree


def _tree(*paths: str) -> Tree:
    """Return a tree of empty files, and of directories where a path ends in a slash."""
    return Tree(
        Entry(path.rstrip("/").encode(), Kind.DIRECTORY if path.endswith("/") else Kind.FILE, 0o644) for path in paths
    )


LOG = _tree("a.yml", "auth/", "auth/more/", "auth/more/tokens.yml", "auth/users.yml", "b.yml")


def test_p6_what_is_at_or_below_a_path_that_cannot_be_read_is_kept() -> None:
    found = kept(LOG, _tree("auth/", "b.yml"), {b"auth", b"a.yml", b"unknown.yml"})

    assert [*found] == [b"a.yml", b"auth/more", b"auth/more/tokens.yml", b"auth/users.yml"]


def test_what_can_be_read_or_is_gone_is_not_kept() -> None:
    assert kept(LOG, _tree("b.yml"), {b"b.yml"}) == {}
    assert kept(LOG, _tree("b.yml"), ()) == {}


def test_what_has_no_place_any_more_is_not_kept() -> None:
    # A file is now where the directory was.
    found = kept(LOG, _tree("auth"), {b"auth", b"auth/users.yml"})

    assert found == {}
    assert with_kept(_tree("auth"), kept(LOG, _tree("auth/"), {b"auth"})).keys() == {b"auth"}


def test_what_the_tree_has_itself_stays_what_it_is() -> None:
    changed = Tree([Entry(b"a.yml", Kind.FILE, 0o600)])

    assert with_kept(changed, kept(LOG, _tree("auth/"), {b"a.yml"})) == changed
