"""What the definitions' hash, and each signal's own, follow: rules, parameters, tables and code; nothing else."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.catalogue import (
    active_part,
    load_definitions,
    rule_document,
)
from signaldelta_assets.versioning import code_version, hash_document
from signaldelta_assets.versioning.code import source_files
from tests.extractors.make import definitions

quick = settings(max_examples=60, deadline=None, derandomize=True)
few = settings(max_examples=12, deadline=None, derandomize=True)
Place = tuple[str | int, ...]


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every number, text and truth value of a document."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield place
    else:
        for key, one in inner:
            yield from leaves(one, (*place, key))


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def changed(place: Place) -> dict[str, Any]:
    """Return the loaded document with another value at `place`."""
    document = copy.deepcopy(dict(definitions().document))
    old = at(document, place)
    new = not old if isinstance(old, bool) else old + 1 if isinstance(old, int | float) else f"{old}x"
    at(document, place[:-1])[place[-1]] = new
    return document


def total(document: Mapping[str, Any]) -> str:
    return hash_document(active_part(document))


def own(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each active signal; without the check that the document is sound, for it need not be."""
    names = active_part(document)["signals"]
    return {name: hash_document(rule_document(document, "signals", name)) for name in names}


def of_rules(document: Mapping[str, Any]) -> list[Place]:
    """Every place that decides what an active signal or label makes or weighs."""
    active = active_part(document)
    return [place for place in leaves(active) if place[0] in ("signals", "labels", "tables", "families", "correlations",
                                                              "availability_basis", "chains")]  # fmt: skip


RULES = of_rules(definitions().document)
INACTIVE = [
    place
    for place in leaves({name: definitions().document[name] for name in ("signals", "labels")})
    if place[1] not in definitions().active[str(place[0])] and place[2] not in ("implemented", "status")
]
PROSE = [("rules", name) for name in definitions().document["rules"]]
UNUSED = [
    ("tables", name, *rest)
    for name, table in definitions().tables.items()
    if name != "patterns" and name not in definitions().active["tables"]
    for rest in leaves(table)
]


@quick
@given(place=st.sampled_from(RULES))
def test_whatever_decides_a_rule_changes_the_hash(place: Place) -> None:
    assert total(changed(place)) != definitions().hash


PARAMETERS = [place for place in RULES if place[0] == "signals" and place[2] == "params"]


def test_every_parameter_changes_the_hash() -> None:
    seen = {definitions().hash}
    for place in PARAMETERS:
        seen.add(total(changed(place)))
    assert len(PARAMETERS) > 250 and len(seen) == len(PARAMETERS) + 1


@few
@given(place=st.sampled_from(PARAMETERS))
def test_a_parameter_changes_its_own_signals_hash_only(place: Place) -> None:
    before, after = own(definitions().document), own(changed(place))
    assert {one for one in before if after[one] != before[one]} == {place[1]}


@quick
@given(place=st.sampled_from([*INACTIVE, *PROSE, *UNUSED]))
def test_what_is_not_active_or_only_tells_changes_nothing(place: Place) -> None:
    assert total(changed(place)) == definitions().hash


def test_an_entry_more_that_is_not_active_changes_nothing() -> None:
    document = copy.deepcopy(dict(definitions().document))
    document["signals"]["S999"] = document["signals"]["S005"] | {"name": "another"}
    document["rules"]["S005"] = "Some day."
    document["signals"]["S001"]["waits_for"] = "nothing"
    assert total(document) == definitions().hash


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_keys_changes_nothing(seed: int) -> None:
    draw = random.Random(seed)

    def shuffled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shuffled(value[key]) for key in draw.sample(list(value), len(value))}
        return value

    assert total(shuffled(definitions().document)) == definitions().hash


def test_a_table_changes_the_signals_whose_code_names_it() -> None:
    before = own(definitions().document)
    for place, some, never in (
        (("tables", "plan_box_absent_factor"), "S001", "S059"),
        (("tables", "text_wait_days"), "S039", "S006"),
        (("tables", "patterns", "RX_DEPART", "expression"), "S039", "S033"),
        (("tables", "patterns", "RX_FIN", "expression"), "S033", "S022"),
    ):
        after = own(changed(place))
        assert after[some] != before[some] and after[never] == before[never], place
    after = own(changed(("availability_basis", "sources", "filing_index", "processing_seconds")))
    assert after["S016"] != before["S016"] and after["S059"] == before["S059"]


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("extractors.f01_late_report", {"S006"}),
        # Helpers: the signals and labels that name the module.
        ("extractors.lp", {"S044", "S045", "S049", "S050"}),
        ("extractors.departures", {"S039", "S040", "S041", "GOVERNANCE_COLLAPSE"}),
        ("labels.deals", {"MNA_ANNOUNCEMENT"}),
    ],
)
def test_the_code_of_a_rule_changes_its_hash(
    name: str, rules: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the package with one more constant in a module: the rules made with that module change, no others."""
    import signaldelta_assets.versioning.code as code

    module = f"signaldelta_assets.{name}"
    (_, source), *_ = source_files(module)
    other = tmp_path / "changed.py"
    other.write_text(source.read_text() + "ANOTHER = 1\n")
    found: Callable[[str], list[tuple[str, Path]]] = code.source_files

    def replaced(name: str) -> list[tuple[str, Path]]:
        return [(module, other)] if name == module else found(name)

    monkeypatch.setattr(code, "source_files", replaced)
    after = load_definitions()
    assert after.hash != definitions().hash
    pairs = [(one.signal_hashes() | one.label_hashes()) for one in (definitions(), after)]
    assert {name for name, value in pairs[0].items() if pairs[1][name] != value} == rules


def test_a_module_is_found_without_importing_what_is_around_it() -> None:
    probe = (
        "import sys; from signaldelta_assets.catalogue import load_definitions; load_definitions();"
        "around = ('signaldelta_assets.extractors', 'signaldelta_assets.labels');"
        "print([name for name in sys.modules if name.startswith(around)])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    for absent in ("signaldelta_assets.absent", "signaldelta_assets.extractors.absent", "absent_altogether"):
        with pytest.raises(ModuleNotFoundError):
            code_version([absent])
