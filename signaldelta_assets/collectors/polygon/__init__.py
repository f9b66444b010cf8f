"""Polygon: daily and hourly bars, splits, dividends, earnings, tickers with their dates. Importing registers them."""

from .daily_bars import DailyBarsCollector, SplitsCollector
from .dividends import DividendsCollector
from .earnings import EarningsCollector
from .hourly_bars import HourlyBarsCollector
from .tickers import TickersCollector

__all__ = [
    "DailyBarsCollector",
    "DividendsCollector",
    "EarningsCollector",
    "HourlyBarsCollector",
    "SplitsCollector",
    "TickersCollector",
]
