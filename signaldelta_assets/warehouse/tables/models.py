"""Immutable documents, named by their hash: what decides how signals, scores and runs come about."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB

from .registry import ingest_time, sha256, table

documents = table(
    "documents",
    sha256("document_hash", primary_key=True),
    Column(
        "kind",
        Text,
        CheckConstraint(
            "kind in ('signal_definitions','scoring_model','latency_model','evaluation_protocol','environment',"
            "'backtest_spec')",
            name="kind",
        ),
        nullable=False,
    ),
    Column("name", Text, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    ingest_time(),
    Index(None, "kind"),
    group="models",
    identity="content",
    why="Signal definitions, scoring and latency models, evaluation protocols, environments and backtest specs: "
    "immutable JSON documents named by the SHA-256 of their canonical form.",
    frozen=True,
)
