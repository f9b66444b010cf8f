"""What a run is asked to be, and its name: `BacktestSpec`, the environment, `run_hash` (backtests.md, Run)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.versioning import code_version, environment_manifest, hash_document

SCHEMA = "signaldelta.backtest_spec/1"
_HASHES = ("snapshot_hash", "scoring_model_hash", "latency_model_hash", "protocol_hash")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# The code that decides what a run computes. The environment names every installed distribution but this project, so
# without these a changed kernel would go on answering with the figures of the old one.
RUN_CODE = (
    "signaldelta_assets.backtests",
    "signaldelta_assets.contracts",
    "signaldelta_assets.scoring",
    "signaldelta_assets.snapshots.parts",
    "signaldelta_assets.timeline",
    "signaldelta_assets.versioning",
)


class BacktestSpecError(DocumentError):
    """A backtest spec whose named field is wrong."""


@dataclass(frozen=True, slots=True)
class BacktestSpec:
    """Snapshot, scoring model, latency model and protocol, each by hash, and the question they are asked under.

    `hypothesis_family` groups the runs that ask one question: each counts as a trial of it.
    """

    snapshot_hash: str
    scoring_model_hash: str
    latency_model_hash: str
    protocol_hash: str
    hypothesis_family: str

    def __post_init__(self) -> None:
        for name in _HASHES:
            value = getattr(self, name)
            if not isinstance(value, str) or not _SHA256.fullmatch(value):
                raise BacktestSpecError(name, "a SHA-256 in hexadecimal", value)
        if not isinstance(self.hypothesis_family, str) or not self.hypothesis_family.strip():
            raise BacktestSpecError("hypothesis_family", "a non-empty text", self.hypothesis_family)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read a spec document. Raises `BacktestSpecError` naming a field that is missing, unknown or wrong."""
        fields = dict(document)
        if fields.pop("schema", None) != SCHEMA:
            raise BacktestSpecError("schema", SCHEMA, document.get("schema"))
        known = (*_HASHES, "hypothesis_family")
        for name in known:
            if name not in fields:
                raise BacktestSpecError(name, "to be present")
        # A key that is not understood must not be ignored: the run would claim to have used it.
        for name in sorted(set(fields) - set(known)):
            raise BacktestSpecError(name, f"only {', '.join(known)} here", fields[name])
        return cls(**fields)

    @property
    def document(self) -> dict[str, Any]:
        """The spec as a document."""
        return {"schema": SCHEMA, **{name: getattr(self, name) for name in (*_HASHES, "hypothesis_family")}}

    @property
    def hash(self) -> str:
        """The SHA-256 name of the document."""
        return hash_document(self.document)


def run_environment() -> dict[str, Any]:
    """Return the environment of a run: Python, every installed distribution, and the code that computes it."""
    return {**environment_manifest(), "code": code_version(RUN_CODE)}


def run_hash(spec: BacktestSpec, definitions_hash: str, environment_hash: str) -> str:
    """Return SHA-256(snapshot, signal definitions, scoring model, latency model, protocol, environment)."""
    return hash_document(
        {
            "snapshot": spec.snapshot_hash,
            "signal_definitions": definitions_hash,
            "scoring_model": spec.scoring_model_hash,
            "latency_model": spec.latency_model_hash,
            "protocol": spec.protocol_hash,
            "environment": environment_hash,
        }
    )
