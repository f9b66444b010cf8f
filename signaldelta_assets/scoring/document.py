"""Reading a scoring model document: every value is taken out with its path, so that an error names the field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any

from .errors import ScoringModelError

# No figure of the kernel overflows, and none divides by a vanishing number, while a model stays within these.
SMALLEST = 1e-9
LARGEST = 1e9


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

    def number(self, key: str, *, low: float = -LARGEST, high: float = LARGEST) -> float:
        """Return the number at `key`, in [low, high]."""
        return check_number(self.at(key), self.value(key), low=low, high=high)

    def positive(self, key: str) -> float:
        """Return the number at `key`, at least `SMALLEST`."""
        return self.number(key, low=SMALLEST)

    def integer(self, key: str, *, low: int, high: float = LARGEST) -> int:
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


def check_number(path: str, value: object, *, low: float, high: float) -> float:
    """Return `value` as a float if it is a number in [low, high]: no NaN, no infinity, no boolean."""
    # Compared before it is converted: a JSON integer may be beyond any float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ScoringModelError(path, f"a number from {low:g} to {high:g}", repr(value))
    return float(value)
