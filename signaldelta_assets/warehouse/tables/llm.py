"""What language models said."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, Text

from .registry import ingest_time, sha256, table

llm_outputs = table(
    "llm_outputs",
    sha256("request_hash", primary_key=True),
    sha256("output_hash", nullable=False),
    Column("task", Text, nullable=False),
    sha256("task_version", nullable=False),
    Column("protocol", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    ingest_time(),
    group="llm",
    why="The first answer of a model to each request, both as canonical JSON: what a repeat reads instead of asking.",
    frozen=True,
)
