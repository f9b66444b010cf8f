"""One router per domain. A route translates: parameters to a query, rows to its schema; it decides nothing."""

from . import (
    backtests,
    catalogue,
    collectors,
    documents,
    explain,
    health,
    labels,
    scores,
    securities,
    signals,
    snapshots,
    users,
)

V2 = (
    securities.router,
    # Before the events, whose path takes any name.
    catalogue.router,
    signals.router,
    scores.router,
    labels.router,
    snapshots.router,
    backtests.router,
    documents.router,
    explain.router,
    collectors.router,
    users.router,
)
ROOT = (health.router,)

__all__ = ["ROOT", "V2"]
