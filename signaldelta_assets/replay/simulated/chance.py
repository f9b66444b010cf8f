"""Draws that are the same on every machine: from `random.random` and + - * / alone.

`math.exp` and friends differ in the last bit between C libraries, and one bit decides a rounded price.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def exponential(x: float) -> float:
    """Return e ** x for abs(x) < 8 to about 1e-12 relative, from IEEE operations alone."""
    y = x / 1024
    result = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5))))
    for _ in range(10):
        result *= result
    return result


class Chance:
    """A stream of draws named by seed and scope: what one scope draws never moves another's."""

    def __init__(self, seed: int, *scope: object) -> None:
        self._draw = random.Random("/".join(map(str, (seed, *scope)))).random

    def uniform(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * self._draw()

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int((high - low + 1) * self._draw())

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self._draw() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.integer(0, len(choices) - 1)]

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different members of `choices`, in drawn order."""
        left = list(choices)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(min(count, len(left)))]

    def normal(self) -> float:
        """A standard normal, as the sum of twelve uniforms (Irwin-Hall): bounded by 6."""
        draw = self._draw
        return sum(draw() for _ in range(12)) - 6

    def lognormal(self, median: float, spread: float) -> float:
        """A lognormal of this median; `spread` is the standard deviation of its logarithm."""
        return median * exponential(spread * self.normal())

    def times(self, rate: float) -> int:
        """How often something of this rate happens: the whole part for sure, the rest by chance."""
        return int(rate) + self.happens(rate - int(rate))
