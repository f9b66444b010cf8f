"""Extractors: raw records in, signal events out; pure, registered per signal, one module per family (signals.md 4).

An extractor sees a prepared frame only (`frames`): what was available at each trigger, in a total order. It reads no
clock, no store and no setting, and keeps nothing between calls. Thresholds and scales stand in the catalogue.
"""

from . import (
    f01_insider,
    f01_late_report,
    f02_ownership,
    f03_disclosure,
    f04_reporting,
    f04_statements,
    f05_earnings,
    f06_transactions,
    f07_governance,
    f08_price,
    f09_volume,
    f10_volatility,
    f14_liquidity,
    f15_control,
    f16_flow,
)
from .base import Extraction, Extractor, RegistryError, SignalParams, get, register, registered
from .departures import Departures, departures
from .form8k import EightK, eight_ks, item_text, news
from .frames import Record, first_available, frontier, prepare, rows
from .ownership import TradeFiling, eligible, trade_filings
from .runner import NotActiveError, RequiredWindow, required_window, run_extractor

# Importing a family's module registers its extractors.
FAMILIES = (
    f01_insider,
    f01_late_report,
    f02_ownership,
    f03_disclosure,
    f04_reporting,
    f04_statements,
    f05_earnings,
    f06_transactions,
    f07_governance,
    f08_price,
    f09_volume,
    f10_volatility,
    f14_liquidity,
    f15_control,
    f16_flow,
)

__all__ = [
    "FAMILIES",
    "Departures",
    "EightK",
    "Extraction",
    "Extractor",
    "NotActiveError",
    "Record",
    "RegistryError",
    "RequiredWindow",
    "SignalParams",
    "TradeFiling",
    "departures",
    "eight_ks",
    "eligible",
    "first_available",
    "frontier",
    "get",
    "item_text",
    "news",
    "prepare",
    "register",
    "registered",
    "required_window",
    "rows",
    "run_extractor",
    "trade_filings",
]
