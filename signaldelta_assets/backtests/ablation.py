"""What a model's signals and families are worth to a backtest: each left out, and what that does to the figures. Pure.

A part is left out by naming its signals with weight 0, as a question about some signals does: they then do not exist
for the score (scoring.md section 8: W_s below the evidence floor), so that their family's row of correlations has
nothing to multiply and their affinities nothing to add. Taking them out of the document would come to the same
figures, but a run refuses events that its model does not know, and rightly so. Only `n_events` still counts them.

The difference of a figure has the interval of paired replicates: both evaluations saw the same resampled clusters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.timeline import LatencyModel

from .evaluation import Evaluation, EvaluationProtocol, Pair, evaluate, side_by_side
from .evidence import asked_about, available_events, circular_evidence
from .grid import EntityEvents, make_grid
from .grid import without as grid_without
from .metrics import EVIDENCE
from .precision import with_time_errors

By = Literal["family", "signal", "both"]
_SMALLER_IS_BETTER = {"false_positive_rate", "brier", "log_loss"}


class AblationError(SignalDeltaError):
    """A part that cannot be left out, or a comparison that has nothing to compare."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """What is left out: a family with all its signals, or one signal."""

    kind: str
    name: str


def parts(model: ScoringModel, by: By) -> tuple[Part, ...]:
    """Return the parts of `model` that a score can rest on, families first: those of some weight.

    Where both kinds are asked for, a signal that is all of its family is not asked for again.
    """
    signals: dict[str, list[str]] = {}
    for name in sorted(_weighted(model)):
        signals.setdefault(model.signals[name].family, []).append(name)
    found = [Part("family", family) for family in sorted(signals)] if by != "signal" else []
    if by != "family":
        found += [Part("signal", name) for name in sorted(
            name for names in signals.values() for name in names if by == "signal" or len(names) > 1
        )]  # fmt: skip
    return tuple(found)


def without(model: ScoringModel, part: Part) -> ScoringModel:
    """Return `model` without `part`: a model of its own hash.

    Raises `AblationError` for a part that it does not score with, and where no family would be left.
    """
    weighted = _weighted(model)
    names = {name: name if part.kind == "signal" else model.signals[name].family for name in weighted}
    left_out = {name for name, belongs in names.items() if belongs == part.name}
    if not left_out:
        raise AblationError(f"{part.kind} {part.name}: expected a {part.kind} that the model scores with, found none")
    if left_out == set(weighted):
        raise AblationError(f"{part.kind} {part.name}: the model would have no family left to score with")
    document = model.document
    for name in left_out:
        document["signals"][name]["weight"] = 0.0
    return ScoringModel.from_dict(document)


def _weighted(model: ScoringModel) -> list[str]:
    # `coefficient` is weight times tier weight, in the order of the signals.
    pairs = zip(model.signals, model.parameters.coefficient.tolist(), strict=True)
    return [name for name, coefficient in pairs if coefficient > 0.0]


@dataclass(frozen=True, slots=True)
class Study:
    """What all runs of an ablation share: the entities' evidence with its times, truth, which evidence is circular."""

    events: EntityEvents
    labels: pa.Table
    circular: np.ndarray[Any, np.dtype[np.bool_]]
    protocol: EvaluationProtocol


def prepare(
    tables: Mapping[str, pa.Table],
    latency: LatencyModel,
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
) -> Study:
    """Return the study of a snapshot's tables (schemas: `snapshots.PARTS`), as a run sees them."""
    labels, types = with_time_errors(tables["labeled_events"]), protocol.event_types
    entities, stretches = asked_about(tables["coverage"], labels, types, protocol, definitions)
    everything = available_events(tables["signal_events"], tables["signal_frontier"], latency)
    events = EntityEvents.of(everything, entities, stretches)
    circular = circular_evidence(events.table, labels, types, protocol, definitions).mask
    return Study(events, labels, circular, _without_nulls(protocol))


def _without_nulls(protocol: EvaluationProtocol) -> EvaluationProtocol:
    """The protocol without null draws: no figure and no replicate depends on them, and they are most of the work."""
    document = protocol.document
    document["nulls"] = {**document.get("nulls", {}), "draws": 0}
    return EvaluationProtocol.from_dict(document)


def evaluations(study: Study, model: ScoringModel) -> dict[str, Evaluation]:
    """Return the evaluation under `model` of all evidence, and of that without circular evidence, by name."""
    grid = make_grid(study.events, model, study.protocol)
    whole = evaluate(grid.question(), study.labels, study.protocol)
    if not study.circular.any():
        return dict.fromkeys(EVIDENCE, whole)
    rest = grid_without(study.events, study.circular, model, study.protocol, grid)
    return dict(zip(EVIDENCE, (whole, evaluate(rest.question(), study.labels, study.protocol)), strict=True))


@dataclass(frozen=True, slots=True)
class Effect:
    """What leaving out one part does: of either evidence every figure with and without it, and the difference."""

    part: Part
    model_hash: str
    pairs: Mapping[str, Mapping[str, Pair]]

    def loss(self, figure: str) -> float:
        """How much worse `figure` is without the part, all evidence; infinite where it then does not exist."""
        pair = self.pairs[EVIDENCE[0]][figure]
        if pair.first is None:
            return -math.inf
        if pair.difference is None:
            return math.inf
        return pair.difference if figure in _SMALLER_IS_BETTER else -pair.difference

    def to_document(self) -> dict[str, Any]:
        """Return the effect for canonical JSON: `difference` is the figure without the part minus that with it."""
        return {
            "kind": self.part.kind,
            "name": self.part.name,
            "scoring_model_hash": self.model_hash,
            "figures": {
                evidence: {figure: _pair_document(pair) for figure, pair in pairs.items()}
                for evidence, pairs in self.pairs.items()
            },
        }


def _pair_document(pair: Pair) -> dict[str, Any]:
    spread = pair.difference_interval
    return {
        "base": pair.first,
        "without": pair.second,
        "difference": pair.difference,
        "interval": None if spread is None else {"lo": spread.lo, "hi": spread.hi},
        "reason": pair.reason,
    }


def effect(study: Study, base: Mapping[str, Evaluation], part: Part, model: ScoringModel) -> Effect:
    """Return what `part` is worth: `model` is the one without it, `base` the evaluations with it."""
    found = evaluations(study, model)
    pairs = {name: side_by_side(base[name], found[name], study.protocol.level) for name in EVIDENCE}
    return Effect(part, model.hash, pairs)


def ranked(effects: Sequence[Effect], figure: str) -> tuple[Effect, ...]:
    """Return the effects by how much `figure` loses, the greatest loss first, ties by kind and name."""
    return tuple(sorted(effects, key=lambda item: (-item.loss(figure), item.part)))
