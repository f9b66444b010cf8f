"""What follows the feed of current filings: the document collectors, as soon as it has announced something."""

from collections.abc import Iterator

import dagster as dg

from signaldelta_assets.collectors import registered_collectors
from signaldelta_assets.settings import load_settings

from .partitions import RANGE_END, RANGE_START, daily
from .raw import RECENT_DAYS, asset_key

FEED = "edgar/current"


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

    @dg.asset_sensor(
        asset_key=asset_key(FEED),
        name="follow_current_feed_sensor",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Collects documents minutes after the current feed announced them; their schedules find the rest.",
    )
    def follow(
        context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        found = asset_event.asset_materialization
        written = 0 if found is None else found.metadata["rows_written"].value
        if not written:
            yield dg.SkipReason("the feed announced nothing new")
            return
        keys = list(days.get_partition_keys())[-RECENT_DAYS:]
        yield dg.RunRequest(run_key=context.cursor, tags={RANGE_START: keys[0], RANGE_END: keys[-1]})

    return dg.Definitions(jobs=[job], sensors=[follow])
