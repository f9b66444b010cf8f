"""Ablations of a stored spec: which runs they are, which of them exist, and the table of what each part is worth.

The runs are trials of a hypothesis family of their own, `<family>/ablation`. An ablation does not ask the question
again in the hope of a better answer, it asks of an answer where it comes from: as trials of the question itself,
thirty of them would make its correction for multiplicity punish a claim that was tried once. They are counted all the
same, under their own name, so that nobody can take the best of them for a finding without its number being seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.snapshots import open_snapshot
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents

from .ablation import AblationError, By, Effect, Part, Study, effect, evaluations, parts, prepare, ranked, without
from .evaluation import Evaluation, EvaluationProtocol
from .explanation import StoredScoreError
from .metrics import EVIDENCE, FIGURES, LEAD
from .spec import BacktestSpec, run_environment, run_hash

SCHEMA = "signaldelta.ablation/1"
FAMILY_SUFFIX = "/ablation"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of an ablation: what is left out (nothing in the base), its spec and model, and the run's name."""

    part: Part | None
    spec: BacktestSpec
    model: ScoringModel
    run_hash: str


@dataclass(frozen=True, slots=True)
class AblationPlan:
    """A base and its ablations. Two parts may be one run: a family's only signal, and the family."""

    base: PlannedRun
    ablations: tuple[PlannedRun, ...]

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """Every run once, the base first."""
        found: dict[str, PlannedRun] = {}
        for planned in (self.base, *self.ablations):
            found.setdefault(planned.run_hash, planned)
        return tuple(found.values())


def base_spec(warehouse: Warehouse, name: str) -> BacktestSpec:
    """Return the spec of this hash, or of the run with this id or hash. Raises where neither is there."""
    run = backtests.find_run(warehouse, name)
    document = run["manifest"]["spec"] if run else documents.get_document(warehouse, name, "backtest_spec")
    return BacktestSpec.from_dict(document)


def plan_ablation(warehouse: Warehouse, base: BacktestSpec, by: By, *, possible: bool = False) -> AblationPlan:
    """Return the runs that leave out each family, signal, or both kinds of part of `base`.

    Raises `AblationError` where one of them would leave nothing to score with; with `possible` it is passed over.
    """
    model = ScoringModel.from_dict(documents.get_document(warehouse, base.scoring_model_hash, "scoring_model"))
    definitions_hash = backtests.get_snapshot(warehouse, base.snapshot_hash)["definitions_hash"]
    environment_hash = hash_document(run_environment())

    def planned(part: Part | None, own: ScoringModel) -> PlannedRun:
        spec = base
        if part is not None:
            family = base.hypothesis_family + FAMILY_SUFFIX
            spec = replace(base, scoring_model_hash=own.hash, hypothesis_family=family)
        return PlannedRun(part, spec, own, run_hash(spec, definitions_hash, environment_hash))

    def ablations() -> Iterator[PlannedRun]:
        for part in parts(model, by):
            try:
                yield planned(part, without(model, part))
            except AblationError:
                if not possible:
                    raise

    return AblationPlan(planned(None, model), tuple(ablations()))


def store_plan(warehouse: Warehouse, plan: AblationPlan) -> None:
    """Store the models and specs of the plan, so that each of its specs can be run by hash."""
    for planned in plan.runs:
        family = planned.spec.hypothesis_family
        name = family if planned.part is None else f"{family} without {planned.part.name}"
        documents.put_document(warehouse, "scoring_model", name, planned.model.document)
        documents.put_document(warehouse, "backtest_spec", name, planned.spec.document)


def missing_runs(warehouse: Warehouse, plan: AblationPlan) -> tuple[PlannedRun, ...]:
    """Return the runs of the plan that do not exist."""
    return tuple(planned for planned in plan.runs if backtests.find_run(warehouse, planned.run_hash) is None)


def count_trials(warehouse: Warehouse, plan: AblationPlan) -> None:
    """Count the runs of the plan that exist as trials of their families; the others are counted as they are stored."""
    missing = missing_runs(warehouse, plan)
    for planned in plan.runs:
        if planned in missing:
            continue
        backtests.count_trial(warehouse, planned.spec.hypothesis_family, planned.run_hash)


def ablation_table(
    warehouse: Warehouse, store: ArtifactStore, plan: AblationPlan, progress: Progress | None = None
) -> dict[str, Any]:
    """Return what each part of the plan is worth, as far as there are runs: a document, the greatest loss first.

    Scored and evaluated again, because a run keeps no replicates; every figure must be the one that its run stored,
    else `StoredScoreError`. Raises `AblationError` where the base or every ablation has not been run.
    """
    rows = {planned.run_hash: backtests.find_run(warehouse, planned.run_hash) for planned in plan.runs}
    base_row = rows[plan.base.run_hash]
    done = [planned for planned in plan.ablations if rows[planned.run_hash] is not None]
    if base_row is None or not done:
        absent = "its base" if base_row is None else "any of its ablations"
        raise AblationError(f"ablation of spec {plan.base.spec.hash}: {absent} has not been run by this code")
    study, protocol, definitions = _study(warehouse, store, plan.base.spec)
    told = progress or (lambda *_: None)
    told(0, len(done) + 1, "base")
    base = evaluations(study, plan.base.model)
    _as_stored(base, base_row)
    effects: dict[str, Effect] = {}
    found = []
    for place, planned in enumerate(done, 1):
        assert planned.part is not None
        told(place, len(done) + 1, f"without {planned.part.name}")
        # A family's only signal is the family: the same model, the same figures.
        known = effects.get(planned.model.hash)
        found.append(replace(known, part=planned.part) if known else effect(study, base, planned.part, planned.model))
        effects[planned.model.hash] = found[-1]
        _effect_as_stored(found[-1], rows[planned.run_hash] or {})
    told(len(done) + 1, len(done) + 1, "compared")
    by_part = {planned.part: planned for planned in done}
    return {
        "schema": SCHEMA,
        "base": {
            "spec_hash": plan.base.spec.hash,
            "run_hash": plan.base.run_hash,
            "hypothesis_family": plan.base.spec.hypothesis_family,
            "scoring_model_hash": plan.base.model.hash,
            "status": base_row["status"],
        },
        "protocol_hash": plan.base.spec.protocol_hash,
        "primary_figure": protocol.primary_figure,
        "level": protocol.level,
        "parts": [
            {
                **item.to_document(),
                "title": _title(item.part, definitions),
                "spec_hash": by_part[item.part].spec.hash,
                "run_hash": by_part[item.part].run_hash,
            }
            for item in ranked(found, protocol.primary_figure)
        ],
        "not_run": [
            {"kind": planned.part.kind, "name": planned.part.name, "spec_hash": planned.spec.hash}
            for planned in plan.ablations
            if planned.part is not None and rows[planned.run_hash] is None
        ],
    }


def _study(
    warehouse: Warehouse, store: ArtifactStore, spec: BacktestSpec
) -> tuple[Study, EvaluationProtocol, dict[str, Any]]:
    snapshot = backtests.get_snapshot(warehouse, spec.snapshot_hash)
    latency = LatencyModel.from_dict(documents.get_document(warehouse, spec.latency_model_hash, "latency_model"))
    protocol = EvaluationProtocol.from_dict(
        documents.get_document(warehouse, spec.protocol_hash, "evaluation_protocol")
    )
    definitions = documents.get_document(warehouse, snapshot["definitions_hash"], "signal_definitions")
    tables = open_snapshot(store, snapshot["manifest"]).tables()
    return prepare(tables, latency, protocol, definitions), protocol, definitions


def _title(part: Part, definitions: Mapping[str, Any]) -> str | None:
    entry = definitions.get({"family": "families", "signal": "signals"}[part.kind], {}).get(part.name, {})
    return str(entry["name"]) if "name" in entry else None


def _as_stored(found: Mapping[str, Evaluation], row: Mapping[str, Any]) -> None:
    """Raise `StoredScoreError` unless every figure is the one in the run's evaluation."""
    for evidence, evaluation in found.items():
        lead = evaluation.lead_time_hours
        values = {name: getattr(evaluation, name) for name in FIGURES}
        _equal(evidence, row, values | {f"{LEAD}.median": None if lead is None else lead.median})


def _effect_as_stored(found: Effect, row: Mapping[str, Any]) -> None:
    for evidence in EVIDENCE:
        _equal(evidence, row, {name: pair.second for name, pair in found.pairs[evidence].items()})


def _equal(evidence: str, row: Mapping[str, Any], figures: Mapping[str, float | None]) -> None:
    stored = row["evaluation"]["overall"][evidence]
    if stored is None:
        # Below the minimum dataset the second evaluation is not made.
        return
    for name, value in figures.items():
        bare, _, part = name.partition(".")
        kept = stored[bare]
        if part and kept is not None:
            kept = kept[part]
        if kept != value:
            raise StoredScoreError(
                f"run {row['run_hash']}: {evidence} {name}: expected {value!r} as computed again, found {kept!r} stored"
            )
