"""A run lacking any hash cannot be stored, neither through the store nor by hand; trials are counted without gaps."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from signaldelta_assets.backtests import RunManifestError, check_manifest, run_backtest
from signaldelta_assets.backtests.manifest import manifest_hash
from signaldelta_assets.backtests.runs import BacktestRun
from signaldelta_assets.versioning import canonical_json, hash_document, new_ulid, sha256_hex
from signaldelta_assets.warehouse.stores import backtests
from tests.backtests.runs.study import MODEL, changed, make_spec
from tests.paths import ROOT
from tests.snapshots.world import World

pytestmark = pytest.mark.postgres
Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def run(world: World) -> BacktestRun:
    return run_backtest(world.warehouse, world.store, make_spec(world))


def _hashes(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where in a document a SHA-256 stands."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _hashes(inner, (*path, key))
    elif isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        yield path


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def _changed(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at `path`; without the field where it is None."""
    document = copy.deepcopy(document)
    inner = _at(document, path[:-1])
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


def test_every_hash_is_needed_and_every_hash_must_be_one(run: BacktestRun) -> None:
    paths = list(_hashes(run.manifest))
    names = {str(path[-1]) for path in paths}
    assert names == {
        "run_hash", "spec_hash", "hash", "signal_definitions_hash", "environment_hash", "file_hash", "content_hash",
        "evaluation_hash", "snapshot_hash", "scoring_model_hash", "latency_model_hash", "protocol_hash",
    }  # fmt: skip
    assert len(paths) > 40
    check_manifest(run.manifest)
    for path in paths:
        for value in (None, "", "0" * 63, "G" * 64):
            with pytest.raises(RunManifestError):
                check_manifest(_changed(run.manifest, path, value))


def test_a_manifest_must_be_of_its_own_spec(run: BacktestRun) -> None:
    other = {**run.manifest["spec"], "protocol_hash": "0" * 64}
    with pytest.raises(RunManifestError, match="spec_hash"):
        check_manifest({**run.manifest, "spec": other})
    with pytest.raises(RunManifestError, match="evaluation_protocol"):
        check_manifest({**run.manifest, "spec": other, "spec_hash": hash_document(other)})
    with pytest.raises(RunManifestError, match="hypothesis"):
        check_manifest(_changed(run.manifest, ("hypothesis", "family"), "another question"))


def test_the_fence_is_told_and_is_in_no_hash(run: BacktestRun) -> None:
    assert check_manifest(run.manifest).sandbox is not None
    other = {"seccomp": "hook", "hook": "seccomp"}[run.manifest["sandbox"]["fence"]]
    for manifest in (run.manifest | {"sandbox": {"fence": other}}, _changed(run.manifest, ("sandbox",), None)):
        check_manifest(manifest)
        assert manifest_hash(manifest) == manifest_hash(run.manifest)
    with pytest.raises(RunManifestError, match="sandbox"):
        check_manifest(run.manifest | {"sandbox": {"fence": "none"}})


def _row(world: World, run: BacktestRun) -> dict[str, Any]:
    """The row of a run that has everything of `run` but its names."""
    with world.warehouse.read_pool().connection() as connection:
        row = connection.execute("SELECT * FROM backtest_runs WHERE run_id = %s", (run.run_id,)).fetchone()
    assert row is not None
    del row["ingest_time"]
    row |= {"run_id": new_ulid(), "run_hash": "0" * 64}
    manifest = run.manifest | {name: row[name] for name in ("run_id", "run_hash")}
    return row | {"manifest": manifest, "manifest_canonical": canonical_json(manifest)}


def _insert(world: World, row: dict[str, Any]) -> None:
    """Insert a row of backtest_runs by hand, and take it back."""
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()}
    statement = sql.SQL("INSERT INTO signaldelta.backtest_runs ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    with psycopg.connect(world.warehouse.url) as connection:
        connection.execute(statement, values)
        connection.rollback()


def test_the_database_refuses_a_row_by_hand_without_any_of_its_hashes(world: World, run: BacktestRun) -> None:
    row = _row(world, run)
    _insert(world, row)
    columns = [name for name in row if name.endswith("_hash")]
    assert len(columns) == 9
    for name in columns:
        with pytest.raises(psycopg.errors.NotNullViolation, match=name):
            _insert(world, row | {name: None})
        with pytest.raises(psycopg.IntegrityError):
            _insert(world, row | {name: "0" * 63})
    for name in ("manifest", "manifest_canonical", "trial_number", "snapshot_id"):
        with pytest.raises(psycopg.errors.NotNullViolation, match=name):
            _insert(world, row | {name: None})


def test_the_database_refuses_a_manifest_without_any_of_its_hashes(world: World, run: BacktestRun) -> None:
    row = _row(world, run)
    for path in _hashes(row["manifest"]):
        for value in (None, "x"):
            with pytest.raises(psycopg.errors.CheckViolation, match="manifest_complete"):
                _insert(world, row | {"manifest": _changed(row["manifest"], path, value)})
    for name in ("inputs", "outputs"):
        for value in (None, []):
            with pytest.raises(psycopg.errors.CheckViolation, match="manifest_complete"):
                _insert(world, row | {"manifest": _changed(row["manifest"], (name,), value)})
    with pytest.raises(psycopg.errors.CheckViolation, match="manifest_complete"):
        _insert(world, row | {"manifest": {}})
    # Another hash than the row's is as bad as none.
    with pytest.raises(psycopg.errors.CheckViolation, match="manifest_complete"):
        _insert(world, row | {"manifest": row["manifest"] | {"environment_hash": "0" * 64}})


@pytest.mark.parametrize("column", ["spec_hash", "environment_hash", "evaluation_hash", "protocol_hash", "run_hash"])
def test_the_store_keeps_nothing_of_a_run_without_a_hash(world: World, run: BacktestRun, column: str) -> None:
    row = _row(world, run)
    columns = {name: row[name] for name in row if not name.startswith("manifest") and name not in
               ("run_id", "trial_number")}  # fmt: skip
    columns |= {"evaluation": json.dumps(row["evaluation"]), "hypothesis_family": f"without {column}"}
    if column == "run_hash":
        columns["run_hash"] = "short"
    else:
        columns[column] = None
    rows = backtests.RunRows(columns, [], [], [], [])

    def manifest(trial: int) -> tuple[dict[str, Any], str]:
        return row["manifest"] | {
            "hypothesis": {"family": columns["hypothesis_family"], "trial_number": trial}
        }, "0" * 64

    with pytest.raises(psycopg.IntegrityError):
        backtests.put_run(world.warehouse, row["run_id"], rows, manifest)
    with world.warehouse.read_pool().connection() as connection:
        trials = connection.execute(
            "SELECT count(*) AS n FROM hypothesis_trials WHERE hypothesis_family = %s", (columns["hypothesis_family"],)
        ).fetchone()
        runs = connection.execute("SELECT count(*) AS n FROM backtest_runs").fetchone()
    assert (trials, runs) == ({"n": 0}, {"n": 1})


def test_two_specs_of_one_family_are_trials_one_and_two_and_keep_their_numbers(world: World, run: BacktestRun) -> None:
    first, second = (
        make_spec(world, model=changed(MODEL, "magnitude.theta", theta), family="two specs") for theta in (0.81, 0.82)
    )
    one = run_backtest(world.warehouse, world.store, first)
    two = run_backtest(world.warehouse, world.store, second)
    assert (one.trial_number, two.trial_number) == (1, 2)
    assert two.manifest["hypothesis"] == {"family": "two specs", "trial_number": 2}
    again = run_backtest(world.warehouse, world.store, first)
    assert (again.trial_number, again.created, again.run_hash) == (1, False, one.run_hash)


_COUNT = """
import sys
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import backtests
url, which, count = sys.argv[1:]
with Warehouse(url) as warehouse:
    print("ready", flush=True)
    sys.stdin.readline()
    # Every fourth question is asked by both.
    for number in range(int(count)):
        name = sha256_hex(f"{'both' if number % 4 == 0 else which} {number}".encode())
        print(name, backtests.count_trial(warehouse, "at once", name), flush=True)
"""


def test_trials_counted_by_two_processes_at_once_have_no_gap_and_no_double(world: World) -> None:
    count = 40
    processes = [
        subprocess.Popen([sys.executable, "-c", _COUNT, world.warehouse.url, which, str(count)], cwd=ROOT, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for which in ("a", "b")
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    found = [dict(line.split() for line in process.communicate("go\n")[0].splitlines()) for process in processes]
    both = {sha256_hex(f"both {number}".encode()) for number in range(0, count, 4)}
    assert set(found[0]) & set(found[1]) == both and all(len(one) == count for one in found)
    assert all(found[0][name] == found[1][name] for name in both)
    numbers = sorted(map(int, (found[0] | found[1]).values()))
    assert numbers == list(range(1, 2 * count - len(both) + 1))
