"""The lookup tables as one rule may see them: those its entry declares, and no other.

What a rule reads decides what it makes, so it must be in the rule's hash: reading a table that is not declared is an
error, not a default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ..errors import SignalDeltaError

_Value = TypeVar("_Value", bound=Any)


class UndeclaredTableError(SignalDeltaError):
    """A rule that reads a lookup table or pattern which its entry in the definitions does not declare."""


class Declared(Mapping[str, _Value]):
    """The lookup tables, or the compiled patterns, that one rule declares: reading another raises."""

    def __init__(self, rule: str, values: Mapping[str, _Value]) -> None:
        self.rule = rule
        self._values = values

    def __getitem__(self, name: str) -> _Value:
        # No KeyError: `get` and `in` would take it for an absent table and go on without.
        if name not in self._values:
            raise UndeclaredTableError(f"{self.rule}: field 'tables': expected {name!r}, found {sorted(self._values)}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Lookups:
    """What one rule sees of the lookup tables: `tables` by name, and the compiled `patterns` by theirs.

    `declared` are names of `document` (the tables of the definitions) and of its patterns, in one namespace.
    """

    def __init__(
        self, rule: str, declared: tuple[str, ...], document: Mapping[str, Any], patterns: Mapping[str, re.Pattern[str]]
    ) -> None:
        self.tables = Declared(rule, {name: document[name] for name in declared if name not in patterns})
        self.patterns = Declared(rule, {name: patterns[name] for name in declared if name in patterns})
