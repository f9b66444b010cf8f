"""Running a stored run again and comparing every byte; and saying in what two runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents

from .folders import run_folder
from .manifest import check_manifest, manifest_hash
from .metrics import metric_rows
from .runs import SUFFIXES, alert_rows, load_inputs
from .sandbox import Progress, execute
from .spec import BacktestSpec, run_environment, run_hash

_ABSENT = "(absent)"
_MOST_SAID = 100


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What running a run again has shown. `equal` only where nothing differs; `differences` name what does."""

    run_id: str
    run_hash: str
    equal: bool
    environment_equal: bool
    differences: tuple[str, ...]


class HasPath(Protocol):
    """A file of a run."""

    @property
    def path(self) -> Path:
        """Where it is."""


class Outcome(Protocol):
    """What a run came to: computed just now, or as its files have it."""

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The evaluation document."""

    def output(self, name: str) -> HasPath:
        """The file of that name."""


def verify_run(warehouse: Warehouse, store: ArtifactStore, run: str, progress: Progress | None = None) -> VerifyReport:
    """Run the run of this id or hash again from its manifest and compare every byte it made.

    Compared are the stored artifacts with their names, the new ones with the old, the run hash with its inputs, and
    the rows of the database (evaluation, metrics, alerts, artifacts, the manifest's hash) with what they are made from.
    Another environment is said and is no difference by itself: equal bytes in another environment are equal.
    """
    row = backtests.get_run(warehouse, run)
    manifest = check_manifest(row["manifest"])
    spec = BacktestSpec.from_dict(manifest.spec)
    inputs = load_inputs(warehouse, store, spec)
    differences = []
    name = run_hash(spec, inputs.definitions_hash, manifest.environment_hash)
    if not name == manifest.run_hash == row["run_hash"]:
        differences.append(f"run_hash: expected {name} from the inputs, found {row['run_hash']}")
    for output in manifest.outputs:
        try:
            store.verify(output.file_hash, SUFFIXES[output.media_type])
        except IntegrityError as error:
            differences.append(f"artifact {output.name}: {error}")
    with run_folder() as folder:
        again = execute(folder, inputs.files, inputs.documents, progress)
        # While the folder is there: the alerts are read from it.
        changed = list(rows_changed(warehouse, row, again))
    found = {output.name: output for output in again.outputs}
    for output in manifest.outputs:
        other = found.pop(output.name, None)
        for field in ("content_hash", "file_hash"):
            value = _ABSENT if other is None else getattr(other, field)
            if value != getattr(output, field):
                differences.append(f"{output.name}: field {field!r}: expected {getattr(output, field)}, found {value}")
    differences.extend(f"{name}: an artifact that the stored run does not have" for name in found)
    differences.extend(changed)
    environment = hash_document(run_environment())
    return VerifyReport(
        row["run_id"], row["run_hash"], not differences, environment == manifest.environment_hash, tuple(differences)
    )


def rows_changed(warehouse: Warehouse, row: Mapping[str, Any], again: Outcome) -> Iterator[str]:
    """Say what the rows of a run hold that is not what it comes to; of each table no more than can be read."""
    run_id, manifest = row["run_id"], row["manifest"]
    expected = {
        "manifest_hash": manifest_hash(manifest),
        "evaluation": again.evaluation,
        "backtest_metrics": {"/".join(figure[:4]): list(figure[4:]) for figure in metric_rows(again.evaluation)},
        "backtest_alerts": {_alert(alert): list(alert[2:]) for alert in alert_rows(again.output("alerts").path)},
        "backtest_artifacts": {output["name"]: output for output in manifest["outputs"]},
    }
    metrics = backtests.read_metrics(warehouse, run_id)
    alerts = [tuple(alert.values()) for alert in backtests.read_alerts(warehouse, run_id)]
    found = {
        "manifest_hash": row["manifest_hash"],
        "evaluation": row["evaluation"],
        "backtest_metrics": {"/".join(list(figure.values())[:4]): list(figure.values())[4:] for figure in metrics},
        "backtest_alerts": {_alert(alert): list(alert[2:]) for alert in alerts},
        "backtest_artifacts": {item["name"]: item for item in backtests.read_artifacts(warehouse, run_id)},
    }
    for name, value in expected.items():
        for path, old, new in islice(_differences(value, found[name], name), _MOST_SAID):
            yield f"{path}: expected {old!r}, found {new!r}"


def _alert(row: Sequence[Any]) -> str:
    return f"{row[0]} at {row[1].astimezone(UTC).isoformat()}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two runs differ: its path, and what it is in either."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Moved:
    """One figure that two runs differ in: its path (evidence/slice/value/metric), and what it is in either.

    `change` is b - a, `relative` its size as a share of the larger of the two: figures have many units. Both are None
    where only one run has the figure, and 0 where only its interval or its null is another. Intervals are (low, high);
    `apart` says that they do not overlap, None where one is missing. Both runs may rest on the same events: that
    intervals overlap is no sign that nothing changed.
    """

    path: str
    a: Any
    b: Any
    change: float | None
    relative: float | None
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    a_null: float | None
    b_null: float | None
    apart: bool | None

    @property
    def same(self) -> bool:
        """Whether value, interval and null are those of the other run."""
        return (self.a, self.a_interval, self.a_null) == (self.b, self.b_interval, self.b_null)


@dataclass(frozen=True, slots=True)
class RunDiff:
    """`inputs` that differ (documents down to the field, snapshots down to the part), and `figures` that moved.

    Figures that only one run has come first, then those that moved most.
    """

    inputs: tuple[Difference, ...]
    figures: tuple[Moved, ...]

    @property
    def equal(self) -> bool:
        """Whether the runs have the same inputs and the same figures."""
        return not self.inputs and not self.figures


def diff_runs(warehouse: Warehouse, a: str, b: str) -> RunDiff:
    """Say which input differs between two runs (ids or hashes), and which figures it moved."""
    rows = [backtests.get_run(warehouse, run) for run in (a, b)]
    inputs: list[Difference] = []
    for kind, column in (
        ("signal_definitions", "definitions_hash"),
        ("scoring_model", "scoring_model_hash"),
        ("latency_model", "latency_model_hash"),
        ("evaluation_protocol", "protocol_hash"),
        ("environment", "environment_hash"),
    ):
        one, other = (row[column] for row in rows)
        if one != other:
            before, after = (documents.get_document(warehouse, name, kind) for name in (one, other))
            inputs.extend(Difference(f"{kind}.{path}", old, new) for path, old, new in _differences(before, after))
    first, second = (_frozen(backtests.get_snapshot(warehouse, row["manifest"]["snapshot"]["hash"])) for row in rows)
    inputs.extend(Difference(f"snapshot.{path}", old, new) for path, old, new in _differences(first, second))
    figures = [
        {
            "/".join((row["evidence"], row["slice_kind"], row["slice_value"], row["metric"])): row
            for row in backtests.read_metrics(warehouse, run["run_id"])
        }
        for run in rows
    ]
    moved = [_figure(path, *(of.get(path) for of in figures)) for path in sorted({*figures[0], *figures[1]})]
    changed = sorted((one for one in moved if not one.same), key=_least_moved_last)
    if rows[0]["status"] != rows[1]["status"]:
        changed.insert(0, Moved("status", rows[0]["status"], rows[1]["status"], *[None] * 7))
    return RunDiff(tuple(inputs), tuple(changed))


def _frozen(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """What names a snapshot, by part; its definitions are compared as a document."""
    manifest = snapshot["manifest"]
    parts = {f"{part['kind']}/{part['stretch']}": part["content_hash"] for part in manifest["parts"]}
    return parts | {name: manifest[name] for name in ("window", "evidence_from", "dataset_hash")}


def _least_moved_last(figure: Moved) -> tuple[bool, float, str]:
    return figure.relative is not None, -(figure.relative or 0.0), figure.path


def _figure(path: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Moved:
    one, other = (_ABSENT if row is None else row["value"] for row in (a, b))
    first, second = (None if row is None or row["low"] is None else (row["low"], row["high"]) for row in (a, b))
    null, other_null = (None if row is None else row["null_value"] for row in (a, b))
    change = relative = apart = None
    if isinstance(one, float) and isinstance(other, float):
        change = other - one
        relative = abs(change) / max(abs(one), abs(other)) if change else 0.0
    if first is not None and second is not None:
        apart = bool(first[1] < second[0] or second[1] < first[0])
    return Moved(path, one, other, change, relative, first, second, null, other_null, apart)


def _differences(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, a, b) of every leaf that differs."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(set(a) | set(b)):
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(a.get(key, _ABSENT), b.get(key, _ABSENT), below)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, f"{path}[{place}]")
    elif a != b:
        yield path, a, b
