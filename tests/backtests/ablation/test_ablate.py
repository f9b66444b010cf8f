"""An ablation over a real database, its runs and its table made by Dagster in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from signaldelta_assets.backtests import (
    AblationError,
    AblationPlan,
    BacktestSpec,
    EvaluationProtocol,
    StoredScoreError,
    ablation_table,
    base_spec,
    count_trials,
    evaluate,
    missing_runs,
    plan_ablation,
    store_plan,
)
from signaldelta_assets.backtests import ablation as pure
from signaldelta_assets.backtests.evaluation import side_by_side
from signaldelta_assets.backtests.grid import make_grid
from signaldelta_assets.defs.ablation import ABLATION_KEY, add_partitions, build_ablation
from signaldelta_assets.defs.backtests import build_run
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.snapshots import open_snapshot
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents
from tests.backtests.runs.study import LATENCY, MODEL, PROTOCOL, make_spec
from tests.snapshots.world import DEFINITIONS, World, build_world

pytestmark = pytest.mark.postgres
# F03 and its signal never fire in this world.
IDLE: dict[str, Any] = MODEL | {
    "families": MODEL["families"] | {"F03": {"budget": 1.0, "stage": 2}},
    "correlation": {"F01|F06": 0.1, "F01|F03": 0.4},
    "signals": MODEL["signals"] | {"S018": MODEL["signals"]["S001"] | {"family": "F03"}},
}


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment's database and store, and the settings that lead there."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, Warehouse(postgres_url) as warehouse:
        patch.setenv("SIGNALDELTA_HOME", str(home))
        patch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
        yield build_world(warehouse, ArtifactStore(home / "artifacts"))


@pytest.fixture(scope="module")
def spec(world: World) -> BacktestSpec:
    return make_spec(world, model=IDLE)


@pytest.fixture(scope="module")
def plan(world: World, spec: BacktestSpec) -> AblationPlan:
    made = plan_ablation(world.warehouse, spec, "family")
    # Nothing is there before anybody has asked for it.
    assert missing_runs(world.warehouse, made) == made.runs and len(made.runs) == 4
    store_plan(world.warehouse, made)
    return made


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def _materialize(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, partition: str) -> dg.AssetMaterialization:
    done = dg.materialize(
        [build_run(), build_ablation()],
        selection=[asset.key],
        partition_key=partition,
        instance=instance,
        resources={"platform": Platform()},
    )
    assert done.success
    return done.asset_materializations_for_node(asset.node_def.name)[0]


@pytest.fixture(scope="module")
def table(instance: dg.DagsterInstance, plan: AblationPlan) -> dg.AssetMaterialization:
    """The ablation asset after its runs, each a partition of the backtest asset."""
    base = plan.base.spec.hash
    specs = [planned.spec.hash for planned in plan.runs]
    add_partitions(instance, base, specs)
    for partition in specs:
        _materialize(instance, build_run(), partition)
    return _materialize(instance, build_ablation(), base)


@pytest.fixture(scope="module")
def document(world: World, table: dg.AssetMaterialization) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.store.read_bytes(str(table.metadata["table_hash"].value), ".json"))
    return found


def _figures(world: World, run_hash: str, evidence: str) -> dict[str, Any]:
    found: dict[str, Any] = backtests.get_run(world.warehouse, run_hash)["evaluation"]["overall"][evidence]
    return found


def test_the_table_has_the_figures_of_the_runs(world: World, plan: AblationPlan, document: dict[str, Any]) -> None:
    assert document["base"]["run_hash"] == plan.base.run_hash and document["not_run"] == []
    assert {part["name"] for part in document["parts"]} == {"F01", "F03", "F06"}
    for part in document["parts"]:
        for evidence, figures in part["figures"].items():
            base, own = (_figures(world, name, evidence) for name in (plan.base.run_hash, part["run_hash"]))
            for name in ("precision", "recall", "auc", "brier"):
                pair = figures[name]
                assert (pair["base"], pair["without"]) == (base[name], own[name])
                if own[name] is None:
                    # Without F01 and the circular F06 nothing ever fires an alert.
                    assert (name, part["name"]) == ("precision", "F01") and evidence == "without_circular_evidence"
                    assert pair["difference"] is None and "no uncensored alert" in pair["reason"]
                    continue
                assert pair["difference"] == pytest.approx(own[name] - base[name], abs=1e-15)
                if pair["interval"]:
                    assert pair["interval"]["lo"] <= pair["interval"]["hi"]
            assert figures["lead_time_hours.median"]["base"] == base["lead_time_hours"]["median"]


def test_what_was_planted_is_what_hurts(document: dict[str, Any]) -> None:
    """F01 warns before the events. F06 fires at their very filing: it can only make false alerts."""
    assert document["primary_figure"] == "precision"
    assert [part["name"] for part in document["parts"]] == ["F01", "F03", "F06"]
    precision = {part["name"]: part["figures"]["all_evidence"]["precision"] for part in document["parts"]}
    assert precision["F01"]["difference"] < 0 < precision["F06"]["difference"]
    # F06 is left out of the second evidence anyway: there it cannot be missed.
    again = {part["name"]: part["figures"]["without_circular_evidence"] for part in document["parts"]}
    assert all(pair["difference"] == 0 for pair in again["F06"].values())
    assert again["F01"]["recall"]["difference"] < 0
    assert [part["title"] for part in document["parts"]] == ["a", None, "b"]


def test_a_signal_that_never_fires_changes_nothing(world: World, plan: AblationPlan, document: dict[str, Any]) -> None:
    (idle,) = (part for part in document["parts"] if part["name"] == "F03")
    assert idle["scoring_model_hash"] != plan.base.model.hash
    for evidence, figures in idle["figures"].items():
        for name, pair in figures.items():
            assert (pair["difference"], pair["without"]) == (0, pair["base"]), (evidence, name)
            assert pair["interval"] == {"lo": 0, "hi": 0} or pair["reason"], (evidence, name)
    base, own = (backtests.get_run(world.warehouse, name) for name in (plan.base.run_hash, idle["run_hash"]))
    assert base["evaluation"] == own["evaluation"] and base["evaluation_hash"] == own["evaluation_hash"]
    # The family is its only signal: one run, found under either name, asked for once.
    for by in ("signal", "both"):
        same = plan_ablation(world.warehouse, plan.base.spec, by)
        assert [planned.run_hash for planned in same.ablations] == [planned.run_hash for planned in plan.ablations]


def test_the_interval_is_that_of_the_whole_protocol(world: World, plan: AblationPlan, document: dict[str, Any]) -> None:
    """Leaving the nulls out saves most of the work and moves no replicate."""
    snapshot = backtests.get_snapshot(world.warehouse, plan.base.spec.snapshot_hash)
    tables = open_snapshot(world.store, snapshot["manifest"]).tables()
    protocol = EvaluationProtocol.from_dict(PROTOCOL)
    study = pure.prepare(tables, LatencyModel.from_dict(LATENCY), protocol, DEFINITIONS)
    (left_out,) = (planned for planned in plan.ablations if planned.part and planned.part.name == "F01")
    whole = [
        evaluate(make_grid(study.events, model, protocol).question(), study.labels, protocol)
        for model in (plan.base.model, left_out.model)
    ]
    assert whole[0].nulls
    expected = side_by_side(whole[0], whole[1], protocol.level)
    (part,) = (part for part in document["parts"] if part["name"] == "F01")
    for name, pair in expected.items():
        found = part["figures"]["all_evidence"][name]
        assert found["difference"] == pair.difference, name
        interval = pair.difference_interval
        assert found["interval"] == (interval and {"lo": interval.lo, "hi": interval.hi}), name
    assert part["figures"]["all_evidence"]["recall"]["interval"] is not None


def test_asking_again_finds_every_run(
    world: World, instance: dg.DagsterInstance, plan: AblationPlan, table: dg.AssetMaterialization
) -> None:
    def rows() -> dict[str, Any]:
        with world.warehouse.read_pool().connection() as connection:
            trials = connection.execute(
                "SELECT hypothesis_family, trial_number, run_hash FROM hypothesis_trials ORDER BY 1, 2"
            ).fetchall()
            documents_there = connection.execute("SELECT count(*) AS n FROM documents").fetchone()
            runs = connection.execute("SELECT count(*) AS n FROM backtest_runs").fetchone()
        return {"trials": trials, "documents": documents_there, "runs": runs}

    before = rows()
    again = plan_ablation(world.warehouse, plan.base.spec, "family")
    assert [planned.run_hash for planned in again.runs] == [planned.run_hash for planned in plan.runs]
    assert missing_runs(world.warehouse, again) == ()
    store_plan(world.warehouse, again)
    count_trials(world.warehouse, again)
    _materialize(instance, build_run(), plan.ablations[0].spec.hash)
    second = _materialize(instance, build_ablation(), plan.base.spec.hash)
    assert rows() == before
    assert second.metadata["table_hash"] == table.metadata["table_hash"]
    # The question was asked once; its ablations are counted under a name of their own.
    trials = {family: [row["trial_number"] for row in before["trials"] if row["hypothesis_family"] == family]
              for family in {row["hypothesis_family"] for row in before["trials"]}}  # fmt: skip
    assert trials == {"planted lead": [1], "planted lead/ablation": [1, 2, 3]}


def test_runs_that_another_question_made_are_counted_here_too(
    world: World, plan: AblationPlan, table: dg.AssetMaterialization
) -> None:
    other = plan_ablation(world.warehouse, replace(plan.base.spec, hypothesis_family="another question"), "family")
    assert missing_runs(world.warehouse, other) == ()
    for _ in range(2):
        count_trials(world.warehouse, other)
    with world.warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT hypothesis_family, trial_number, run_hash FROM hypothesis_trials"
            " WHERE hypothesis_family LIKE 'another question%%' ORDER BY 1, 2"
        ).fetchall()
    assert [(row["hypothesis_family"], row["trial_number"], row["run_hash"]) for row in rows] == [
        ("another question", 1, plan.base.run_hash),
        *(("another question/ablation", number, run.run_hash) for number, run in enumerate(plan.ablations, 1)),
    ]


def test_the_base_may_be_named_by_its_run(world: World, plan: AblationPlan, table: dg.AssetMaterialization) -> None:
    run = backtests.get_run(world.warehouse, plan.base.run_hash)
    names = (run["run_id"], run["run_hash"], plan.base.spec.hash)
    assert [base_spec(world.warehouse, name) for name in names] == [plan.base.spec] * 3
    with pytest.raises(documents.UnknownDocumentError):
        base_spec(world.warehouse, "0" * 64)


def test_dagster_shows_the_table(table: dg.AssetMaterialization, document: dict[str, Any]) -> None:
    shown = table.metadata["ablation"]
    assert isinstance(shown, dg.TableMetadataValue)
    records = [record.data for record in shown.records]
    first = document["parts"][0]["figures"]["all_evidence"]["precision"]
    assert records[0]["left_out"] == "F01" and records[0]["figure"] == "precision"
    assert (records[0]["difference"], records[0]["low"]) == (first["difference"], first["interval"]["lo"])
    # Three parts, two kinds of evidence, three figures.
    assert len(records) == 18 and set(records[0]) == {column.name for column in shown.schema.columns}
    assert table.tags is not None and table.tags["dagster/data_version"] == table.metadata["table_hash"].value
    assert table.asset_key == ABLATION_KEY


def test_a_run_that_is_not_there_is_named(world: World, plan: AblationPlan, table: dg.AssetMaterialization) -> None:
    both = plan_ablation(world.warehouse, make_spec(world, model=_two_signals()), "both")
    with pytest.raises(AblationError, match="its base has not been run"):
        ablation_table(world.warehouse, world.store, both)
    alone = AblationPlan(plan.base, both.ablations)
    with pytest.raises(AblationError, match="any of its ablations"):
        ablation_table(world.warehouse, world.store, alone)
    # One that was run beside one that was not.
    some = AblationPlan(plan.base, (plan.ablations[0], both.ablations[0]))
    found = ablation_table(world.warehouse, world.store, some)
    assert [part["name"] for part in found["parts"]] == ["F01"]
    assert [part["spec_hash"] for part in found["not_run"]] == [both.ablations[0].spec.hash]


def _two_signals() -> dict[str, Any]:
    model = deepcopy(IDLE)
    model["signals"]["S002"] = model["signals"]["S001"]
    return model


def test_a_family_that_is_all_there_is_cannot_be_left_out(world: World) -> None:
    alone = _two_signals()
    for name in ("S018", "S033"):
        alone["signals"][name] = alone["signals"][name] | {"weight": 0.0}
    spec = make_spec(world, model=alone)
    with pytest.raises(AblationError, match="family F01: the model would have no family left"):
        plan_ablation(world.warehouse, spec, "family")
    with pytest.raises(AblationError, match="no family left"):
        plan_ablation(world.warehouse, spec, "both")
    names = [planned.part.name for planned in plan_ablation(world.warehouse, spec, "signal").ablations if planned.part]
    assert names == ["S001", "S002"]
    possible = plan_ablation(world.warehouse, spec, "both", possible=True)
    assert [planned.part.name for planned in possible.ablations if planned.part] == names


def test_a_stored_figure_that_is_not_the_computed_one_is_found(
    world: World, plan: AblationPlan, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = backtests.find_run

    def touched(run_hash: str, evidence: str, figure: str) -> None:
        def found(warehouse: Warehouse, run: str) -> Any:
            row = find(warehouse, run)
            if row is not None and row["run_hash"] == run_hash:
                row["evaluation"]["overall"][evidence][figure] += 1e-12
            return row

        monkeypatch.setattr(backtests, "find_run", found)

    for run_hash in (plan.base.run_hash, plan.ablations[2].run_hash):
        for evidence in ("all_evidence", "without_circular_evidence"):
            touched(run_hash, evidence, "auc")
            with pytest.raises(StoredScoreError, match=f"{run_hash}: {evidence} auc"):
                ablation_table(world.warehouse, world.store, plan)
    monkeypatch.setattr(backtests, "find_run", find)
    assert canonical_json(ablation_table(world.warehouse, world.store, plan)) == canonical_json(document)
