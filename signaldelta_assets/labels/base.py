"""What a classifier is: registered under its event type, pure, given evidence, context and the rule's parameters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ..catalogue import LabelDefinition, Lookups, SignalDefinitions
from ..contracts import LabeledEvent, SecurityContext, TimePrecision
from ..extractors import Record, RegistryError
from .frames import Evidence, as_time, source_url


@dataclass
class Labeling:
    """What a classifier made: labels ordered by (event_time, label_id), and the rejected, counted by reason."""

    events: list[LabeledEvent] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class LabelParams:
    """The parameters of one label rule with the lookup tables it declares; makes the rule's labels."""

    rule: LabelDefinition
    lookups: Lookups

    @classmethod
    def of(cls, event_type: str, definitions: SignalDefinitions) -> LabelParams:
        """Return the parameters of `event_type`; nothing else of `definitions` can be reached from them."""
        rule = definitions.label(event_type)
        return cls(rule, definitions.lookups(event_type, rule.tables))

    def __getitem__(self, name: str) -> Any:
        """Return a parameter of the rule, by its name in the document."""
        return self.rule.params[name]

    @property
    def lookback(self) -> timedelta:
        """How far before a label its inputs may have happened."""
        return timedelta(days=self.rule.params["lookback_days"])

    @property
    def tables(self) -> Mapping[str, Any]:
        """The lookup tables that the rule declares; `UndeclaredTableError` for another."""
        return self.lookups.tables

    @property
    def patterns(self) -> Mapping[str, re.Pattern[str]]:
        """The compiled expressions that the rule declares; `UndeclaredTableError` for another."""
        return self.lookups.patterns

    def pattern(self, name: str) -> re.Pattern[str]:
        """Return a compiled expression that the rule declares; `UndeclaredTableError` for another."""
        return self.lookups.patterns[name]

    def label(
        self,
        entity_id: str,
        key: Sequence[str],
        *,
        at: int,
        subtype: str,
        confidence: float,
        deciding: Sequence[Record],
        further: Sequence[Record] = (),
        precision: TimePrecision = TimePrecision.SECOND,
        attributes: Mapping[str, Any] | None = None,
    ) -> LabeledEvent:
        """Build a label at the moment `at` (microseconds).

        `deciding`: the records that the rule rests on, the first gives the source URL; known_at is when the last of
        them was available. `further`: records that only refine the label (its subtype).
        """
        version, own = self.rule.classifier_version, self.rule.rule_hash
        if version is None or own is None:
            raise RegistryError(f"{self.rule.event_type}: definitions without classifier_version: use load_definitions")
        used = [*deciding, *further]
        return LabeledEvent(
            event_type=self.rule.event_type,
            subtype=subtype,
            entity_id=entity_id,
            key=tuple(key),
            event_time=as_time(at),
            time_precision=precision,
            known_at=as_time(max(record.k for record in deciding)),
            observed_time=max(record.observed_time for record in used),
            confidence=float(confidence),
            raw_record_ids=tuple(record.raw_record_id for record in used),
            source_url=source_url(deciding),
            classifier_version=version,
            definitions_hash=own,
            attributes=attributes or {},
        )


class Classifier(Protocol):
    """A pure function of the evidence; it may label outside the window, and counts rejections inside it only."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """Return the labels that the evidence supports."""
        ...


_REGISTRY: dict[str, Classifier] = {}
_Class = TypeVar("_Class", bound=type)


def register_label(event_type: str) -> Callable[[_Class], _Class]:
    """Class decorator: register an instance of the class as the classifier of `event_type`."""

    def decorate(cls: _Class) -> _Class:
        if event_type in _REGISTRY:
            raise RegistryError(f"{event_type}: registered twice")
        _REGISTRY[event_type] = cls()
        return cls

    return decorate


def registered_labels() -> dict[str, Classifier]:
    """Return the registered classifiers by event type."""
    return dict(sorted(_REGISTRY.items()))


def get_classifier(event_type: str) -> Classifier:
    """Return the classifier of `event_type`; `RegistryError` where none is registered."""
    if event_type not in _REGISTRY:
        raise RegistryError(f"{event_type}: no classifier registered, known are {sorted(_REGISTRY)}")
    return _REGISTRY[event_type]
