"""One router per subject, its path and tag those of its domain: signals, market, labels, backtests, platform, users.

A route translates: parameters to a query, rows to its schema; it decides nothing."""

from . import (
    backtests,
    catalogue,
    collectors,
    datasets,
    documents,
    explain,
    filing,
    health,
    jobs,
    labels,
    market,
    scores,
    securities,
    signals,
    snapshots,
    users,
    watchlist,
)

# Scores first, as they are asked most; then by domain. Within one, paths that take any name come last.
V2 = (
    scores.router,
    filing.router,
    jobs.router,
    catalogue.router,
    signals.router,
    securities.router,
    market.router,
    datasets.router,
    labels.router,
    snapshots.router,
    documents.router,
    backtests.router,
    collectors.router,
    explain.router,
    users.router,
    watchlist.router,
)
ROOT = (health.router,)

__all__ = ["ROOT", "V2"]
