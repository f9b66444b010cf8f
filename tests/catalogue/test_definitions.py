"""The catalogue against the design's tables, number by number; its hash; its errors."""

from __future__ import annotations

import ast
import copy
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from signaldelta_assets.catalogue import DefinitionsError, active_part, default_document, load_definitions
from signaldelta_assets.catalogue.validation import correlation_matrix
from signaldelta_assets.extractors import registered
from signaldelta_assets.labels import registered_labels
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import hash_document
from tests.extractors.make import definitions
from tests.paths import SHARED

DESIGN = SHARED / "design" / "signals.md"
needs_design = pytest.mark.skipif(not DESIGN.is_file(), reason="the design page signals.md is not there")
STATUS = {"v2": "v2.0", "wl": "wired-later", "pl": "planned"}
DIRECTION = {"+": 1, "-": -1, "s": "sign", "0": 0}


def _tables() -> list[list[str]]:
    lines = DESIGN.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("| ")]


@needs_design
def test_families_are_the_designs() -> None:
    cells = [row[i : i + 5] for row in _tables() if re.fullmatch(r"F\d\d", row[0]) and len(row) > 8 for i in (0, 6)]
    expected = {c[0]: {"name": c[1], "stage": int(c[2]), "budget": float(c[3])} for c in cells}
    assert len(expected) == 16
    assert dict(definitions().families) == expected
    active = dict.fromkeys(expected, 0)
    for signal in definitions().document["signals"].values():
        active[signal["family"]] += signal["status"] == "v2.0"
    assert active == {c[0]: int(c[4]) for c in cells}


@needs_design
def test_correlations_are_the_designs() -> None:
    rows = [row[1] for row in _tables() if re.fullmatch(r"0\.\d\d-0\.\d\d", row[0])]
    pairs = [pair.split() for row in rows for pair in row.split(",")]
    assert {f"{a}|{b}": float(rho) for a, b, rho in pairs} == definitions().document["correlations"]
    assert len(pairs) == 22


def test_least_eigenvalue_is_the_designs() -> None:
    matrix = correlation_matrix(definitions().families, definitions().document["correlations"])
    assert round(float(np.linalg.eigvalsh(matrix).min()), 3) == 0.382


@needs_design
def test_chains_are_the_designs() -> None:
    rows = {row[0]: row for row in _tables() if row[0].startswith("CT-")}
    assert set(rows) == set(definitions().chains)
    for name, row in rows.items():
        chain = definitions().chains[name]
        assert [chain["name"], chain["story"], chain["min_families"]] == [row[1], row[2], int(row[4])]
        assert all(label in row[3] for label in chain["labels"]) and chain["labels"]
        signals = definitions().document["signals"].values()
        able = {s["family"] for s in signals if s["status"] == "v2.0" and name in s["chain_affinity"]}
        assert sorted(able) == row[5].split(), name
        assert (len(able) >= chain["min_families"]) == row[6].startswith("yes"), name


@needs_design
def test_signals_are_the_designs() -> None:
    rows = {row[0]: row for row in _tables() if re.fullmatch(r"S\d{3}", row[0]) and len(row) == 9}
    signals = definitions().document["signals"]
    assert len(rows) == 80 and set(rows) == set(signals)
    for name, row in rows.items():
        affinity = {f"CT-{int(c):02d}": float(v) for c, v in (part.split(":") for part in row[8].split())}
        expected = [row[1], row[2], row[3], STATUS[row[4]], int(row[5]), int(row[6]), DIRECTION[row[7]], affinity]
        keys = ("name", "family", "source_type", "status", "tier", "half_life_hours", "direction", "chain_affinity")
        assert [signals[name][key] for key in keys] == expected, name


@needs_design
def test_lookup_expressions_are_the_designs() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    block = re.sub(r"\n +\|", "|", text.split("### 4.7")[1].split("```")[1])
    found = dict(re.findall(r"^(RX_\w+) +(.*?)(?:   \(this.*)?$", block, re.M))
    patterns = definitions().tables["patterns"]
    assert len(found) == 10
    assert {name: patterns[name]["expression"] for name in found} == found


@needs_design
@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        ("EARNINGS_SURPRISE", {"rel": 0.10, "estimate_floor": 0.05, "min_diff": 0.02, "confidence": 0.85,
                               "confidence_without_filing": 0.75}),
        ("MNA_ANNOUNCEMENT", {"head_characters": 6000, "follow_days": 10, "target_days": 120, "same_deal_days": 180,
                              "confidence_text": 0.95, "confidence_index": 0.75, "earlier_business_days": 4}),
        ("GOVERNANCE_COLLAPSE", {"persons": 3, "window_days": 30, "confidence": 0.50, "confidence_index": 0.35}),
        ("SEC_ENFORCEMENT", {"head_characters": 1500, "date_characters": 400, "name_words": 2, "confidence": 0.75}),
        ("INSIDER_TRADING_DISCLOSURE", {"groups": 3, "window_days": 30, "min_usd_sale": 100_000, "confidence": 0.65}),
    ],
)  # fmt: skip
def test_label_numbers_stand_in_the_designs_row(label: str, numbers: dict[str, float]) -> None:
    row = next(" ".join(row) for row in _tables() if row[0] == label and len(row) == 5).replace(",", "")
    params = definitions().label(label).params
    for name, number in numbers.items():
        assert params[name] == number
        assert re.search(rf"(?<![\d.]){number:g}0?(?![\d])", row), (name, number)


def test_every_built_signal_has_an_extractor_in_its_module() -> None:
    built = [name for name, signal in definitions().document["signals"].items() if signal["implemented"]]
    assert sorted(built) == list(registered())
    for name in built:
        assert type(registered()[name]).__module__ == definitions().document["signals"][name]["extractor"]
    for name, classifier in registered_labels().items():
        assert type(classifier).__module__ == definitions().document["labels"][name]["classifier"]
    assert definitions().active_labels() == list(registered_labels())


def test_code_versions_cover_every_module_an_extractor_uses() -> None:
    """What a rule imports of its room decides what it makes, so that it must be named among the helpers."""
    for section, code in (("signals", "extractor"), ("labels", "classifier")):
        for name, entry in definitions().document[section].items():
            if not entry["implemented"]:
                continue
            named = {entry[code], *entry["helpers"]}
            for module in sorted(named):
                missing = {one for one in _imports(module) if one not in named}
                assert not missing, (name, module, missing)


def _imports(module: str) -> set[str]:
    """Return the extractors' and labels' modules that `module` imports, through the rooms' faces too."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    found = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level]
            target = ".".join([*base, *([node.module] if node.module else [])])
            if target == "signaldelta_assets.extractors":
                face = find_spec(target)
                assert face is not None and face.origin is not None
                homes = {
                    alias.name: f"{target}.{item.module}"
                    for item in ast.walk(ast.parse(Path(face.origin).read_text()))
                    if isinstance(item, ast.ImportFrom) and item.module
                    for alias in item.names
                }
                found.update(homes[alias.name] for alias in node.names)
            elif target.startswith(("signaldelta_assets.extractors.", "signaldelta_assets.labels.")):
                found.add(target)
    # What only runs or registers rules decides nothing of their content.
    return {one for one in found if not one.endswith(".runner")}


def test_hash_covers_the_active_part_only() -> None:
    base = definitions()
    document = copy.deepcopy(dict(base.document))
    assert base.hash == hash_document(active_part(document))
    for name, key, value in (("S005", "tier", 1), ("S007", "half_life_hours", 1), ("S080", "status", "planned")):
        document["signals"][name][key] = value
    assert hash_document(active_part(document)) == base.hash
    document["signals"]["S001"]["params"]["min_usd"] = 20_000
    assert hash_document(active_part(document)) != base.hash


def test_hash_follows_the_extractors_code() -> None:
    document = copy.deepcopy(dict(definitions().document))
    document["signals"]["S016"]["extractor_version"] = "0" * 64
    assert hash_document(active_part(document)) != definitions().hash


def test_loading_twice_gives_one_hash_and_whole_versions() -> None:
    assert load_definitions().hash == definitions().hash
    for name in definitions().active_signals():
        assert len(definitions().signal(name).extractor_version or "") == 64


def test_availability_basis_is_a_latency_model() -> None:
    model = LatencyModel.from_dict(definitions().availability_basis)
    assert model.hash == definitions().document["availability_basis_hash"]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("schema",), "other/1", "schema"),
        (("families", "F01", "stage"), 4, "families.F01.stage"),
        (("families", "F01", "budget"), "1", "families.F01.budget"),
        (("correlations", "F01|F99"), 0.1, "correlations.F01|F99"),
        (("correlations", "F01|F02"), 0.9999999999, "correlations"),
        (("signals", "S001", "tier"), 7, "signals.S001.tier"),
        (("signals", "S001", "family"), "F77", "signals.S001.family"),
        (("signals", "S001", "chain_affinity"), {"CT-01": 0.1}, "signals.S001.chain_affinity.CT-01"),
        (("signals", "S001", "chain_affinity"), {"CT-99": 0.5}, "signals.S001.chain_affinity.CT-99"),
        (("signals", "S002", "name"), "insider_opportunistic_buy", "signals"),
        (("signals", "S001", "params"), {}, "signals.S001.params.lookback_days"),
        (("signals", "S001", "extractor"), "signaldelta_assets.extractors.absent", "signals.S001.extractor"),
        (("labels", "EARNINGS_SURPRISE", "family_left_out"), "F55", "labels.EARNINGS_SURPRISE.family_left_out"),
        (("tables", "patterns", "RX_PLAN", "expression"), "(", "tables.patterns.RX_PLAN.expression"),
        (("availability_basis", "default", "processing_seconds"), 1, "availability_basis_hash"),
    ],
)  # fmt: skip
def test_errors_name_the_field(path: tuple[str, ...], value: object, field: str) -> None:
    document = default_document()
    owner = document
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    if path == ("correlations", "F01|F02"):
        document["correlations"]["F01|F03"] = 0.9
        document["correlations"]["F02|F03"] = -0.9
    with pytest.raises(DefinitionsError) as caught:
        load_definitions(document)
    assert caught.value.field == field
