"""What an extractor is: registered under its signals, pure, given records, context and the signal's parameters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import pandas as pd

from ..catalogue import SignalDefinition, SignalDefinitions
from ..contracts import FrontierEntry, SecurityContext, SignalEvent
from ..errors import SignalDeltaError
from .frames import Record, frontier


class RegistryError(SignalDeltaError):
    """A signal that is registered twice, or asked for and not registered."""


@dataclass
class Extraction:
    """What an extractor made: events ordered by (event_time, event_id), and why records gave none, counted."""

    events: list[SignalEvent] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class SignalParams:
    """The parameters of one signal with the tables of its definitions; makes the signal's events."""

    signal: SignalDefinition
    definitions: SignalDefinitions

    def __getitem__(self, name: str) -> Any:
        """Return a parameter of the definition, by its name in the document."""
        return self.signal.params[name]

    @property
    def lookback(self) -> timedelta:
        """How far before a trigger its inputs may have happened."""
        return timedelta(days=self.signal.params["lookback_days"])

    @property
    def tables(self) -> Mapping[str, Any]:
        """The lookup tables of the definitions."""
        return self.definitions.tables

    def pattern(self, name: str) -> re.Pattern[str]:
        """Return a compiled expression of the lookup tables."""
        return self.definitions.patterns[name]

    def event(
        self,
        trigger: Record,
        key: Sequence[str],
        *,
        strength: float,
        direction: int,
        reliability: float,
        inputs: Iterable[Record] = (),
        edge: tuple[FrontierEntry, ...] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> SignalEvent:
        """Build the event that `trigger` fires. `inputs`: what else it was computed from.

        `edge` replaces the frontier of the inputs where these are too many to be listed (a window of bars).
        """
        used = [trigger, *inputs]
        version = self.signal.extractor_version
        if version is None:
            raise RegistryError(f"{self.signal.signal_id}: definitions without extractor_version: use load_definitions")
        return SignalEvent(
            signal_id=self.signal.signal_id,
            entity_id=trigger.entity_id,
            key=tuple(key),
            event_time=pd.Timestamp(trigger.event_time).to_pydatetime(),
            strength_norm=float(strength),
            direction=direction,
            reliability=float(reliability),
            family=self.signal.family,
            chain_affinity=dict(self.signal.chain_affinity),
            frontier=frontier(used) if edge is None else edge,
            raw_record_ids=tuple(item.raw_record_id for item in used),
            definitions_hash=self.definitions.hash,
            extractor_version=version,
            attributes=attributes or {},
        )


class Extractor(Protocol):
    """A pure function of a prepared frame (`frames.prepare`); it emits for rows with is_trigger only."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return the events that the triggers among `records` fire."""
        ...


_REGISTRY: dict[str, Extractor] = {}
_Class = TypeVar("_Class", bound=type)


def register(*signal_ids: str) -> Callable[[_Class], _Class]:
    """Class decorator: register an instance of the class as the extractor of `signal_ids`."""

    def decorate(cls: _Class) -> _Class:
        for signal_id in signal_ids:
            if signal_id in _REGISTRY:
                raise RegistryError(f"{signal_id}: registered twice")
            _REGISTRY[signal_id] = cls()
        return cls

    return decorate


def registered() -> dict[str, Extractor]:
    """Return the registered extractors by signal id."""
    return dict(sorted(_REGISTRY.items()))


def get(signal_id: str) -> Extractor:
    """Return the extractor of `signal_id`; `RegistryError` where none is registered."""
    if signal_id not in _REGISTRY:
        raise RegistryError(f"{signal_id}: no extractor registered, known are {sorted(_REGISTRY)}")
    return _REGISTRY[signal_id]
