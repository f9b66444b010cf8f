"""Polygon: daily bars, splits, earnings. Importing registers the collectors."""

from .daily_bars import DailyBarsCollector, SplitsCollector
from .earnings import EarningsCollector

__all__ = ["DailyBarsCollector", "EarningsCollector", "SplitsCollector"]
