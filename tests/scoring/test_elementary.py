"""The kernel's own elementary functions against decimal arithmetic of 50 digits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.scoring import elementary


def _ulps(got: float, exact: Decimal) -> float:
    return float(abs(Decimal(got) - exact) / Decimal(math.ulp(float(exact))))


def _worst(function: Callable[[float], float], exact: Callable[[Decimal], Decimal], xs: Iterator[float]) -> float:
    with localcontext() as context:
        context.prec = 50
        return max(_ulps(function(x), exact(Decimal(x))) for x in xs)


def _samples(low: float, high: float, count: int = 2500) -> Iterator[float]:
    rng = random.Random(2)
    yield from (low, high, low / 3, high / 3)
    # Where the reduction changes its integer the polynomial is at its worst.
    for _ in range(count // 5):
        edge = (2 * rng.randrange(math.ceil(low * 16), math.floor(high * 16) + 1) + 1) / 64
        for x in (edge, math.nextafter(edge, -math.inf)):
            if low <= x <= high:
                yield x
    yield from (rng.uniform(low, high) for _ in range(count))


def test_exp2_is_within_one_ulp() -> None:
    two = Decimal(2)
    for low, high in ((-1.0, 1.0), (-60.0, 1.0), (-1022.0, 1022.9)):
        assert _worst(elementary.exp2, lambda x: two**x, _samples(low, high)) < 0.8


def test_exp2_of_integers_is_exact() -> None:
    assert all(elementary.exp2(float(n)) == math.ldexp(1.0, n) for n in range(-1022, 1023))


def test_exp2_at_the_ends() -> None:
    assert elementary.exp2(-1022.5) == 0.0
    assert elementary.exp2(-math.inf) == 0.0
    assert elementary.exp2(1023.0) == math.inf


@given(st.floats(2.3e-308, 1e300))
@settings(max_examples=300, deadline=None)
def test_log_is_within_one_ulp_anywhere(x: float) -> None:
    with localcontext() as context:
        context.prec = 50
        assert _ulps(elementary.log(x), Decimal(x).ln()) < 1.0


@given(st.floats(-700, 700))
@settings(max_examples=300, deadline=None)
def test_exp_is_within_one_ulp_anywhere(x: float) -> None:
    with localcontext() as context:
        context.prec = 50
        assert _ulps(elementary.exp(x), Decimal(x).exp()) < 1.0


def test_exp_and_log() -> None:
    assert _worst(elementary.exp, Decimal.exp, _samples(-40.0, 40.0)) < 0.8
    assert _worst(elementary.exp, Decimal.exp, _samples(-699.0, 699.0, 500)) < 0.8
    assert _worst(elementary.log, Decimal.ln, _samples(1e-3, 1.0)) < 1.0
    assert _worst(elementary.log, Decimal.ln, (10.0**e for e in range(-300, 300))) < 1.0
    assert elementary.log(1.0) == 0.0
    assert elementary.exp(0.0) == 1.0
    assert (elementary.exp(-701.0), elementary.exp(-math.inf), elementary.exp(701.0)) == (0.0, 0.0, math.inf)


@pytest.mark.parametrize(("low", "high"), [(-40.0, 0.0), (-1.0, 0.0), (-1e-3, 0.0), (-1e-9, -1e-12)])
def test_expm1_keeps_small_values(low: float, high: float) -> None:
    rng = random.Random(3)
    xs = (rng.uniform(low, high) for _ in range(1500))
    assert _worst(elementary.expm1, lambda x: x.exp() - 1, xs) < 2.5
    assert elementary.expm1(0.0) == 0.0
    assert elementary.expm1(-1e9) == -1.0
