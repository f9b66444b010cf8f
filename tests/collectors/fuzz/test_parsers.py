"""Any document, however spoiled, is read or refused by name: every parser over mutated documents (hypothesis).

SIGNALDELTA_FUZZ_EXAMPLES says how many per kind; the default is what a test run can afford. They are the same in every
run.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.paths import DATA, needs_data

from .making import Seed
from .mutations import ANY, HEADER, JSON, LINES, MARKUP, Mutation
from .readers import READERS, read
from .seeds import recorded_seeds, simulated_seeds

EXAMPLES = int(os.environ.get("SIGNALDELTA_FUZZ_EXAMPLES", "40"))
_WITH_HEADER = frozenset({"ownership_text", "form_144_text", "form_8k", "roles"})
_MARKUP = frozenset(
    {"ownership", "form_144", "schedule", "feed", "litigation_feed", "litigation_list", "litigation_page"}
)


def mutations_of(kind: str) -> tuple[Mutation, ...]:
    """Return the ways in which documents of a kind are spoiled."""
    if kind in _WITH_HEADER:
        return HEADER
    if kind in _MARKUP:
        return MARKUP
    return LINES if kind == "index" else JSON


# Which document, and what is done to it: (way, where, with what), each step on the outcome of the one before.
_STEPS = st.lists(st.tuples(st.integers(0, 63), st.integers(0, 2**16), st.integers(0, 2**16)), min_size=1, max_size=3)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seed]]:
    return by_kind(simulated_seeds(tmp_path_factory.mktemp("fuzz") / "archive"))


@pytest.fixture(scope="session")
def recorded() -> dict[str, list[Seed]]:
    return by_kind(recorded_seeds(DATA))


def by_kind(seeds: list[Seed]) -> dict[str, list[Seed]]:
    found: dict[str, list[Seed]] = {}
    for seed in seeds:
        found.setdefault(seed.kind, []).append(seed)
    return found


def spoil(seeds: list[Seed], examples: int) -> None:
    """Take `examples` spoiled documents through their reader. What fails is what `read` finds wrong."""
    ways = mutations_of(seeds[0].kind)

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(which=st.integers(0, 2**16), steps=_STEPS)
    def check(which: int, steps: list[tuple[int, int, int]]) -> None:
        seed = seeds[which % len(seeds)]
        body = seed.body
        for way, where, what in steps:
            body = ways[way % len(ways)](body, where, what)
        read(seed.kind, body, seed.record)

    check()


def test_every_kind_has_seeds_that_are_read(simulated: dict[str, list[Seed]]) -> None:
    """The documents to spoil are good ones: without records nothing could be told of what follows."""
    assert set(simulated) == set(READERS)
    given = Counter[str]()
    for seeds in simulated.values():
        for seed in seeds:
            records, refused = read(seed.kind, seed.body, seed.record)
            assert not refused, (seed.kind, seed.record, refused[0])
            given[seed.kind] += len(records)
    assert all(given[kind] for kind in READERS), given


@pytest.mark.parametrize("kind", sorted(READERS))
def test_spoiled_documents(kind: str, simulated: dict[str, list[Seed]]) -> None:
    spoil(simulated[kind], EXAMPLES)


@needs_data
@pytest.mark.archive
@pytest.mark.parametrize(
    "kind",
    ["companyfacts", "details", "dividends", "feed", "form_8k", "history", "index", "litigation_feed", "ownership",
     "ownership_text", "roles", "splits", "submissions", "submissions_page", "tickers"],
)  # fmt: skip
def test_spoiled_recorded_documents(kind: str, recorded: dict[str, list[Seed]]) -> None:
    spoil(recorded[kind], EXAMPLES // 2)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@given(body=st.binary(max_size=400), kind=st.sampled_from(sorted(READERS)))
def test_any_bytes_at_all(body: bytes, kind: str) -> None:
    read(kind, body, "0000000000-00-000000")


def test_mutations_change_documents(simulated: dict[str, list[Seed]]) -> None:
    """A mutation that never finds its place would test nothing."""
    for way in {*HEADER, *MARKUP, *LINES, *JSON, *ANY}:
        kinds = [kind for kind in simulated if way in mutations_of(kind)]
        changed = {
            kind
            for kind in kinds
            for a in range(6)
            if way(simulated[kind][0].body, a, a + 3) != simulated[kind][0].body
        }
        assert len(changed) >= 0.9 * len(kinds) > 0, (way.__name__, set(kinds) - changed)
