"""The evaluation protocol: one immutable JSON document, validated on load, named by its hash.

It fixes every choice that could otherwise be made after the results are seen: grid, horizon, alert rule, target
events, walk-forward folds, bootstrap and nulls with their seeds, and the dataset below which nothing is said.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.versioning import hash_document

SCHEMA = "signaldelta.evaluation_protocol/1"
CALIBRATION_METHODS = ("none", "platt", "isotonic")
SHIFTS = ("entity", "common")
RANDOM_ALERTS = ("spaced", "uniform")
SEASONS = ("shared", "none")
WITHIN = ("window", "coverage")
FIGURES = (
    "precision",
    "recall",
    "false_positive_rate",
    "auc",
    "average_precision",
    "brier",
    "log_loss",
    "brier_skill",
)
MICROSECONDS_PER_HOUR = 3_600_000_000

_DEFAULT_NULL_DRAWS = 200
_DEFAULT_BINS = 10
_DEFAULT_EVENTS_PER_TYPE = 30  # meta-plan P09a: fewer than 30 events of a type are insufficient for evaluation
_DEFAULT_CALIBRATION_MINIMUM = 30  # pillars.md 2.1: a calibration needs at least 30 of either outcome


class EvaluationProtocolError(DocumentError):
    """A protocol document whose named field is wrong."""


@dataclass(frozen=True, slots=True)
class MinimumDataset:
    """The counts of uncensored target events below which a report gives a warning and no metrics."""

    entities: int
    event_types: int
    events: int
    events_of_commonest_type: int
    months: int
    events_per_type: int = _DEFAULT_EVENTS_PER_TYPE


@dataclass(frozen=True)
class EvaluationProtocol:
    """A validated protocol. Times are microseconds since the Unix epoch, UTC; durations are microseconds.

    `document` is the document as it was given (a copy is returned each time), `hash` its SHA-256 name. Keys that a
    document leaves out take the stated default and do not enter the hash, so that older hashes stand.
    """

    start: int
    end: int
    step: int
    within: str
    horizon: int
    threshold: float
    rearm_below: float
    refractory: int
    event_types: tuple[str, ...]
    embargo: int
    folds: int
    calibration: str
    calibration_minimum: int
    replicates: int
    cluster: int
    blocks: int
    level: float
    seed: int
    null_draws: int
    null_seed: int
    null_shift: str
    null_alerts: str
    null_season: str
    bins: int
    primary_figure: str
    smallest_effect: float | None
    targets: Mapping[str, tuple[str, ...]]
    circular_families: Mapping[str, tuple[str, ...]]
    minimum: MinimumDataset
    _document: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def document(self) -> dict[str, Any]:
        """The document as given: a fresh copy, so that nobody can change the protocol through it."""
        return copy.deepcopy(dict(self._document))

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the document's canonical JSON."""
        return hash_document(dict(self._document))

    @property
    def horizon_hours(self) -> float:
        """The horizon H in hours."""
        return self.horizon / MICROSECONDS_PER_HOUR

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> EvaluationProtocol:
        """Return the protocol that `document` describes (shape: golden/evaluation.json; backtests.md).

        Optional keys: ``name``, ``nulls`` {draws, seed, shift, alerts, season}, ``reliability`` {bins}, ``primary``
        {figure, smallest_effect}, ``targets`` {event type: subtypes}, ``circularity`` {event type: families left out},
        ``calibration.minimum_of_each_class``, ``bootstrap.block_clusters``, ``minimum_dataset.events_per_type``, and
        ``grid.within``: with "coverage" an entity is asked about from the first to the last day on which a source of
        the target labels covers it, and its nulls stay in these days; with "window", the default, all the time.
        Raises EvaluationProtocolError naming the field: a key that is missing, unknown, or out of range.
        """
        root = _Reader("", document)
        root.choice("schema", (SCHEMA,))
        root.text("name", default="")
        grid = root.reader("grid")
        start, end = grid.whole("start"), grid.whole("end")
        step = grid.whole("step_seconds", minimum=1)
        within = grid.choice("within", WITHIN, default=WITHIN[0])
        grid.close()
        if end <= start:
            raise EvaluationProtocolError("grid.end", f"a moment after grid.start ({start})", end)

        alert = root.reader("alert")
        threshold, rearm = alert.number("threshold"), alert.number("rearm_below")
        refractory = alert.hours("refractory_hours", minimum=0.0)
        alert.close()
        if rearm > threshold:
            raise EvaluationProtocolError("alert.rearm_below", f"at most alert.threshold ({threshold})", rearm)

        horizon = root.hours("horizon_hours", above=0.0)
        bootstrap = root.reader("bootstrap")
        cluster = bootstrap.hours("cluster_hours", above=0.0)
        seed = bootstrap.whole("seed", minimum=0)
        replicates = bootstrap.whole("replicates", minimum=0)
        level = bootstrap.number("level", above=0.0, below=1.0)
        blocks = bootstrap.whole("block_clusters", minimum=1, default=default_blocks(horizon, cluster))
        bootstrap.close()

        calibration = root.reader("calibration")
        method = calibration.choice("method", CALIBRATION_METHODS)
        calibration_minimum = calibration.whole(
            "minimum_of_each_class", minimum=1, default=_DEFAULT_CALIBRATION_MINIMUM
        )
        calibration.close()

        nulls = root.reader("nulls", optional=True)
        null_draws = nulls.whole("draws", minimum=0, default=_DEFAULT_NULL_DRAWS)
        null_seed = nulls.whole("seed", minimum=0, default=seed)
        null_shift = nulls.choice("shift", SHIFTS, default=SHIFTS[0])
        null_alerts = nulls.choice("alerts", RANDOM_ALERTS, default=RANDOM_ALERTS[0])
        null_season = nulls.choice("season", SEASONS, default=SEASONS[0])
        nulls.close()
        reliability = root.reader("reliability", optional=True)
        bins = reliability.whole("bins", minimum=1, default=_DEFAULT_BINS)
        reliability.close()
        primary = root.reader("primary", optional=True)
        figure = primary.choice("figure", FIGURES, default=FIGURES[0])
        effect = primary.number("smallest_effect", minimum=0.0) if primary.has("smallest_effect") else None
        primary.close()

        event_types = root.texts("event_types")
        targets = root.text_lists("targets")
        for name in targets:
            if name not in event_types:
                raise EvaluationProtocolError(f"targets.{name}", "an event type listed in event_types")
        circular = root.text_lists("circularity")
        minimum = root.reader("minimum_dataset")
        floor = MinimumDataset(
            entities=minimum.whole("entities", minimum=0),
            event_types=minimum.whole("event_types", minimum=0),
            events=minimum.whole("events", minimum=0),
            events_of_commonest_type=minimum.whole("events_of_commonest_type", minimum=0),
            months=minimum.whole("months", minimum=0),
            events_per_type=minimum.whole("events_per_type", minimum=0, default=_DEFAULT_EVENTS_PER_TYPE),
        )
        minimum.close()
        embargo = root.hours("embargo_hours", minimum=0.0)
        folds = root.whole("folds", minimum=1)
        root.close()
        return cls(
            start=start * 1_000_000,
            end=end * 1_000_000,
            step=step * 1_000_000,
            within=within,
            horizon=horizon,
            threshold=threshold,
            rearm_below=rearm,
            refractory=refractory,
            event_types=event_types,
            embargo=embargo,
            folds=folds,
            calibration=method,
            calibration_minimum=calibration_minimum,
            replicates=replicates,
            cluster=cluster,
            blocks=blocks,
            level=level,
            seed=seed,
            null_draws=null_draws,
            null_seed=null_seed,
            null_shift=null_shift,
            null_alerts=null_alerts,
            null_season=null_season,
            bins=bins,
            primary_figure=figure,
            smallest_effect=effect,
            targets=targets,
            circular_families=circular,
            minimum=floor,
            _document=MappingProxyType(copy.deepcopy(dict(document))),
        )


def default_blocks(horizon: int, cluster: int) -> int:
    """Return how many consecutive clusters of one entity are drawn together where the protocol does not say.

    The outcome y(t) looks H ahead, so neighbouring clusters share outcomes: drawn one by one they would pass for
    independent, and intervals would be too narrow (measured in tests/backtests/evaluation/test_coverage.py).
    """
    return 1 + math.ceil(2 * horizon / cluster)


class _Reader:
    """Takes fields out of one JSON object, checks them, and refuses what nobody took."""

    def __init__(self, path: str, value: Any) -> None:
        self._path = path
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise EvaluationProtocolError(path or "(document)", "an object", value)
        self._left = dict(value)

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        return key in self._left

    def _take(self, key: str, expected: str, default: Any = None) -> Any:
        if key not in self._left:
            if default is None:
                raise EvaluationProtocolError(self._name(key), f"{expected}, but the key is missing")
            return default
        return self._left.pop(key)

    def close(self) -> None:
        if self._left:
            raise EvaluationProtocolError(self._name(min(self._left)), "no such key here")

    def reader(self, key: str, optional: bool = False) -> _Reader:
        return _Reader(self._name(key), self._take(key, "an object", {} if optional else None))

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, "a string", default)
        if not isinstance(value, str):
            raise EvaluationProtocolError(self._name(key), "a string", value)
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        expected = "one of " + ", ".join(choices)
        value = self._take(key, expected, default)
        if value not in choices:
            raise EvaluationProtocolError(self._name(key), expected, value)
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        return _texts(self._name(key), self._take(key, "a list of names"))

    def text_lists(self, key: str) -> Mapping[str, tuple[str, ...]]:
        inner = self.reader(key, optional=True)
        return MappingProxyType({name: inner.texts(name) for name in sorted(inner._left)})

    def whole(self, key: str, minimum: int | None = None, default: int | None = None) -> int:
        expected = "a whole number" + ("" if minimum is None else f" of at least {minimum}")
        value = self._take(key, expected, default)
        # 2**53: beyond it canonical JSON refuses an integer.
        bad = not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**53
        if bad or (minimum is not None and value < minimum):
            raise EvaluationProtocolError(self._name(key), expected, value)
        return int(value)

    def number(
        self, key: str, minimum: float | None = None, above: float | None = None, below: float | None = None
    ) -> float:
        bounds = [("at least", minimum), ("above", above), ("below", below)]
        expected = " ".join(["a finite number", *(f"{word} {bound}" for word, bound in bounds if bound is not None)])
        value = self._take(key, expected)
        bad = not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value)
        if (
            bad
            or (minimum is not None and value < minimum)
            or (above is not None and value <= above)
            or (below is not None and value >= below)
        ):
            raise EvaluationProtocolError(self._name(key), expected, value)
        return float(value)

    def hours(self, key: str, minimum: float | None = None, above: float | None = None) -> int:
        """Hours in the document, microseconds in the protocol."""
        return round(self.number(key, minimum=minimum, above=above) * MICROSECONDS_PER_HOUR)


def _texts(path: str, value: Any) -> tuple[str, ...]:
    named = isinstance(value, list | tuple) and value and all(isinstance(item, str) and item for item in value)
    if not named or len(set(value)) != len(value):
        raise EvaluationProtocolError(path, "a list of different, non-empty names", value)
    return tuple(value)
