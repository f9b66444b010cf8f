"""The hash of each rule: which changes of the document move which, and that no rule reads what its hash leaves out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.catalogue import (
    DefinitionsError,
    SignalDefinitions,
    UndeclaredTableError,
    active_part,
    load_definitions,
    rule_document,
)
from signaldelta_assets.versioning import hash_document
from tests.extractors.make import definitions

RULES = [("signals", name) for name in definitions().active_signals()]
RULES += [("labels", name) for name in definitions().active_labels()]
TABLES = sorted(definitions().tables.keys() - {"patterns"}) + sorted(definitions().patterns)
Path = tuple[str, ...]


def document() -> dict[str, Any]:
    return copy.deepcopy(dict(definitions().document))


def hashes(found: SignalDefinitions) -> dict[tuple[str, str], str]:
    made = {("signals", name): rule for name, rule in found.signal_hashes().items()}
    return made | {("labels", name): rule for name, rule in found.label_hashes().items()}


def moved(changed: dict[str, Any]) -> set[tuple[str, str]]:
    """The rules whose hash the changed document moves."""
    before = hashes(definitions())
    return {rule for rule in RULES if hash_document(rule_document(changed, *rule)) != before[rule]}


def test_each_rule_has_a_hash_of_its_own_that_its_document_names() -> None:
    found = hashes(definitions())
    assert len(set(found.values())) == len(found) == len(RULES)
    for section, name in RULES:
        assert hash_document(rule_document(definitions().document, section, name)) == found[section, name]
        assert definitions().active[section][name]["rule_hash"] == found[section, name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[1])
def test_a_parameter_moves_its_own_rule_and_no_other(rule: tuple[str, str]) -> None:
    section, name = rule
    changed = document()
    params = changed[section][name]["params"]
    for key, value in definitions().document[section][name]["params"].items():
        params[key] = ["other"]
        assert moved(changed) == {rule}, key
        params[key] = value
    params["lookback_days"] = 9_999
    found = SignalDefinitions(changed)
    assert found.hash != definitions().hash
    assert {one for one, own in hashes(found).items() if own != hashes(definitions())[one]} == {rule}


@pytest.mark.parametrize("table", TABLES)
def test_a_lookup_table_moves_the_rules_that_declare_it(table: str) -> None:
    changed = document()
    if table in definitions().patterns:
        changed["tables"]["patterns"][table]["expression"] += "|another"
    else:
        changed["tables"][table] = ["another"]
    declare = {(s, n) for s, n in RULES if table in definitions().document[s][n].get("tables", ())}
    assert moved(changed) == declare
    # A table that no active rule reads is part of the definitions all the same.
    assert hash_document(active_part(changed)) != definitions().hash


@settings(max_examples=20, deadline=None)
@given(st.sets(st.sampled_from(TABLES)), st.sets(st.sampled_from(RULES)))
def test_what_moves_is_the_union_of_what_each_change_moves(tables: set[str], rules: set[tuple[str, str]]) -> None:
    changed = document()
    for table in tables:
        if table in definitions().patterns:
            changed["tables"]["patterns"][table]["expression"] += "|another"
        else:
            changed["tables"][table] = ["another"]
    for section, name in rules:
        changed[section][name]["params"]["lookback_days"] = 9_999
    declare = {(s, n) for s, n in RULES if tables & set(definitions().document[s][n].get("tables", ()))}
    assert moved(changed) == declare | rules


def test_code_version_and_sources_availability_move_the_rules_they_belong_to() -> None:
    changed = document()
    changed["signals"]["S016"]["extractor_version"] = "0" * 64
    assert moved(changed) == {("signals", "S016")}
    changed = document()
    changed["availability_basis"]["sources"]["daily_bar"]["lag_seconds"] = 900
    changed["availability_basis_hash"] = hash_document(changed["availability_basis"])
    reads = {(s, n) for s, n in RULES if "daily_bar" in definitions().document[s][n]["source_types"]}
    assert moved(changed) == reads != set()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("families", "F01", "budget"), 1.25),
        (("correlations", "F01|F02"), 0.05),
        (("chains", "CT-01", "min_families"), 4),
        (("signals", "S005", "tier"), 1),
    ],
)
def test_what_no_rule_reads_moves_none(path: Path, value: object) -> None:
    changed = document()
    owner = changed
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    assert moved(changed) == set()
    # A signal that waits is no part of the active definitions; the rest is.
    assert (SignalDefinitions(changed).hash == definitions().hash) == (path[0] == "signals")
    assert (SignalDefinitions(changed).frame_hash == definitions().frame_hash) == (path[0] == "signals")


def test_a_rule_hash_that_is_there_is_made_anew() -> None:
    changed = document()
    changed["signals"]["S001"]["rule_hash"] = "0" * 64
    assert SignalDefinitions(changed).hash == definitions().hash


def test_a_rule_sees_the_tables_it_declares_and_no_other() -> None:
    seen = definitions().lookups("S033", ("item_numbering_from", "RX_FIN"))
    assert dict(seen.tables) == {"item_numbering_from": "2004-08-23"} and list(seen.patterns) == ["RX_FIN"]
    for mapping, name in ((seen.tables, "lockers"), (seen.tables, "patterns"), (seen.patterns, "RX_MOVE")):
        with pytest.raises(UndeclaredTableError, match=f"S033: field 'tables': expected '{name}'"):
            mapping[name]
        with pytest.raises(UndeclaredTableError):
            mapping.get(name)
        with pytest.raises(UndeclaredTableError):
            assert name in mapping


@pytest.mark.parametrize("name", ["no_such_table", "patterns"])
def test_a_table_that_is_not_there_is_named(name: str) -> None:
    changed = document()
    changed["signals"]["S001"]["tables"].append(name)
    with pytest.raises(DefinitionsError) as caught:
        load_definitions(changed)
    assert caught.value.field == "signals.S001.tables"


def test_a_signal_that_waits_has_no_rule_hash() -> None:
    with pytest.raises(DefinitionsError, match=r"signals\.S005"):
        definitions().signal_hash("S005")
