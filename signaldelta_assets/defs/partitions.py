"""Partitions: raw and extracted by UTC day, labels and snapshots by quarter, backtests and ablations by spec hash."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
from pydantic import Field

from signaldelta_assets.jobs import SPEC_PARTITIONS
from signaldelta_assets.warehouse.stores.reading import Window

# Snapshots and datasets reach this many quarters back, their own included, where a run does not say otherwise.
QUARTERS_IN_SNAPSHOT = 4

# Tags by which Dagster runs a range of partitions in one run.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

backtest_specs = dg.DynamicPartitionsDefinition(name=SPEC_PARTITIONS)
# The specs whose parts are left out one by one.
backtest_ablations = dg.DynamicPartitionsDefinition(name="backtest_ablations")


def daily(first_day: str) -> dg.DailyPartitionsDefinition:
    """Days in UTC since `first_day`, the running one included: live collection fills it while it lasts."""
    return dg.DailyPartitionsDefinition(start_date=first_day, timezone="UTC", end_offset=1)


def quarterly(first_day: str) -> dg.TimeWindowPartitionsDefinition:
    """Calendar quarters in UTC, keyed by their first day, the running one included."""
    first = date.fromisoformat(first_day)
    quarter = date(first.year, (first.month - 1) // 3 * 3 + 1, 1)
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="0 0 1 */3 *", start=quarter.isoformat(), fmt="%Y-%m-%d", timezone="UTC", end_offset=1
    )


@dataclass(frozen=True)
class DayWindow:
    """The days a run is for, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Every day of the window."""
        return [self.first + timedelta(days=offset) for offset in range((self.last - self.first).days + 1)]


def day_window(context: dg.AssetExecutionContext) -> DayWindow:
    """Return the days of a run over daily or quarterly partitions: one partition or a range of them."""
    window = context.partition_time_window
    return DayWindow(window.start.date(), (window.end - timedelta(days=1)).date())


class Frozen(dg.Config):
    """What a dataset or snapshot is frozen over: run config of both assets.

    The assets depend on the default number of quarters, so more of them do not make a partition stale; what was
    frozen is named by its content all the same.
    """

    quarters: int = Field(default=QUARTERS_IN_SNAPSHOT, ge=1, description="Quarters, the partition's own the last.")
    include_interpolated: bool = Field(default=False, description="Labels whose time is interpolated as well.")


def trailing_window(context: dg.AssetExecutionContext, quarters: int) -> Window:
    """Return the days of the last `quarters` quarters up to the run's last one, itself included."""
    end = context.partition_time_window.end.date()
    months = end.year * 12 + (end.month - 1) - 3 * quarters
    return Window(date(months // 12, months % 12 + 1, 1), end)
