"""The report of a stored run: fetched, checked by its hashes, rendered by `reports`, written to a folder.

A report is no part of its run: it can be made again at any time, and other words in it make no other run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.reports import Material, Trial, Verdict, judge, primary_p_value, report_html, report_markdown
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents

from .evaluation import benjamini_hochberg, holm
from .runs import SUFFIXES


class ReportError(SignalDeltaError):
    """A run that no report can be made of."""


@dataclass(frozen=True, slots=True)
class Report:
    """A written report: where it is, the SHA-256 of its bytes, and its short form in Markdown."""

    path: Path
    content_hash: str
    size_bytes: int
    markdown: str


def report_material(warehouse: Warehouse, store: ArtifactStore, run: str) -> Material:
    """Return what the report of the run with this id or hash is made from; every artifact is verified.

    Raises `UnknownRunError`, `IntegrityError`, and `ReportError` for a run that lacks an artifact it needs.
    """
    row = backtests.get_run(warehouse, run)
    outputs = {item["name"]: item for item in row["manifest"]["outputs"]}

    def artifact(name: str) -> Path:
        if name not in outputs:
            raise ReportError(
                f"backtest run {row['run_hash']}: artifact {name!r}: expected one, found none: run it again"
            )
        return store.verify(outputs[name]["file_hash"], SUFFIXES[outputs[name]["media_type"]])

    def document(name: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(artifact(name).read_bytes())
        return found

    def table(name: str) -> pa.Table:
        return pq.read_table(artifact(name))

    evaluation = document("evaluation")
    number = row["trial_number"]
    return Material(
        run_hash=row["run_hash"],
        hypothesis_family=row["hypothesis_family"],
        trial_number=number,
        manifest=row["manifest"],
        manifest_hash=row["manifest_hash"],
        evaluation=evaluation,
        protocol=documents.get_document(warehouse, row["protocol_hash"], "evaluation_protocol"),
        model=documents.get_document(warehouse, row["scoring_model_hash"], "scoring_model"),
        definitions=documents.get_document(warehouse, row["definitions_hash"], "signal_definitions"),
        samples=document("samples"),
        alerts=table("alerts"),
        events=table("events"),
        trials=corrected_trials(backtests.read_trials(warehouse, row["hypothesis_family"], number)),
    )


def run_verdict(warehouse: Warehouse, run: str) -> Verdict:
    """Return the verdict on the run with this id or hash, from its row alone. Raises `UnknownRunError`."""
    row = backtests.get_run(warehouse, run)
    trials = corrected_trials(backtests.read_trials(warehouse, row["hypothesis_family"], row["trial_number"]))
    own = next((trial for trial in trials if trial.run_hash == row["run_hash"]), None)
    protocol = documents.get_document(warehouse, row["protocol_hash"], "evaluation_protocol")
    return judge(row["evaluation"], protocol, own, len(trials))


def corrected_trials(rows: Sequence[Mapping[str, Any]]) -> tuple[Trial, ...]:
    """Return the trials of a family with their p-values raw and corrected.

    `rows`: trial_number, run_hash, spec_hash, evaluation, by number. A spec that was run again (other code, other
    packages) asks nothing new: its newest run stands for it. A trial without p-value counts as 1.
    """
    newest = sorted({row["spec_hash"]: row for row in rows}.values(), key=lambda row: int(row["trial_number"]))
    values = [primary_p_value(row["evaluation"]) for row in newest]
    counted = [1.0 if value is None else value for value in values]
    corrected = zip(newest, values, holm(counted), benjamini_hochberg(counted), strict=True)
    return tuple(
        Trial(row["trial_number"], row["run_hash"], value, float(by_holm), float(by_bh))
        for row, value, by_holm, by_bh in corrected
    )


def write_report(warehouse: Warehouse, store: ArtifactStore, run: str, target: Path) -> Report:
    """Write the report of a run; `target` is a folder (then the file is RUN_HASH.html in it) or an .html file.

    The file appears whole or not at all, and replaces one of the same name.
    """
    material = report_material(warehouse, store, run)
    data = report_html(material)
    path = target if target.suffix == ".html" else target / f"{material.run_hash}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, incoming = tempfile.mkstemp(prefix=".incoming-", suffix=".html", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(incoming).chmod(0o644)
        Path(incoming).replace(path)
    finally:
        Path(incoming).unlink(missing_ok=True)
    return Report(path, sha256_hex(data), len(data), report_markdown(material))
