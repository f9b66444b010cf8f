"""The catalogue as it is shown: field by field the design's table, complete, and plain values."""

from __future__ import annotations

import json
import re

import pytest

from signaldelta_assets.catalogue import DefinitionsError, catalogue, describe
from tests.catalogue.test_definitions import DIRECTION, STATUS, _tables, needs_design
from tests.extractors.make import definitions

SHOWN = {one["signal_id"]: one for one in catalogue(definitions())}


@needs_design
def test_every_field_is_the_designs() -> None:
    rows = {row[0]: row for row in _tables() if re.fullmatch(r"S\d{3}", row[0]) and len(row) == 9}
    cells = [row[i : i + 5] for row in _tables() if re.fullmatch(r"F\d\d", row[0]) and len(row) > 8 for i in (0, 6)]
    families = {c[0]: (c[1], int(c[2])) for c in cells}
    assert list(SHOWN) == sorted(rows) and len(SHOWN) == 80
    for name, row in rows.items():
        one = SHOWN[name]
        affinity = {f"CT-{int(c):02d}": float(v) for c, v in (part.split(":") for part in row[8].split())}
        assert (one["name"], one["family"], one["source_type"]) == tuple(row[1:4]), name
        assert (one["family_name"], one["stage"]) == families[row[2]], name
        assert (one["status"], one["tier"], one["half_life_hours"]) == (STATUS[row[4]], int(row[5]), float(row[6])), (
            name
        )
        assert (one["direction"], one["chain_affinity"]) == (DIRECTION[row[7]], affinity), name


def test_every_signal_says_what_it_does_or_what_it_waits_for() -> None:
    for name, one in SHOWN.items():
        if one["status"] == "v2.0":
            assert one["rule"], name
        if one["active"]:
            assert one["waits_for"] is None and len(one["rule_hash"]) == len(one["extractor_version"]) == 64, name
        else:
            assert one["rule_hash"] is None and len(one["waits_for"]) > 10, name
            assert "later definitions version" not in one["waits_for"], name
            # The feed by its name, or a rule.
            assert one["source_type"] in one["waits_for"] or "rule" in one["waits_for"] or "feed" in one["waits_for"], (
                name
            )
    waits = [one["waits_for"] for one in SHOWN.values() if one["status"] != "v2.0"]
    assert len(set(waits)) == len(waits), "each waits for something of its own"


def test_filters() -> None:
    assert [one["signal_id"] for one in catalogue(definitions(), family="F13")] == ["S078", "S079", "S080"]
    assert {one["status"] for one in catalogue(definitions(), status="planned")} == {"planned"}
    found = {one["signal_id"] for one in catalogue(definitions(), source="filing_index")}
    assert {"S017", "S039", "S009"} <= found and "S001" not in found
    assert catalogue(definitions(), family="F03", status="v2.0", source="news") == []


def test_values_are_plain() -> None:
    assert json.loads(json.dumps(SHOWN)) == SHOWN
    with pytest.raises(DefinitionsError, match="S999"):
        describe(definitions(), "S999")
