"""Many archives, each scored by the kernel and evaluated as a backtest does it, one record per archive and question."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import numba
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.backtests import Evaluation, EvaluationProtocol, evaluate
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.scoring import ScoringModel, default_model, score_grid

from .worlds import DAYS, EVENT_TYPE, QUESTIONS, START, Archive, Question, make

STEP = timedelta(hours=6)
HORIZON_HOURS = 240
# Of a(t): near the upper tenth of what each question's signals reach in these worlds.
THRESHOLDS = {"insider": 0.10, "filings": 0.08, "market": 0.03, "all": 0.30}
FIGURES = (
    "precision",
    "recall",
    "lead_time_hours.median",
    "false_positive_rate",
    "auc",
    "average_precision",
    "brier",
    "log_loss",
    "brier_skill",
)


@dataclass(frozen=True)
class Size:
    """How much is simulated: noise archives, planted archives, bootstrap replicates, draws of each null."""

    noise: int
    planted: int
    replicates: int
    draws: int


FIRST_SEED = 1001  # those before it were used while the statistics were being repaired
FULL = Size(noise=200, planted=100, replicates=300, draws=99)


@dataclass(frozen=True)
class Answer:
    """What an evaluation said of one question about one archive.

    `nulls`: by null and figure (difference, lo, hi, one-sided p-value). `figures`: by name (value, lo, hi).
    """

    seed: int
    planted: bool
    question: str
    lead_hours: float | None
    nulls: dict[str, dict[str, tuple[float, float, float, float]]]
    figures: dict[str, tuple[float, float, float]]
    status: str


def protocol(question: Question, size: Size, **changes: Any) -> EvaluationProtocol:
    """Return a question's protocol over the year; `changes` replace whole keys of the document."""
    threshold = THRESHOLDS[question.name]
    document: dict[str, Any] = {
        "schema": "signaldelta.evaluation_protocol/1",
        "name": question.name,
        "grid": {"start": START, "end": START + DAYS * 86_400, "step_seconds": int(STEP.total_seconds())},
        "horizon_hours": HORIZON_HOURS,
        "embargo_hours": 24,
        "folds": 4,
        "alert": {"threshold": threshold, "rearm_below": threshold / 2, "refractory_hours": 72},
        "event_types": [EVENT_TYPE],
        "calibration": {"method": "platt"},
        "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": size.replicates, "seed": 20240101},
        "nulls": {"draws": size.draws, "seed": 20240102},
        "minimum_dataset": {
            "entities": 20, "event_types": 1, "events": 30, "events_of_commonest_type": 30, "months": 6
        },
    }  # fmt: skip
    return EvaluationProtocol.from_dict(document | changes)


@cache
def model(question: Question) -> ScoringModel:
    """Return the catalogue's default model with the question's signals; all others have weight 0."""
    document = default_model(load_definitions().document)
    for name, signal in document["signals"].items():
        if question.signals and name not in question.signals:
            signal["weight"] = 0.0
    return ScoringModel.from_dict(document)


def grid(archive: Archive, question: Question) -> pa.Table:
    """Return entity_id, at, alert_score and probability, as backtests.engine asks its question of a score grid."""
    start = datetime.fromtimestamp(START, UTC)
    scores = score_grid(
        archive.events, model(question), start, start + timedelta(days=DAYS), STEP, entities=archive.entities
    )
    alert_score = pc.multiply(scores["magnitude"], scores["confidence"])
    return pa.table(
        {"entity_id": scores["entity_id"], "at": scores["at"], "alert_score": alert_score, "probability": alert_score}
    )


def answer(archive: Archive, question: Question, asked: EvaluationProtocol) -> Evaluation:
    """Return the evaluation of one question about an archive."""
    return evaluate(grid(archive, question), archive.labels, asked)


def answers(task: tuple[int, bool], size: Size, changes: dict[str, Any]) -> list[Answer]:
    """Return what the evaluation says of every question about the archive (seed, planted)."""
    seed, planted = task
    archive = make(seed, planted)
    asked = QUESTIONS if not planted else tuple(q for q in QUESTIONS if q.name == "market")
    return [
        _read(answer(archive, question, protocol(question, size, **changes)), archive, seed, planted, question)
        for question in asked
    ]


def _read(found: Evaluation, archive: Archive, seed: int, planted: bool, question: Question) -> Answer:
    nulls: dict[str, dict[str, tuple[float, float, float, float]]] = {}
    for null, values in found.nulls.items():
        for name in FIGURES:
            if name in values and (span := values[name].difference_interval) is not None:
                difference, p_value = values[name].difference, values[name].p_value
                assert difference is not None
                assert p_value is not None
                nulls.setdefault(null, {})[name] = (difference, span.lo, span.hi, p_value)
    figures = {}
    for name in FIGURES:
        bare, _, part = name.partition(".")
        value = getattr(found, bare)
        span = found.intervals.get(name)
        if value is not None and span is not None:
            figures[name] = (float(value[part] if part else value), span.lo, span.hi)
    return Answer(seed, planted, question.name, archive.lead_hours, nulls, figures, found.status)


def _one_thread() -> None:
    # The archives are the tasks: threads inside one would only stand in each other's way.
    numba.config.NUMBA_NUM_THREADS = 1  # type: ignore[attr-defined]


def run(size: Size, first_seed: int = FIRST_SEED, processes: int = 2, **changes: Any) -> Iterator[list[Answer]]:
    """Yield the answers of every archive, noise first, in order of their seeds whatever the number of processes."""
    tasks: Sequence[tuple[int, bool]] = [
        (first_seed + place, planted)
        for planted, count in ((False, size.noise), (True, size.planted))
        for place in range(count)
    ]
    work = partial(answers, size=size, changes=changes)
    if processes == 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
        yield from pool.map(work, tasks)
