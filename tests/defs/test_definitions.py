"""The definitions as a whole: golden file, layers, what every asset must say of itself, the map that dbt reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from api.jobs.client import BackfillLaunch
from api.jobs.kinds import launch_of
from api.schemas.jobs import SnapshotRequest
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.graph import asset_graph_svg
from signaldelta_assets.defs.describe import told
from signaldelta_assets.jobs import ATTEMPT_TAG, JOB_TAG, KINDS, LOCATION
from signaldelta_assets.warehouse.dbt import SOURCE_ASSETS
from tests.defs.golden import definitions_document
from tests.jobs.test_kinds import row_of
from tests.paths import ROOT

pytestmark = pytest.mark.platform

GOLDEN = Path(__file__).with_name("definitions.json")
LAYERS = ["raw", "llm", "signals", "labels", "snapshots", "backtests", "scores", "staging", "marts"]


@pytest.fixture(scope="module")
def repository(parsed_home: Path) -> dg.RepositoryDefinition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALDELTA_HOME", str(parsed_home))
        from signaldelta_assets.definitions import defs

        return defs().get_repository_def()


def test_definitions_are_those_of_the_golden_file(repository: dg.RepositoryDefinition) -> None:
    found = json.loads(json.dumps(definitions_document(repository)))
    assert found == json.loads(GOLDEN.read_text()), "review the change, then: python -m tests.defs.golden"


def test_definitions_are_loaded_once_for_the_same_settings(
    repository: dg.RepositoryDefinition, parsed_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signaldelta_assets.definitions import defs

    monkeypatch.setenv("SIGNALDELTA_HOME", str(parsed_home))
    assert defs().get_repository_def() is repository
    monkeypatch.setenv("SIGNALDELTA_FIRST_DAY", "2024-05-01")
    graph = defs().get_repository_def().asset_graph
    partitions = graph.get(dg.AssetKey(["raw", "edgar", "submissions"])).partitions_def
    assert partitions is not None and partitions.get_first_partition_key() == "2024-05-01"


def test_every_asset_describes_itself(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        assert node.group_name == key.path[0], f"{key}: the group is the layer"
        assert node.description, f"{key}: no description"
        assert node.owners, f"{key}: no owner"
        assert node.code_version, f"{key}: no code version"
        assert "persistence" in node.metadata, f"{key}: does not say where it is kept"
        if key.path[0] not in ("staging", "marts"):
            assert "dagster/column_schema" in node.metadata, f"{key}: no table schema"


def test_lineage_runs_from_raw_to_marts_and_never_back(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    order = {layer: number for number, layer in enumerate(LAYERS)}
    for key in graph.executable_asset_keys:
        for parent in graph.get(key).parent_keys:
            assert order[parent.path[0]] <= order[key.path[0]], f"{key} reads {parent}"
    raw = {key for key in graph.executable_asset_keys if key.path[0] == "raw"}
    marts = [key for key in graph.executable_asset_keys if key.path[0] == "marts"]
    for mart in marts:
        above = set()
        front = {mart}
        while front:
            above |= front
            front = {parent for key in front for parent in graph.get(key).parent_keys} - above
        assert above & raw, f"{mart} does not descend from a raw asset"


def test_a_partition_has_fewer_than_a_hundred_parents(repository: dg.RepositoryDefinition) -> None:
    """A partition with 100 parents or more silently ignores upstream data versions."""
    graph = repository.asset_graph
    quarter = dg.TimeWindowPartitionsDefinition(
        cron_schedule="0 0 1 */3 *", start="2024-01-01", fmt="%Y-%m-%d", timezone="UTC"
    )
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        if not isinstance(node.partitions_def, dg.TimeWindowPartitionsDefinition):
            continue
        partition = quarter.get_partition_keys()[0]
        for parent in node.parent_keys:
            parents = graph.get_parent_partition_keys_for_child(partition, parent, key).partitions_subset
            assert len(list(parents.get_partition_keys())) < 100, f"{key} has a hundred partitions of {parent}"


def test_dbt_sources_name_assets_that_exist(repository: dg.RepositoryDefinition) -> None:
    keys = {key.to_user_string() for key in repository.asset_graph.executable_asset_keys}
    named = {asset for assets in SOURCE_ASSETS.values() for asset in assets}
    # The signals' table has one source, called by the layer: what reads it stands below every signal.
    assert named - {"signals"} <= keys and SOURCE_ASSETS["iald_signals"] == ("signals",)
    signals = {key for key in repository.asset_graph.executable_asset_keys if key.path[0] == "signals"}
    assert repository.asset_graph.get(dg.AssetKey(["staging", "stg_signal_events"])).parent_keys == signals
    assert len(signals) == len(load_definitions().active_signals())


def test_the_picture_shows_the_graph_that_is(repository: dg.RepositoryDefinition) -> None:
    picture = (ROOT / "docs" / "asset-graph.svg").read_text()
    assert picture == asset_graph_svg(repository), "signaldelta graph > docs/asset-graph.svg"


def test_schedules_run_by_themselves(repository: dg.RepositoryDefinition) -> None:
    for schedule in repository.schedule_defs:
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING, f"{schedule.name} would never run"
    conditions = {
        key for key in repository.asset_graph.executable_asset_keys
        if repository.asset_graph.get(key).automation_condition is not None
    }  # fmt: skip
    watched = set()
    for sensor in repository.sensor_defs:
        if isinstance(sensor, dg.AutomationConditionSensorDefinition) and conditions:
            selected = sensor.asset_selection.resolve(repository.asset_graph)
            if sensor.default_status == dg.DefaultSensorStatus.RUNNING:
                watched |= selected
    assert conditions and conditions <= watched, "a condition that no running sensor watches never fires"


IMPORT_WITHOUT_IO = """
import importlib, os, pkgutil, sys
OURS = tuple(os.path.join(os.getcwd(), name) + os.sep for name in ("signaldelta_assets", "api"))

def by_us():
    # Whose code asked: the nearest frame outside the standard library. Libraries have their own habits at import.
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return True
        if "site-packages" in name:
            return False
        frame = frame.f_back
    return False

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "open") and by_us():
        # Sources being imported, and the time zone data, which belongs to the interpreter as its own library does.
        if event == "open" and (str(args[0]).endswith((".py", ".pyc")) or "zoneinfo" in str(args[0])):
            return
        raise AssertionError(f"importing does I/O: {event} {args[:2]}")

seen = []
original = os._Environ.__getitem__

def watched(self, key):
    # Compiled code has no frame: what pyarrow reads of its own would look like ours.
    if by_us() and not str(key).startswith("PYARROW_"):
        seen.append(key)
    return original(self, key)

os._Environ.__getitem__ = watched
sys.addaudithook(refuse)
for package in ("signaldelta_assets", "api"):
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
assert not seen, f"importing reads the environment: {seen}"
assert "dbt.version" not in sys.modules, "importing definitions imports dbt's library"
print("imported")
"""


def test_importing_any_module_does_no_io_and_reads_no_setting() -> None:
    done = subprocess.run(
        # Byte code is the interpreter's own business; where it is missing, writing it would look like I/O of ours.
        [sys.executable, "-B", "-W", "ignore", "-c", IMPORT_WITHOUT_IO],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("imported")


def test_progress_is_told_at_most_once_a_second_and_at_the_end() -> None:
    lines: list[str] = []
    moments = iter([0.0, 0.1, 0.9, 1.0, 1.5, 1.6])
    progress = told(lines.append, lambda: next(moments))
    for done in range(1, 7):
        progress(done, 6, "entities")
    assert lines == ["1/6 entities", "4/6 entities", "6/6 entities"]


def test_what_jobs_of_the_api_launch_is_there_and_takes_their_config(repository: dg.RepositoryDefinition) -> None:
    for kind in KINDS:
        wanted = launch_of(row_of(kind))
        assert wanted.tags[JOB_TAG] == row_of(kind)["job_id"] and wanted.tags[ATTEMPT_TAG] == "2"
        assert wanted.tags["signaldelta/correlation_id"] == "request-1" and wanted.tags["dagster/priority"] == "3"
        assets = [dg.AssetKey(list(path)) for path in wanted.assets]
        assert set(assets) <= repository.asset_graph.executable_asset_keys
        if isinstance(wanted, BackfillLaunch):
            assert "dagster/max_retries" not in wanted.tags
            continue
        assert wanted.tags["dagster/max_retries"] == "0", "the dispatcher tries again, Dagster does not"
        _takes_config(repository, wanted)
        if wanted.partition is not None:
            definition = repository.asset_graph.get(assets[0]).partitions_def
            assert isinstance(definition, dg.DynamicPartitionsDefinition) and definition.name == wanted.partition[0]
    days = SnapshotRequest.model_validate({"first": "2025-01-01", "last": "2025-02-01"})
    _takes_config(repository, launch_of(row_of("snapshot", days.document())))
    assert f"location_name: {LOCATION}\n" in (ROOT / "workspace.yaml").read_text()


def _takes_config(repository: dg.RepositoryDefinition, wanted: Any) -> None:
    job = repository.get_job(wanted.job)
    if wanted.assets:
        assert wanted.job in repository.get_implicit_asset_job_names()
        job = job.get_subset(asset_selection={dg.AssetKey(list(path)) for path in wanted.assets})
    # Dagster's own check.
    assert dg.validate_run_config(job, dict(wanted.config)) is not None
