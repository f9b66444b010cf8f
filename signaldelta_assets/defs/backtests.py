"""The backtest asset: one dynamic partition per spec, keyed by the spec's hash."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from signaldelta_assets.backtests import (
    BacktestSpec,
    BacktestSpecError,
    RunManifestError,
    check_manifest,
    run_backtest,
)
from signaldelta_assets.backtests.reporting import write_report
from signaldelta_assets.jobs import RUN_ASSET
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents
from signaldelta_assets.warehouse.tables import backtest_runs

from .describe import OWNERS, check_result, table_metadata, told
from .partitions import backtest_specs
from .platform import Platform
from .snapshots import SNAPSHOT_KEY

# The definitions call it as the API launches it.
RUN_KEY = dg.AssetKey(list(RUN_ASSET))
MANIFEST_CHECK = "manifest_is_complete"
DATASET_CHECK = "dataset_is_sufficient"


class FiledSpec(dg.Config):
    """The spec by value, where whoever asks has not stored it: then this run does, under the partition's hash."""

    spec: dict[str, Any] | None = None


def _spec(warehouse: Warehouse, spec_hash: str, given: Mapping[str, Any] | None) -> BacktestSpec:
    """Return the spec of a partition. Raises where the one that is given has another hash."""
    if given is None:
        return BacktestSpec.from_dict(documents.get_document(warehouse, spec_hash, "backtest_spec"))
    spec = BacktestSpec.from_dict(given)
    if spec.hash != spec_hash:
        raise BacktestSpecError("spec", f"the spec of the partition {spec_hash}", spec.hash)
    documents.put_document(warehouse, "backtest_spec", spec.hypothesis_family, spec.document)
    return spec


def check_run(manifest: Mapping[str, Any], snapshot: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Return whether a run's manifest is complete and its inputs are the parts of its snapshot's manifest.

    Failed with the error, which names the field, where the manifest is not one.
    """
    try:
        inputs = check_manifest(manifest).inputs
    except RunManifestError as error:
        return dg.AssetCheckResult(
            check_name=MANIFEST_CHECK, asset_key=RUN_KEY, passed=False, metadata={"error": str(error)}
        )
    read = {(part.kind, part.partition, part.rows, part.file_hash, part.content_hash) for part in inputs}
    names = ("kind", "stretch", "rows", "file_hash", "content_hash")
    held = {tuple(part[name] for name in names) for part in snapshot["parts"]}
    return check_result(MANIFEST_CHECK, RUN_KEY, {"missing_fields": 0, "inputs_not_of_snapshot": len(read ^ held)})


def build_run() -> dg.AssetsDefinition:
    """Return the asset of backtest runs."""

    @dg.asset(
        key=RUN_KEY,
        # A run reads the snapshot that its spec names, of whichever quarter; no quarter's news makes it stale. The
        # mapping Dagster would infer, by equal keys, asks for a quarter called like a spec: every backfill failed.
        deps=[dg.AssetDep(SNAPSHOT_KEY, partition_mapping=dg.SpecificPartitionsPartitionMapping([]))],
        partitions_def=backtest_specs,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="backtests",
        owners=OWNERS,
        kinds={"python", "parquet", "postgres"},
        description="A backtest: grid, alerts, metrics and manifest, a pure function of the hashes in its spec.",
        code_version=code_version(["signaldelta_assets.backtests", "signaldelta_assets.scoring"]),
        pool="heavy_cpu",
        metadata={**table_metadata(backtest_runs), "persistence": "postgres and artifact store"},
        check_specs=[
            dg.AssetCheckSpec(
                MANIFEST_CHECK,
                asset=RUN_KEY,
                blocking=True,
                description="Every hash a manifest must name is there; what was read is what the snapshot holds.",
            ),
            dg.AssetCheckSpec(
                DATASET_CHECK, asset=RUN_KEY, description="Warns where the dataset is below the minimum: no metrics."
            ),
        ],
    )
    def run(context: dg.AssetExecutionContext, platform: Platform, config: FiledSpec) -> dg.MaterializeResult:
        store = platform.artifacts()
        with platform.warehouse() as warehouse:
            spec = _spec(warehouse, context.partition_key, config.spec)
            result = run_backtest(
                warehouse,
                store,
                spec,
                dagster_run_id=context.run_id,
                progress=told(context.log.info),
            )
            snapshot = backtests.get_snapshot(warehouse, spec.snapshot_hash)
            report = write_report(warehouse, store, result.run_id, platform.settings().reports_dir)
        sufficient = result.status == "complete"
        return dg.MaterializeResult(
            data_version=dg.DataVersion(result.evaluation_hash),
            metadata={
                "run_id": result.run_id,
                "run_hash": result.run_hash,
                "status": result.status,
                "trial_number": result.trial_number,
                "verdict": dg.MetadataValue.md(report.markdown),
                "report": dg.MetadataValue.path(report.path),
                "report_hash": report.content_hash,
                "evaluation": dg.MetadataValue.json(result.evaluation),
                "manifest": dg.MetadataValue.json(result.manifest),
            },
            check_results=[
                check_run(result.manifest, snapshot["manifest"]),
                dg.AssetCheckResult(
                    check_name=DATASET_CHECK,
                    asset_key=RUN_KEY,
                    passed=sufficient,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"status": result.status},
                ),
            ],
        )

    return run


@dg.definitions
def defs() -> dg.Definitions:
    """The run asset and the job that runs a spec."""
    asset = build_run()
    job = dg.define_asset_job(
        "run_backtest", selection=dg.AssetSelection.assets(asset), description="Run the backtest of one spec."
    )
    return dg.Definitions(assets=[asset], jobs=[job])
