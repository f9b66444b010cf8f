"""Reading a scoring model document: every value is taken out with its path, so that an error names the field."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Set
from typing import Any

from .errors import ScoringModelError


class Section:
    """A JSON object inside the document, with the path it stands at. Every reader raises `ScoringModelError`."""

    def __init__(self, path: str, value: object) -> None:
        if not isinstance(value, Mapping):
            raise ScoringModelError(path or "document", "an object", repr(value))
        self.path = path
        self._value = value
        for key in value:
            if not isinstance(key, str) or not key:
                raise ScoringModelError(self.at(str(key)), "a non-empty text as key", repr(key))

    def at(self, key: str) -> str:
        """Return the path of `key`."""
        return f"{self.path}.{key}" if self.path else key

    def keys(self, required: Set[str], optional: Set[str] = frozenset()) -> None:
        """Refuse a missing key, and a key nobody reads: it would be a setting without effect."""
        for key in sorted(required - self._value.keys()):
            raise ScoringModelError(self.at(key), "a value", "nothing")
        for key in sorted(self._value.keys() - required - optional):
            raise ScoringModelError(self.at(key), "no such key", repr(self._value[key]))

    def names(self) -> list[str]:
        """Return the keys, sorted."""
        return sorted(self._value)

    def has(self, key: str) -> bool:
        """Say whether `key` is there."""
        return key in self._value

    def value(self, key: str) -> Any:
        """Return the value of a key that `keys` has required or `names` has listed."""
        return self._value[key]

    def object(self, key: str) -> Section:
        """Return the object at `key`."""
        return Section(self.at(key), self.value(key))

    def number(self, key: str, *, low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> float:
        """Return the finite number at `key`, in [low, high] and greater than `above`."""
        return check_number(self.at(key), self.value(key), low=low, high=high, above=above)

    def integer(self, key: str, *, low: int, high: float = math.inf) -> int:
        """Return the whole number at `key`, in [low, high]."""
        number = self.number(key, low=low, high=high)
        if number != int(number):
            raise ScoringModelError(self.at(key), "a whole number", repr(self.value(key)))
        return int(number)

    def text(self, key: str, known: Collection[str], what: str) -> str:
        """Return the text at `key`, one of `known`."""
        value = self.value(key)
        if not isinstance(value, str) or value not in known:
            raise ScoringModelError(self.at(key), what, repr(value))
        return value

    def texts(self, key: str) -> list[str]:
        """Return the list of different non-empty texts at `key`."""
        value = self.value(key)
        if not isinstance(value, list | tuple):
            raise ScoringModelError(self.at(key), "a list of texts", repr(value))
        for i, item in enumerate(value):
            if not isinstance(item, str) or not item:
                raise ScoringModelError(f"{self.at(key)}[{i}]", "a non-empty text", repr(item))
            if item in value[:i]:
                raise ScoringModelError(f"{self.at(key)}[{i}]", "no repetition", repr(item))
        return list(value)


def check_number(
    path: str, value: object, *, low: float = -math.inf, high: float = math.inf, above: float = -math.inf
) -> float:
    """Return `value` as a float if it is a finite number in [low, high] and greater than `above`; booleans are not."""
    bounds = [f"above {above:g}"] * (above > -math.inf) + [f"from {low:g}"] * (low > -math.inf)
    expected = " ".join(["a finite number", *bounds, *([f"to {high:g}"] * (high < math.inf))])
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise ScoringModelError(path, expected, repr(value))
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high and number > above):
        raise ScoringModelError(path, expected, repr(value))
    return number
