"""The database kept in shape: partitions ahead of their rows; what is past its time removed, log files too. Daily."""

from datetime import UTC, datetime

import dagster as dg

from signaldelta_assets.observability.logfiles import prune
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse.maintenance import maintain

from .describe import OWNERS
from .platform import Platform

MAINTENANCE_KEY = dg.AssetKey(["platform", "maintenance"])
# What each materialization holds a row of for every table or partition that lost rows.
_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn(name, type=kind)
        for name, kind in (("table", "text"), ("partition", "text"), ("rows", "integer"), ("size_bytes", "bigint"),
                           ("place", "text"), ("why", "text"))
    ]
)  # fmt: skip


def build_maintenance() -> dg.AssetsDefinition:
    """Return the asset whose materializations say what was made, moved and removed."""

    @dg.asset(
        key=MAINTENANCE_KEY,
        group_name="platform",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="Partitions for the next two years, rows out of DEFAULT, and what is past its time removed "
        "(docs/retention.md).",
        code_version=code_version(["signaldelta_assets.warehouse.retention"], {}),
        metadata={"dagster/column_schema": _COLUMNS, "persistence": "materializations"},
    )
    def maintenance(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        # By the wall clock: how long a row has been here is no matter of a replay's fixed clock.
        done = maintain(platform.settings(), datetime.now(UTC), platform.archive())
        settings = platform.settings()
        logs = prune(settings.logs_dir, settings.log_days, datetime.now(UTC).date())
        for one in done.pruned:
            context.log.info(f"pruned {one}")
        for words in done.waiting:
            context.log.warning(f"left for the next time: {words}")
        pruned = [
            dg.TableRecord({column.name: getattr(one, column.name) or "" for column in _COLUMNS.columns})
            for one in done.pruned
        ]
        return dg.MaterializeResult(
            metadata={
                **done.counts(),
                "log_files_removed": len(logs),
                "pruned": dg.MetadataValue.table(pruned, schema=_COLUMNS),
            }
        )

    return maintenance


@dg.definitions
def defs() -> dg.Definitions:
    """The asset, its job and its daily schedule."""
    asset = build_maintenance()
    job = dg.define_asset_job(
        "maintain_database",
        selection=dg.AssetSelection.assets(asset),
        description="Make partitions, move what landed in DEFAULT, remove what is past its time.",
    )
    schedule = dg.ScheduleDefinition(
        name="maintain_database_daily",
        job=job,
        cron_schedule="40 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="When little is collected, and between two hours' scores.",
    )
    return dg.Definitions(assets=[asset], schedules=[schedule])
