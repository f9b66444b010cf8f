"""The scoring model: one JSON document, checked on load, immutable, named by the SHA-256 of its canonical form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from ..versioning import canonical_json, sha256_hex
from .document import Section, check_number
from .errors import ScoringModelError
from .layout import Floats, Parameters

SCHEMA = "signaldelta.scoring_model/1"
UNKNOWN = "UNKNOWN"
# Least eigenvalue that still counts as zero: families all correlated 1 are allowed, and rounding must not refuse them.
_EIGENVALUE_TOLERANCE = 1e-9
_MICROSECONDS_PER_HOUR = 3_600_000_000.0
# Squares of the least budgeted evidence must stay normal numbers.
_LEAST_FLOOR = 1e-30
# 3.6 s: no clock behind the events is finer, and half-lives counted in microseconds would leave the int range.
_LEAST_HALF_LIFE_HOURS = 0.001

_Array = TypeVar("_Array", bound="np.ndarray[Any, Any]")


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal of a model: weight and tier of its evidence, half-life in hours, affinity (0 to 1) by chain type."""

    family: str
    tier: int
    weight: float
    half_life_hours: float
    chain_affinity: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """One family: the budget its repetition saturates at, and its stage (1 early, 2 build-up, 3 confirmation)."""

    budget: float
    stage: int


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ScoringModel:
    """A valid scoring model. Made by `from_dict` only; equal to another where their documents are.

    `signals` is in the kernel's order: by family, then by signal id. `chain_types` is in the document's order.
    """

    hash: str
    signals: Mapping[str, SignalSpec]
    families: Mapping[str, FamilySpec]
    chain_types: tuple[str, ...]
    affinity_overrides: tuple[str, ...]
    parameters: Parameters
    _canonical: bytes = field(repr=False)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ScoringModel:
        """Check `document` (scoring.md; shape of the golden cases) and return the model.

        Raises `ScoringModelError` naming the path of the first wrong field.
        """
        root = Section("", document)
        root.keys(
            {"schema", "signals", "families", "correlation", "tiers", "evidence_floor", "magnitude", "confidence",
             "chains", "legacy"},
            {"affinity_overrides"},
        )  # fmt: skip
        if root.value("schema") != SCHEMA:
            raise ScoringModelError("schema", repr(SCHEMA), root.value("schema"))
        families = _families(root.object("families"))
        chain_types, min_families, temperature, unknown_logit = _chains(root.object("chains"))
        tiers = _tiers(root.object("tiers"))
        signals = _signals(root.object("signals"), families, tiers, chain_types)
        magnitude, confidence, legacy = root.object("magnitude"), root.object("confidence"), root.object("legacy")
        magnitude.keys({"k", "theta"})
        confidence.keys({"a", "b", "c", "diversity_half_point", "ordering_floor", "ordering_tolerance_hours"})
        legacy.keys({"cuts", "gamma"})
        index = {name: i for i, name in enumerate(families)}
        affinities = [
            [(i, s.chain_affinity[c]) for i, s in enumerate(signals.values()) if s.chain_affinity.get(c, 0.0) > 0.0]
            for c in chain_types
        ]
        stage = np.array([f.stage for f in families.values()])
        parameters = Parameters(
            family=_frozen(np.array([index[s.family] for s in signals.values()], np.int64)),
            decay_rate=_frozen(
                np.array([1.0 / (s.half_life_hours * _MICROSECONDS_PER_HOUR) for s in signals.values()])
            ),
            coefficient=_frozen(np.array([s.weight * tiers[s.tier] for s in signals.values()])),
            chain_start=_frozen(np.cumsum([0, *(len(pairs) for pairs in affinities)], dtype=np.int64)),
            chain_signal=_frozen(np.array([signal for pairs in affinities for signal, _ in pairs], np.int64)),
            affinity=_frozen(np.array([value for pairs in affinities for _, value in pairs], np.float64)),
            budget=_frozen(np.array([f.budget for f in families.values()])),
            precedence=_frozen(np.sign(stage[None, :] - stage[:, None]).astype(np.float64)),
            correlation=_frozen(_correlation(root.object("correlation"), index)),
            min_families=_frozen(np.array(min_families, np.int64)),
            cuts=_frozen(_cuts(legacy)),
            evidence_floor=root.number("evidence_floor", low=_LEAST_FLOOR),
            k=magnitude.positive("k"),
            theta=magnitude.number("theta", low=0.0),
            quality_exponent=confidence.number("a", low=0.0),
            diversity_exponent=confidence.number("b", low=0.0),
            ordering_exponent=confidence.number("c", low=0.0),
            diversity_half_point=confidence.positive("diversity_half_point"),
            ordering_floor=confidence.number("ordering_floor", low=0.0, high=1.0),
            ordering_tolerance=confidence.positive("ordering_tolerance_hours") * _MICROSECONDS_PER_HOUR,
            temperature=temperature,
            unknown_logit=unknown_logit,
            gamma=legacy.number("gamma", low=0.0),
        )
        canonical = canonical_json(document)
        return cls(
            hash=sha256_hex(canonical),
            signals=MappingProxyType(signals),
            families=MappingProxyType(families),
            chain_types=chain_types,
            affinity_overrides=_overrides(root, signals),
            parameters=parameters,
            _canonical=canonical,
        )

    @property
    def document(self) -> dict[str, Any]:
        """The document, as a copy of one's own: changing it does not change the model."""
        document: dict[str, Any] = json.loads(self._canonical)
        return document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoringModel) and other.hash == self.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"ScoringModel({self.hash[:12]}, {len(self.signals)} signals, {len(self.families)} families)"

    def __reduce__(self) -> tuple[Callable[[Mapping[str, Any]], ScoringModel], tuple[dict[str, Any]]]:
        return ScoringModel.from_dict, (self.document,)


def _families(section: Section) -> dict[str, FamilySpec]:
    families = {}
    for name in section.names():
        family = section.object(name)
        family.keys({"budget", "stage"})
        families[name] = FamilySpec(family.positive("budget"), family.integer("stage", low=1, high=3))
    if not families:
        raise ScoringModelError(section.path, "at least one family", "nothing")
    return families


def _tiers(section: Section) -> dict[int, float]:
    tiers = {}
    for name in section.names():
        if not name.isdecimal() or str(int(name)) != name:
            raise ScoringModelError(section.at(name), "a tier number as key", repr(name))
        tiers[int(name)] = section.number(name, low=0.0)
    if not tiers:
        raise ScoringModelError(section.path, "at least one tier", "nothing")
    return tiers


def _chains(section: Section) -> tuple[tuple[str, ...], list[int], float, float]:
    section.keys({"types", "min_families", "temperature", "unknown_logit"})
    types = tuple(section.texts("types"))
    if UNKNOWN in types:
        raise ScoringModelError(section.at("types"), f"no type named {UNKNOWN}: it is always there", repr(UNKNOWN))
    least = section.object("min_families")
    least.keys(set(types))
    return (
        types,
        [least.integer(name, low=1) for name in types],
        section.positive("temperature"),
        section.number("unknown_logit"),
    )


def _signals(
    section: Section, families: Mapping[str, FamilySpec], tiers: Mapping[int, float], chain_types: tuple[str, ...]
) -> dict[str, SignalSpec]:
    signals = {}
    for name in section.names():
        signal = section.object(name)
        signal.keys({"family", "tier", "weight", "half_life_hours", "chain_affinity"})
        tier = signal.integer("tier", low=0)
        if tier not in tiers:
            raise ScoringModelError(signal.at("tier"), f"one of the tiers {sorted(tiers)}", repr(tier))
        affinity = signal.object("chain_affinity")
        affinity.keys(set(), set(chain_types))
        signals[name] = SignalSpec(
            family=signal.text("family", families, "a family of this model"),
            tier=tier,
            weight=signal.number("weight", low=0.0),
            half_life_hours=signal.number("half_life_hours", low=_LEAST_HALF_LIFE_HOURS),
            chain_affinity=MappingProxyType({c: affinity.number(c, low=0.0, high=1.0) for c in affinity.names()}),
        )
    if not signals:
        raise ScoringModelError(section.path, "at least one signal", "nothing")
    return dict(sorted(signals.items(), key=lambda item: (item[1].family, item[0])))


def _correlation(section: Section, index: Mapping[str, int]) -> Floats:
    """Return R: listed pairs both ways, ones on the diagonal, zeros elsewhere; checked to be positive semi-definite."""
    matrix = np.eye(len(index))
    listed: dict[tuple[int, int], float] = {}
    for pair in section.names():
        names = pair.split("|")
        if len(names) != 2 or not set(names) <= index.keys():
            raise ScoringModelError(section.at(pair), "two families of this model, as F01|F02", repr(pair))
        i, j = index[names[0]], index[names[1]]
        rho = section.number(pair, low=-1.0, high=1.0)
        if i == j and rho != 1.0:
            raise ScoringModelError(section.at(pair), "1 on the diagonal", repr(rho))
        if listed.get((j, i), rho) != rho:
            raise ScoringModelError(section.at(pair), f"the value of {names[1]}|{names[0]}: symmetry", repr(rho))
        listed[i, j] = rho
        matrix[i, j] = matrix[j, i] = rho
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -_EIGENVALUE_TOLERANCE:
        raise ScoringModelError(section.path, "a positive semi-definite matrix", f"least eigenvalue {least:.6g}")
    return matrix


def _cuts(section: Section) -> Floats:
    values = section.value("cuts")
    if not isinstance(values, list | tuple) or len(values) != 4:
        raise ScoringModelError(section.at("cuts"), "a list of four scores", repr(values))
    cuts = [check_number(f"{section.at('cuts')}[{i}]", value, low=0.0, high=100.0) for i, value in enumerate(values)]
    if not all(a < b for a, b in pairwise(cuts)):
        raise ScoringModelError(section.at("cuts"), "strictly increasing scores", repr(cuts))
    return np.array(cuts)


def _overrides(root: Section, signals: Mapping[str, SignalSpec]) -> tuple[str, ...]:
    if not root.has("affinity_overrides"):
        return ()
    names = root.texts("affinity_overrides")
    for i, name in enumerate(names):
        if name not in signals:
            raise ScoringModelError(f"{root.at('affinity_overrides')}[{i}]", "a signal of this model", repr(name))
    return tuple(sorted(names))


def _frozen(array: _Array) -> _Array:
    array.setflags(write=False)
    return array
