"""What follows the feed of current filings: the document collectors, as soon as it has announced something."""

from collections.abc import Iterator

import dagster as dg

from signaldelta_assets.collectors import registered_collectors
from signaldelta_assets.settings import load_settings

from .partitions import RANGE_END, RANGE_START, daily
from .raw import RECENT_DAYS, asset_key

FEED = "edgar/current"
# The newest readings looked at: each is one of every day of its range, twice.
_MOST_RECORDS = 1000


def _written(reading: dg.AssetMaterialization | None) -> bool:
    return reading is not None and bool(reading.metadata["rows_written"].value)


@dg.definitions
def defs() -> dg.Definitions:
    """One job over the collectors that look filings up in the feed, and the sensor that starts it."""
    followers = [asset_key(name) for name, collector in registered_collectors().items() if FEED in collector.after]
    days = daily(load_settings().first_day)
    job = dg.define_asset_job(
        "follow_current_feed",
        selection=dg.AssetSelection.assets(*followers),
        description="Collect the documents of filings that the current feed announced.",
    )

    # No asset sensor: that is shown the last reading alone, and one that brought nothing would hide the one before.
    @dg.sensor(
        name="follow_current_feed_sensor",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Collects documents minutes after the current feed announced them; their schedules find the rest.",
    )
    def follow(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        seen = int(context.cursor) if context.cursor else None
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset_key(FEED), after_storage_id=seen), limit=_MOST_RECORDS
        ).records
        if not records:
            yield dg.SkipReason("the feed was not read")
            return
        context.update_cursor(str(max(record.storage_id for record in records)))
        if not any(_written(record.asset_materialization) for record in records):
            yield dg.SkipReason("the feed announced nothing new")
            return
        keys = list(days.get_partition_keys())[-RECENT_DAYS:]
        yield dg.RunRequest(run_key=context.cursor, tags={RANGE_START: keys[0], RANGE_END: keys[-1]})

    return dg.Definitions(jobs=[job], sensors=[follow])
