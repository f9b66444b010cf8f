"""The main job through the rooms, without Dagster: what a deployment's whole window comes to, in one process.

Run as a process of its own (``python -m tests.platform.pipeline``) under a deployment's environment. Prints one JSON
document: the snapshot's hash and the hash of each question's spec, and of each run where runs were asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from signaldelta_assets.backtests import BacktestSpec, run_backtest
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.backtests import opened, store_spec
from signaldelta_assets.cli.plans import QUESTIONS, Plan, Question, model_document, protocol_document
from signaldelta_assets.collectors import Window as CollectionWindow
from signaldelta_assets.collectors import registered_collectors, run_collector
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.defs.partitions import QUARTERS_IN_SNAPSHOT
from signaldelta_assets.defs.signals import extract_window
from signaldelta_assets.labels import required_label_window, run_classifier
from signaldelta_assets.settings import load_settings
from signaldelta_assets.snapshots import freeze_snapshot
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels, raw, reference
from signaldelta_assets.warehouse.stores.reading import Window

# A surprise is measured against the eight quarters before it.
HISTORY = timedelta(days=900)


def collect(warehouse: Warehouse, first: date, last: date, names: Sequence[str] = ()) -> None:
    """Collect every feed, or those named, for the days from `first` to `last`."""
    settings = load_settings()
    collectors = registered_collectors()
    # A feed that reads what another has found comes after it.
    for name in sorted(names or collectors, key=lambda name: (len(collectors[name].after), name)):
        window = CollectionWindow(first, last)
        run_collector(collectors[name], warehouse, ArtifactStore(settings.archive_dir), settings, window)


def freeze(warehouse: Warehouse, store: ArtifactStore, first: date, last: date) -> str:
    """Extract, label and freeze the days from `first` to `last`; return the snapshot's hash."""
    definitions = load_definitions()
    documents.put_document(warehouse, "signal_definitions", "active", definitions.active)
    window = Window(first, last + timedelta(days=1))
    extract_window(warehouse, definitions, list(definitions.active_signals()), window)
    securities = SecurityContext(reference.read_securities(warehouse))
    for event_type in definitions.active_labels():
        needed = required_label_window(event_type, window.start, window.end, definitions)
        records = raw.read_raw(warehouse, list(needed.source_types), needed.start, needed.end - timedelta(days=1))
        made = run_classifier(event_type, records, securities, definitions, window.start, window.end)
        labels.write_labels(warehouse, made.events, window, [event_type], definitions.label_hash(event_type))
    as_of = warehouse.quiesce()
    dataset = labels.freeze_dataset(warehouse, as_of=as_of, window=window, definitions_hash=definitions.hash)
    frozen = freeze_snapshot(
        warehouse, store, as_of=as_of, window=window, definitions_hash=definitions.hash, dataset=dataset
    )
    return frozen.snapshot_hash


def protocol(question: Question, first: date, last: date) -> dict[str, Any]:
    """The demo's protocol, coarser and with fewer draws: what is shown here does not hang on the third digit.

    The minimum is that of a question about one event type, as far as small archives have events.
    """
    # The window of the snapshot starts where its first quarter does: here all four are the archive's first day.
    window = Plan(first, last, last, (), 4 * 3600, (first.isoformat(),) * QUARTERS_IN_SNAPSHOT, ())
    document = protocol_document(question, window)
    document["bootstrap"]["replicates"] = 200
    document["nulls"]["draws"] = 50
    document["minimum_dataset"] = {
        "entities": 20, "event_types": 1, "events": 25, "events_of_commonest_type": 25,
        "events_per_type": 25, "months": 3,
    }  # fmt: skip
    return document


def specs(warehouse: Warehouse, snapshot_hash: str, questions: Sequence[Question], first: date, last: date) -> Any:
    """Store the demo's questions about this snapshot; return the hash of each one's spec by hypothesis."""
    definitions = load_definitions()
    return {
        question.hypothesis: store_spec(
            warehouse,
            snapshot_hash,
            model_document(question, definitions),
            protocol(question, first, last),
            dict(definitions.availability_basis),
            question.hypothesis,
        )
        for question in questions
    }


def main(first: date, last: date, to_run: Sequence[str]) -> dict[str, Any]:
    """Do all of it; run the questions named."""
    with opened() as (warehouse, store):
        collect(warehouse, first - HISTORY, first - timedelta(days=1), ["polygon/earnings"])
        collect(warehouse, first, last)
        snapshot = freeze(warehouse, store, first, last)
        stored = specs(warehouse, snapshot, QUESTIONS, first, last)
        runs = {}
        for hypothesis in to_run:
            spec = BacktestSpec.from_dict(documents.get_document(warehouse, stored[hypothesis], "backtest_spec"))
            runs[hypothesis] = run_backtest(warehouse, store, spec).run_hash
    return {"snapshot_hash": snapshot, "specs": stored, "runs": runs}


if __name__ == "__main__":
    print(json.dumps(main(date.fromisoformat(sys.argv[1]), date.fromisoformat(sys.argv[2]), sys.argv[3:])))
