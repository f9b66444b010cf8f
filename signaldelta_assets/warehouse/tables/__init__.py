"""The table registry: every table with its group, write home, identity, times, mutability, retention, and why.

DDL, `migrations/schema.sql`, dbt sources and the docs page are made from this or compared with it in a test.
`available_time` is no column anywhere: the latency model derives it.
"""

from . import conductor, intelligence, jobs, operations, research, users
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
from .llm import llm_fallback_chain, llm_model_routing, llm_outputs, llm_usage_log
from .models import documents
from .reference import pools, securities, security_cohort_memberships, security_identifiers
from .registry import (
    GROUPS,
    PLACES,
    SCHEMA,
    WRITE_HOMES,
    Group,
    Home,
    Keep,
    Place,
    Split,
    metadata,
    other_place,
    replicated_groups,
    split_tables,
    times,
    written_at,
)
from .signals import extraction_counts, iald_signals, score_history, score_samples

__all__ = [
    "GROUPS",
    "PLACES",
    "SCHEMA",
    "WRITE_HOMES",
    "Group",
    "Home",
    "Keep",
    "Place",
    "Split",
    "backtest_alerts",
    "backtest_artifacts",
    "backtest_metrics",
    "backtest_runs",
    "backtest_snapshots",
    "clock_decisions",
    "collector_runs",
    "collector_status",
    "conductor",
    "documents",
    "extraction_counts",
    "http_absences",
    "http_validators",
    "hypothesis_trials",
    "iald_signals",
    "intelligence",
    "jobs",
    "labeled_event_dataset_members",
    "labeled_event_datasets",
    "labeled_events",
    "llm_fallback_chain",
    "llm_model_routing",
    "llm_outputs",
    "llm_usage_log",
    "metadata",
    "operations",
    "other_place",
    "pools",
    "quarantine_resolutions",
    "quarantined_records",
    "rate_limits",
    "raw_documents",
    "raw_records",
    "replicated_groups",
    "research",
    "score_history",
    "score_samples",
    "securities",
    "security_cohort_memberships",
    "security_identifiers",
    "split_tables",
    "times",
    "users",
    "written_at",
]
