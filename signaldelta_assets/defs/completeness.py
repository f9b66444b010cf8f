"""Completeness of collection: the check of the daily index, and the job that fetches what is missing."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from signaldelta_assets.collectors import Window, load_universe
from signaldelta_assets.collectors.base import EDGAR
from signaldelta_assets.collectors.gaps import INDEX, Gap, backfill_gaps, counts_by_day, find_gaps
from signaldelta_assets.errors import DocumentError
from signaldelta_assets.timeline import new_york

from .platform import Platform
from .raw import asset_key, raw_versions
from .versions import DATA_VERSION_TAG

CHECK = "nothing_announced_is_missing"
# The days looked at, up to the last on which EDGAR has closed: what today announces is collected today.
LAST_DAYS = 7
# EDGAR closes this long before its day ends.
_CLOSED = timedelta(hours=2)
_ASSET = asset_key(INDEX)


def last_days(now: datetime) -> Window:
    """Return the days that the check and the schedule look at: days of New York, as those of EDGAR's indexes."""
    today = new_york(now + _CLOSED).date()
    return Window(today - timedelta(days=LAST_DAYS), today - timedelta(days=1))


def gaps_result(gaps: list[Gap], window: Window) -> dg.AssetCheckResult:
    """Return the check's result: it warns where something announced is for us to get; all kinds are counted."""
    still = [gap for gap in gaps if gap.open]
    by_kind: dict[str, int] = {}
    for (_, _, kind), count in counts_by_day(gaps).items():
        by_kind[kind] = by_kind.get(kind, 0) + count
    days = [f"{day} {collector} {kind}: {count}" for (day, collector, kind), count in counts_by_day(still).items()]
    return dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=_ASSET,
        passed=not still,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "open_gaps": len(still),
            "first": str(window.start),
            "last": str(window.end),
            "by_day": days,
            **by_kind,
        },
    )


@dg.asset_check(
    asset=_ASSET,
    name=CHECK,
    blocking=False,
    description=f"What EDGAR announced in the last {LAST_DAYS} days is here; refused and unread are not.",
)
def nothing_announced_is_missing(platform: Platform) -> dg.AssetCheckResult:
    """Reckon what the indexes and lists of the last days announced against what is held."""
    window = last_days(platform.now())
    with platform.warehouse() as warehouse:
        return gaps_result(find_gaps(warehouse, window), window)


class BackfillConfig(dg.Config):
    """The days to complete, the last ones if none are named; `again` asks at once for what was absent."""

    first: str | None = None
    last: str | None = None
    again: bool = False


def _window(config: BackfillConfig, now: datetime) -> Window:
    usual = last_days(now)
    try:
        first = date.fromisoformat(config.first) if config.first else usual.start
        last = date.fromisoformat(config.last) if config.last else usual.end
        return Window(first, last)
    except ValueError as error:
        raise DocumentError("first, last", "days YYYY-MM-DD, the first not after the last", error) from error


@dg.op(
    pool=f"{EDGAR}_http",
    description="Fetch exactly what was announced and is not here; report the partitions that gained records.",
    out=dg.Out(dg.Nothing),
)
def fetch_gaps(
    context: dg.OpExecutionContext, config: BackfillConfig, platform: Platform
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Complete the days; every partition with new records is reported with its own data version.

    Reported by `yield`: what is logged by the context is lost where the step fails, and records are here all the same.
    """
    settings = platform.settings()
    if settings.universe is None:
        raise DocumentError("SIGNALDELTA_UNIVERSE", "the path of a universe file", None)
    window = _window(config, platform.now())
    with platform.warehouse() as warehouse:
        done = backfill_gaps(
            warehouse,
            platform.archive(),
            settings,
            window,
            load_universe(settings.universe),
            again=config.again,
            dagster_run_id=context.run_id,
        )
        for report in done.reports:
            context.log.info(f"{report.collector}: {report.counts}")
            if not report.records_written:
                continue
            keys = [day.isoformat() for day in report.days]
            for key, version in raw_versions(warehouse, report.collector, keys).items():
                yield dg.AssetMaterialization(
                    asset_key(report.collector),
                    partition=key,
                    description="gained records by a backfill of gaps",
                    metadata={"collector_run_id": report.collector_run_id},
                    tags={DATA_VERSION_TAG: version},
                )
    result = gaps_result(done.after, window)
    left = sum(gap.open for gap in done.after)
    context.log.info(f"open gaps: {sum(gap.open for gap in done.before)} before, {left} after")
    # Also where the asset itself is looked at.
    context.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=_ASSET,
            check_name=CHECK,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=result.metadata,
        )
    )
    if done.errors:
        raise dg.Failure(description="; ".join(done.errors[:5]))
    yield dg.Output(None)


@dg.job(name="backfill_gaps", description="Fetch what EDGAR announced and is not here: the last days, or those named.")
def backfill_gaps_job() -> None:
    """One step."""
    fetch_gaps()


@dg.schedule(
    job=backfill_gaps_job,
    name="backfill_gaps_schedule",
    cron_schedule="30 23 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"Once a day, after EDGAR has closed: complete the last {LAST_DAYS} days.",
)
def backfill_gaps_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the usual days."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())


@dg.definitions
def defs() -> dg.Definitions:
    """The check, the job and its schedule."""
    return dg.Definitions(
        asset_checks=[nothing_announced_is_missing], jobs=[backfill_gaps_job], schedules=[backfill_gaps_schedule]
    )
