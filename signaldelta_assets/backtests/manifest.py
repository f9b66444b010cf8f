"""The manifest of a run: every hash that went in and came out. Without all of them a run does not exist.

The meta-plan's "Mandatory Artifact Manifest", and the number of the trial under its hypothesis family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.versioning import hash_document

from .spec import BacktestSpec, BacktestSpecError

SCHEMA = "signaldelta.backtest_manifest/1"

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Ulid = Annotated[str, StringConstraints(pattern="^[0-9A-HJKMNP-TV-Z]{26}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class RunManifestError(DocumentError):
    """A run manifest whose named field is missing or wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Named(_Model):
    """A thing by its id (what people call it) and its hash (what it is)."""

    id: Text
    hash: Sha256


class Hypothesis(_Model):
    """Which question, and how many times it had been asked."""

    family: Text
    trial_number: int = Field(ge=1)


class Input(_Model):
    """A file that was read: part and partition of the snapshot, rows, checksums."""

    kind: Text
    partition: Text
    rows: int = Field(ge=0)
    file_hash: Sha256
    content_hash: Sha256


class Output(_Model):
    """A file that was made."""

    name: Text
    media_type: Text
    rows: int = Field(ge=0)
    size_bytes: int = Field(gt=0)
    file_hash: Sha256
    content_hash: Sha256


class Sandbox(_Model):
    """What kept the run from everything else: "seccomp" beside the guard, or "hook", the guard alone."""

    fence: Literal["seccomp", "hook"]


class RunManifest(_Model):
    """The manifest, as it is stored."""

    schema_: Literal["signaldelta.backtest_manifest/1"] = Field(alias="schema")
    run_id: Ulid
    run_hash: Sha256
    spec_hash: Sha256
    spec: dict[str, Any]
    status: Literal["complete", "insufficient"]
    hypothesis: Hypothesis
    snapshot: Named
    dataset: Named
    scoring_model: Named
    latency_model: Named
    evaluation_protocol: Named
    signal_definitions_hash: Sha256
    environment_hash: Sha256
    inputs: list[Input] = Field(min_length=1)
    outputs: list[Output] = Field(min_length=1)
    evaluation_hash: Sha256
    sandbox: Sandbox | None = None


def check_manifest(document: Mapping[str, Any]) -> RunManifest:
    """Return the checked manifest. Raises `RunManifestError` naming a field that is missing, unknown or wrong.

    The spec in it must be the one that its hashes name.
    """
    try:
        manifest = RunManifest.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors()[0]
        raise RunManifestError(".".join(map(str, first["loc"])), first["msg"], first.get("input")) from error
    try:
        spec = BacktestSpec.from_dict(manifest.spec)
    except BacktestSpecError as error:
        raise RunManifestError("spec", "a backtest spec", error) from error
    for field, expected, found in (
        ("spec_hash", spec.hash, manifest.spec_hash),
        ("snapshot.hash", spec.snapshot_hash, manifest.snapshot.hash),
        ("scoring_model.hash", spec.scoring_model_hash, manifest.scoring_model.hash),
        ("latency_model.hash", spec.latency_model_hash, manifest.latency_model.hash),
        ("evaluation_protocol.hash", spec.protocol_hash, manifest.evaluation_protocol.hash),
        ("hypothesis.family", spec.hypothesis_family, manifest.hypothesis.family),
    ):
        if expected != found:
            raise RunManifestError(field, f"{expected}, as of the spec", found)
    return manifest


def manifest_hash(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the manifest without ids, trial number and fence: the same for the same run anywhere."""
    named = {key: value for key, value in document.items() if key not in ("run_id", "sandbox")}
    return hash_document(_without_ids(named))


def _without_ids(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_ids(item) for key, item in value.items() if key not in ("id", "trial_number")}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value
