"""The live scores asset: the same kernel as every backtest, each hour, over what is available by then."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from signaldelta_assets.backtests import score_live
from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.scoring import ScoringModel, default_model
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import documents, scores, signals
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.stores.scores import ScoreRow
from signaldelta_assets.warehouse.tables import score_samples

from .describe import OWNERS, check_result, table_metadata
from .platform import Platform
from .signals import asset_keys

LIVE_KEY = dg.AssetKey(["scores", "live"])
RANGE_CHECK = "scores_are_in_range"


class LiveScores(dg.Config):
    """Which moment to score; the last full hour where none is given."""

    at: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one hour, how many of them were new, and the model's hash."""

    rows: list[ScoreRow]
    written: int
    model_hash: str


def score_hour(warehouse: Warehouse, definitions: SignalDefinitions, at: datetime) -> Scored:
    """Score every entity at `at` over what could be known by then, and store what is not stored yet."""
    model = ScoringModel.from_dict(default_model(definitions.document))
    latency = LatencyModel.from_dict(definitions.availability_basis)
    for kind, name, document in (
        ("scoring_model", "default", model.document),
        ("latency_model", "availability_basis", latency.document),
        ("signal_definitions", "active", definitions.active),
    ):
        documents.put_document(warehouse, kind, name, document)
    # Ten half-lives of the slowest signal: what is older weighs under a thousandth.
    reach = timedelta(hours=10 * max(signal.half_life_hours for signal in model.signals.values()))
    window = Window((at - reach).date(), at.date() + timedelta(days=1))
    events = signals.read_events(
        warehouse, rules=definitions.signal_hashes().values(), window=window, all_revisions=True
    )
    rows = score_live(events, model, latency, at)
    written = scores.write_score_samples(
        warehouse,
        rows,
        scoring_model_hash=model.hash,
        latency_model_hash=latency.hash,
        definitions_hash=definitions.hash,
    )
    return Scored(list(rows), written.written, model.hash)


def build_live() -> dg.AssetsDefinition:
    """Return the asset of hourly scores."""
    definitions = load_definitions()

    @dg.asset(
        key=LIVE_KEY,
        deps=sorted(asset_keys(definitions).values()),
        group_name="scores",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="Scores with their explanations for every entity that has evidence, at the last full hour.",
        code_version=code_version(["signaldelta_assets.scoring"], {"definitions": definitions.hash}),
        metadata={**table_metadata(score_samples), "persistence": "postgres"},
        check_specs=[
            dg.AssetCheckSpec(
                RANGE_CHECK,
                asset=LIVE_KEY,
                blocking=True,
                description="Magnitude in [0, 1), lean in [-1, 1], chain probabilities sum to 1.",
            )
        ],
    )
    def live(context: dg.AssetExecutionContext, config: LiveScores, platform: Platform) -> dg.MaterializeResult:
        now = datetime.fromisoformat(config.at).astimezone(UTC) if config.at else platform.now()
        at = now.replace(minute=0, second=0, microsecond=0)
        with platform.warehouse() as warehouse:
            scored = score_hour(warehouse, definitions, at)
        rows = scored.rows
        bad = {
            "magnitude": sum(not 0 <= row.sample.magnitude < 1 for row in rows),
            "lean": sum(not -1 <= row.sample.lean <= 1 for row in rows),
            "chains": sum(abs(sum(row.sample.chain_probabilities.values()) - 1) > 1e-9 for row in rows),
        }
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(rows),
                "new": scored.written,
                "at": at.isoformat(),
                "model": scored.model_hash,
            },
            check_results=[check_result(RANGE_CHECK, LIVE_KEY, bad)],
        )

    return live


@dg.definitions
def defs() -> dg.Definitions:
    """The live scores and their hourly schedule."""
    asset = build_live()
    job = dg.define_asset_job(
        "score_live", selection=dg.AssetSelection.assets(asset), description="Score every entity at one hour."
    )

    @dg.schedule(
        name="score_live_hourly",
        job=job,
        cron_schedule="5 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Five minutes past each hour, so that what the hour brought has been extracted.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        at = context.scheduled_execution_time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return dg.RunRequest(
            run_key=at.isoformat(), run_config={"ops": {"scores__live": {"config": {"at": at.isoformat()}}}}
        )

    return dg.Definitions(assets=[asset], schedules=[hourly])
