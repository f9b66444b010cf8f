"""The table registry: every table with its group, write home, key, times, mutability, and why it exists.

DDL, `migrations/schema.sql`, dbt sources and the docs page are made from this or compared with it in a test.
`available_time` is no column anywhere: the latency model derives it.
"""

from .backtests import (
    backtest_alerts,
    backtest_artifacts,
    backtest_metrics,
    backtest_runs,
    backtest_snapshots,
    hypothesis_trials,
)
from .collection import (
    clock_decisions,
    collector_runs,
    collector_status,
    http_absences,
    http_validators,
    quarantine_resolutions,
    quarantined_records,
    rate_limits,
    raw_documents,
    raw_records,
)
from .labels import labeled_event_dataset_members, labeled_event_datasets, labeled_events
from .llm import llm_outputs
from .models import documents
from .reference import pools, securities, security_identifiers
from .registry import SCHEMA, WRITE_HOMES, metadata
from .signals import extraction_counts, iald_signals, score_history, score_samples

__all__ = [
    "SCHEMA",
    "WRITE_HOMES",
    "backtest_alerts",
    "backtest_artifacts",
    "backtest_metrics",
    "backtest_runs",
    "backtest_snapshots",
    "clock_decisions",
    "collector_runs",
    "collector_status",
    "documents",
    "extraction_counts",
    "http_absences",
    "http_validators",
    "hypothesis_trials",
    "iald_signals",
    "labeled_event_dataset_members",
    "labeled_event_datasets",
    "labeled_events",
    "llm_outputs",
    "metadata",
    "pools",
    "quarantine_resolutions",
    "quarantined_records",
    "rate_limits",
    "raw_documents",
    "raw_records",
    "score_history",
    "score_samples",
    "securities",
    "security_identifiers",
]
