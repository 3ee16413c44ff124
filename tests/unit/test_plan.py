"""Routes through the log, compared with brute force over small listings."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from confstream.layout import Listing
from confstream.plan import Route, Unit, nearest, reachable, route, units, unpacked
from tests.strategies import law

LAST = 16
numbers = st.integers(1, LAST)
ranges = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
listings = st.builds(
    Listing,
    log=st.sets(numbers, max_size=LAST).map(lambda found: tuple(sorted(found))),
    packs=st.sets(ranges, max_size=4).map(lambda found: tuple(sorted(found))),
    snapshots=st.sets(numbers, max_size=4).map(lambda found: tuple(sorted(found))),
)


def _held(listing: Listing) -> set[int]:
    packed = (number for first, last in listing.packs for number in range(first, last + 1))
    return {*listing.log, *packed}


def _restorable(listing: Listing, target: int) -> bool:
    held = _held(listing)
    starts = [0, *(number for number in listing.snapshots if number <= target)]
    return target >= 1 and any(held >= set(range(start + 1, target + 1)) for start in starts)


@law
@given(listings, numbers, numbers)
def test_units_are_none_exactly_if_there_is_a_gap(listing: Listing, first: int, last: int) -> None:
    found = units(listing, first, last)

    assert (found is None) == (not set(range(first, last + 1)) <= _held(listing))


@law
@given(listings, numbers, numbers)
def test_units_hold_every_revision_and_exist(listing: Listing, first: int, last: int) -> None:
    found = units(listing, first, last)

    if found is not None:
        held = {number for unit in found for number in range(unit.first, unit.last + 1)}
        assert set(range(first, last + 1)) <= held
        assert all((unit.first, unit.last) in listing.packs for unit in found if unit.packed)
        assert all(unit.first == unit.last and unit.first in listing.log for unit in found if not unit.packed)


@law
@given(listings, numbers, numbers)
def test_units_follow_one_another_without_a_gap_and_none_is_superfluous(
    listing: Listing, first: int, last: int
) -> None:
    wanted = first
    for unit in units(listing, first, last) or ():
        assert unit.first <= wanted <= unit.last
        wanted = unit.last + 1
    found = units(listing, first, last) or ()
    assert all(one.last < other.last for one, other in pairwise(found))
    assert all(unit.first <= last for unit in found)


@law
@given(listings, numbers, numbers)
def test_p9_a_log_object_that_a_pack_covers_is_never_read(listing: Listing, first: int, last: int) -> None:
    for unit in units(listing, first, last) or ():
        if not unit.packed:
            assert not any(start <= unit.first <= end for start, end in listing.packs)


@law
@given(listings, st.integers(0, LAST), st.sets(numbers, max_size=2))
def test_a_route_starts_at_the_newest_snapshot_that_leads_there(
    listing: Listing, target: int, damaged: set[int]
) -> None:
    found = route(listing, target, without=tuple(damaged))

    starts = [0, *(number for number in listing.snapshots if number <= target and number not in damaged)]
    usable = [start for start in starts if set(range(start + 1, target + 1)) <= _held(listing)]
    assert (None if found is None else found.snapshot) == max(usable, default=None)
    if found is not None:
        assert found.units == units(listing, found.snapshot + 1, target)


@law
@given(listings, numbers)
def test_p8_reachable_is_exactly_what_a_route_leads_to(listing: Listing, target: int) -> None:
    found = reachable(listing)

    assert any(first <= target <= last for first, last in found) == _restorable(listing, target)
    assert _restorable(listing, target) == (route(listing, target) is not None)


@law
@given(listings)
def test_reachable_ranges_ascend_without_overlap(listing: Listing) -> None:
    found = reachable(listing)

    assert all(1 <= first <= last for first, last in found)
    assert all(one[1] < other[0] for one, other in pairwise(found))


@law
@given(listings, st.integers(0, LAST + 3))
def test_p8_the_nearest_are_the_last_before_and_the_first_after(listing: Listing, target: int) -> None:
    restorable = [number for number in range(1, LAST + 1) if _restorable(listing, number)]
    before = [number for number in restorable if number <= target]
    after = [number for number in restorable if number >= target]

    assert nearest(reachable(listing), target) == sorted({*before[-1:], *after[:1]})


@law
@given(listings)
def test_unpacked_is_the_run_of_log_objects_after_the_last_pack(listing: Listing) -> None:
    first, last = unpacked(listing)

    packed = max((end for _, end in listing.packs), default=0)
    assert first == packed + 1
    assert set(range(first, last + 1)) <= set(listing.log)
    assert last + 1 not in listing.log


def test_a_unit_knows_its_key() -> None:
    assert Unit(1, 9, packed=True).key == "pack/00000000000000000001-00000000000000000009"
    assert Unit(3, 3, packed=False).key == "log/00000000000000000003"


def test_nothing_to_read_is_a_route_too() -> None:
    assert route(Listing(), 0) == Route(0, ())
    assert route(Listing(snapshots=(5,)), 5) == Route(5, ())
    assert route(Listing(snapshots=(5,)), 6) is None


def test_overlapping_packs_are_read_in_one_chain() -> None:
    listing = Listing(packs=((1, 5), (3, 8), (4, 6)), log=(9, 10))

    assert units(listing, 1, 10) == (
        Unit(1, 5, packed=True),
        Unit(3, 8, packed=True),
        Unit(9, 9, packed=False),
        Unit(10, 10, packed=False),
    )


def test_a_key_far_away_costs_nothing() -> None:
    listing = Listing(packs=((1, 10**19),), log=(10**19 + 2,))

    assert reachable(listing) == [(1, 10**19)]
    assert route(listing, 10**19 + 2) is None
