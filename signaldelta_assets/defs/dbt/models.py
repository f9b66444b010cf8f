"""Every dbt model as an asset: staging and marts, built and tested by `dbt build`, below the assets they read."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import database_url
from signaldelta_assets.warehouse.dbt import dbt_environment

from ..describe import OWNERS
from ..platform import Platform
from ..signals import asset_keys
from .engine import dbt_version, with_dbt, without_dbt

with without_dbt():
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject, dbt_assets

# Beside this interpreter: a virtual environment need not be activated.
DBT = str(Path(sys.executable).with_name("dbt"))
PROJECT_DIR = Path(__file__).resolve().parents[3] / "dbt_project"


# What the source of all signals is called in `sources.yml`: the layer, for its assets come and go with the catalogue.
SIGNALS_KEY = dg.AssetKey(["signals"])


class Dbt(DbtCliResource):
    """dbt as a process. Its version is that of the package: asked for it, dbt goes out to look for a newer one."""

    @functools.cached_property
    def _cli_version(self) -> Any:
        return dbt_version()


class Translator(DagsterDbtTranslator):
    """Keys are [layer, model]; the group is the layer, as everywhere. The source of signals is every signal's asset."""

    @functools.cached_property
    def _signals(self) -> list[dg.AssetDep]:
        return [dg.AssetDep(key) for key in sorted(asset_keys(load_definitions()).values())]

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Return the spec of one dbt node; a source keeps the key its meta names."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id)
        if node is None or node["resource_type"] != "model":
            return spec
        layer = node["fqn"][1]
        deps = [dep for dep in spec.deps if dep.asset_key != SIGNALS_KEY]
        if len(deps) < len(list(spec.deps)):
            deps += self._signals
        return spec.replace_attributes(
            deps=deps,
            key=dg.AssetKey([layer, node["name"]]),
            group_name=layer,
            owners=OWNERS,
            kinds={"dbt", "postgres"},
            metadata={**spec.metadata, "persistence": "postgres"},
        )


def _parse(target: Path) -> None:
    """Let dbt write its manifest into `target`. Raises `RuntimeError` with what dbt says where it cannot.

    Not by Dagster's own command, which first asks for dbt's version, and that goes out to look for a newer one.
    """
    # Parsing needs the variables of the profile, not a server.
    variables = dbt_environment("postgresql://postgres@localhost/postgres") | os.environ
    places = {
        "--project-dir": PROJECT_DIR,
        "--profiles-dir": PROJECT_DIR,
        "--target-path": target,
        "--log-path": target,
    }
    arguments = [str(part) for pair in places.items() for part in pair]
    done = subprocess.run([DBT, "parse", "--quiet", *arguments], env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"dbt parse failed with exit code {done.returncode}: {done.stdout}{done.stderr}")


def project() -> DbtProject:
    """Return the dbt project with its manifest, parsing it where it is missing or older than the models."""
    target = load_settings().home_dir / "dbt"
    found = DbtProject(project_dir=PROJECT_DIR, profiles_dir=PROJECT_DIR, target_path=target)
    newest = max(path.stat().st_mtime for path in PROJECT_DIR.rglob("*") if path.suffix in (".sql", ".yml"))
    if not found.manifest_path.exists() or found.manifest_path.stat().st_mtime < newest:
        target.mkdir(parents=True, exist_ok=True)
        _parse(target)
        (target / "manifest.json").touch()
    return found


@dg.definitions
def defs() -> dg.Definitions:
    """The dbt models, one subset-able group of assets."""
    parsed = project()
    # Several tables are written by one asset: each is a source of its own to dbt, and one parent to Dagster.
    translator = Translator(settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    @dbt_assets(manifest=parsed.manifest_path, project=parsed, dagster_dbt_translator=translator, name="dbt_models")
    def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform) -> Iterator[Any]:
        # The profile reads its connection from the environment; it is known only now.
        os.environ.update(dbt_environment(database_url(platform.settings())))
        with_dbt()
        yield from dbt.cli(["build"], context=context).stream().fetch_row_counts()

    job = dg.define_asset_job(
        "build_models",
        selection=dg.AssetSelection.groups("staging", "marts"),
        description="dbt build: views and marts.",
    )
    schedule = dg.ScheduleDefinition(
        name="build_models_hourly",
        job=job,
        cron_schedule="20 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The read models, after each hour's scores.",
    )
    return dg.Definitions(
        assets=[dbt_models],
        schedules=[schedule],
        # The inherited constructor takes a project, of which the fields of the class know nothing.
        resources={"dbt": Dbt(project_dir=parsed, dbt_executable=DBT)},  # type: ignore[arg-type]
    )
