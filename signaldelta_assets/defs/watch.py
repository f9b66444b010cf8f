"""The watch as Dagster shows it: every half minute a look, alerts noted and sent, a check where something changed."""

import json
from collections.abc import Sequence

import dagster as dg
import psycopg

from signaldelta_assets.observability import channels_of, logging_as, send_alerts, send_unkept
from signaldelta_assets.settings import load_settings
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import Warehouse, watch, watched_urls
from signaldelta_assets.warehouse.watch import Trouble, View

from .describe import OWNERS

HEALTH_KEY = dg.AssetKey(["platform", "health"])
HEALTH_CHECK = "nothing_is_wrong"


def look() -> View:
    """Look at the homes that the settings name, keep what is wrong as alerts, and send what is news of them."""
    settings = load_settings()
    urls = watched_urls(settings)
    folders = [settings.home_dir, settings.archive_dir, settings.artifacts_dir]
    full = watch.disks(folders, settings.disk_warning, settings.disk_critical)
    view = watch.look(urls, settings.place, more=[full])
    if view.versions.get(settings.place) is not None:
        with Warehouse(urls[settings.place], place=settings.place) as warehouse, logging_as("dagster-code", settings):
            with warehouse.pulse() as connection:
                watch.note(connection, view.troubles)
            # After what is wrong is kept, and for ten seconds at most.
            channels = channels_of(settings)
            send_alerts(warehouse.pulse, channels, settings.place)
            # It answers: what was sent of its being away is over.
            send_unkept(settings.home_dir, channels, settings.place, [])
    return view


def cursor_of(troubles: Sequence[Trouble]) -> str:
    """Return what is wrong as one hash: figures in the words change with every look, and are no news."""
    return hash_document(sorted([trouble.kind, trouble.subject, trouble.severity] for trouble in troubles))


def evaluation(view: View) -> dg.AssetCheckEvaluation:
    """Return the check that says what a look found."""
    critical = any(trouble.severity == "critical" for trouble in view.troubles)
    words = [f"{trouble.severity}: {trouble.words}" for trouble in view.troubles]
    return dg.AssetCheckEvaluation(
        asset_key=HEALTH_KEY,
        check_name=HEALTH_CHECK,
        passed=not words,
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description="; ".join(words) or "all is well",
        metadata={
            "troubles": dg.MetadataValue.json(words),
            "view": dg.MetadataValue.json(json.loads(json.dumps(view.to_document(), default=str))),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The platform's health as an external asset with a check, and the sensor that keeps it."""
    health = dg.AssetSpec(
        HEALTH_KEY,
        group_name="platform",
        owners=OWNERS,
        description="Both homes, replication, collectors, Dagster: what `signaldelta status` says.",
    )

    @dg.asset_check(
        asset=HEALTH_KEY, name=HEALTH_CHECK, description="Nothing is wrong anywhere; the same as `signaldelta status`."
    )
    def nothing_is_wrong() -> dg.AssetCheckResult:
        found = evaluation(look())
        return dg.AssetCheckResult(
            passed=found.passed, severity=found.severity, description=found.description, metadata=found.metadata
        )

    @dg.sensor(
        name="watch_platform",
        minimum_interval_seconds=load_settings().watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at both homes, replication, collectors and daemons; what changes is a check of its own.",
    )
    def watch_platform(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            view = look()
        except psycopg.Error as error:
            return dg.SkipReason(f"what was seen could not be kept: {error}")
        cursor = cursor_of(view.troubles)
        if cursor == context.cursor:
            return dg.SkipReason(f"as before: {len(view.troubles)} troubles")
        return dg.SensorResult(asset_events=[evaluation(view)], cursor=cursor, skip_reason=None)

    return dg.Definitions(assets=[health], asset_checks=[nothing_is_wrong], sensors=[watch_platform])
