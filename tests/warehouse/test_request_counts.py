"""Counting several requests in one statement comes to what counting them one by one comes to."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores.request_counts import Allowance, Counted, count, count_all, standing

pytestmark = pytest.mark.postgres
# (which subjects a request counts for, which bars it)
REQUESTS = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True), st.none() | st.just("d")),
    min_size=1, max_size=8,
)  # fmt: skip

LIMITS = st.fixed_dictionaries({name: st.integers(0, 6) for name in "abc"})


def _asked(
    requests: list[tuple[list[str], str | None]], limits: dict[str, int], name: str
) -> list[tuple[list[Allowance], Allowance | None]]:
    def one(subject: str) -> Allowance:
        return Allowance("test", f"{name}-{subject}", limits[subject], 3600)

    return [([one(subject) for subject in subjects], barred and one(barred)) for subjects, barred in requests]


def _shown(found: list[Counted]) -> list[tuple[str, int, bool]]:
    return sorted((one.allowance.subject[-1], one.used, one.within) for one in found)


@settings(max_examples=40, deadline=None)
@given(
    requests=REQUESTS, barred=st.booleans(), limits=st.fixed_dictionaries({name: st.integers(0, 6) for name in "abc"})
)
def test_together_is_as_one_after_the_other(
    counting: Warehouse, requests: list[tuple[list[str], str | None]], barred: bool, limits: dict[str, int]
) -> None:
    limits = limits | {"d": 0 if barred else 1}
    first, second = new_ulid(), new_ulid()
    one_by_one = [_shown(count(counting, *asked)) for asked in _asked(requests, limits, first)]
    together = [_shown(found) for found in count_all(counting, _asked(requests, limits, second))]

    def passed(outcomes: list[list[tuple[str, int, bool]]]) -> int:
        return sum(all(within for _, _, within in outcome) for outcome in outcomes)

    # Where all pass the outcome is the same to the last number; else some order of them, of which none is better.
    if passed(one_by_one) == len(requests):
        assert together == one_by_one
    for name in limits:
        counted = standing(counting, Allowance("test", f"{second}-{name}", limits[name], 3600)).used
        of_name = [
            outcome
            for outcome, (subjects, _) in zip(together, requests, strict=True)
            if name in subjects and all(within for _, _, within in outcome)
        ]
        assert counted == len(of_name) <= limits[name], "counted is who passed, and nobody else"
    for outcome, (subjects, _) in zip(together, requests, strict=True):
        assert len(outcome) >= len(subjects)


@pytest.fixture(scope="module")
def counting(postgres_url: str) -> Warehouse:
    return Warehouse(postgres_url)


def test_exactly_as_many_pass_whoever_counts_together(counting: Warehouse) -> None:
    """Rounds of many sizes at once, over a subject they share and subjects of their own, begun all together."""
    shared, own = Allowance("test", new_ulid(), 137, 3600), [Allowance("test", new_ulid(), 11, 3600) for _ in range(20)]

    def round_(number: int) -> list[list[Counted]]:
        asked = [([shared, own[(number + place) % len(own)]], None) for place in range(1 + number % 7)]
        return count_all(counting, asked)

    with ThreadPoolExecutor(4) as pool:
        found = [one for outcome in pool.map(round_, range(80)) for one in outcome]
    passed = [one for one in found if all(each.within for each in one)]
    assert len(passed) == 137 == standing(counting, shared).used
    places = Counter(each.used for one in passed for each in one if each.allowance == shared)
    assert places == Counter(range(1, 138)), "each has a place of its own"
    by_own = Counter(each.allowance.subject for one in passed for each in one if each.allowance != shared)
    assert all(standing(counting, one).used == by_own[one.subject] <= 11 for one in own)
