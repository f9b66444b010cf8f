"""SignalDefinitions: the loaded catalogue, its active part and the hash that names it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

from ..versioning import code_version, hash_document, source_files
from .validation import DefinitionsError, validate_document


@dataclass(frozen=True)
class SignalDefinition:
    """One signal: `signals.<id>` of the document, with its extractor's code version."""

    signal_id: str
    name: str
    family: str
    source_type: str
    status: str
    tier: int
    half_life_hours: float
    direction: int | str
    chain_affinity: Mapping[str, float]
    implemented: bool
    source_types: tuple[str, ...]
    params: Mapping[str, Any]
    tables: tuple[str, ...]
    extractor_version: str | None

    @property
    def is_active(self) -> bool:
        """True where the signal is of status v2.0 and its extractor is built."""
        return self.status == "v2.0" and self.implemented


@dataclass(frozen=True)
class LabelDefinition:
    """One label rule: `labels.<event type>` of the document, with its classifier's code version."""

    event_type: str
    family_left_out: str
    implemented: bool
    source_types: tuple[str, ...]
    params: Mapping[str, Any]
    classifier_version: str | None


# What only tells readers something, of an entry and of the document.
PROSE = ("waits_for",)
PROSE_SECTIONS = ("rules",)
PATTERNS = "patterns"


def active_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the definitions hash covers: all but the signals and labels that are not active, and prose.

    Of a loaded document only the lookup tables that the code of an active signal or label names.
    """
    part = {name: value for name, value in document.items() if name not in PROSE_SECTIONS}
    part["signals"] = {
        name: _without_prose(signal)
        for name, signal in document["signals"].items()
        if signal["status"] == "v2.0" and signal["implemented"]
    }
    part["labels"] = {name: _without_prose(label) for name, label in document["labels"].items() if label["implemented"]}
    rules = [*part["signals"].values(), *part["labels"].values()]
    if all("tables" in rule for rule in rules):
        part["tables"] = chosen_tables(document["tables"], {name for rule in rules for name in rule["tables"]})
    return part


def _without_prose(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in PROSE}


def chosen_tables(tables: Mapping[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    """Return the lookup tables called by `names`; an expression is called "patterns.RX_NAME"."""
    chosen = {name: value for name, value in tables.items() if name in names}
    patterns = {name: value for name, value in tables[PATTERNS].items() if f"{PATTERNS}.{name}" in names}
    return {**chosen, PATTERNS: patterns}


def tables_named(written: AbstractSet[object], tables: Mapping[str, Any]) -> list[str]:
    """Return which lookup tables a rule asks for, sorted, expressions as "patterns.RX_NAME".

    `written`: the constants in its sources. A table is asked for by its name, written out: what no source writes is not
    asked for.
    """
    plain = [name for name in tables if name != PATTERNS and name in written]
    return sorted([*plain, *(f"{PATTERNS}.{name}" for name in tables[PATTERNS] if name in written)])


def _constants(module: str) -> set[object]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for _, path in source_files(module))
    return {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}


@dataclass(frozen=True)
class SignalDefinitions:
    """A checked definitions document (signals.md); immutable by convention, named by `hash`."""

    document: Mapping[str, Any]
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        validate_document(self.document)
        object.__setattr__(self, "hash", hash_document(self.active))

    @cached_property
    def active(self) -> dict[str, Any]:
        """The active part: what `hash` covers."""
        return active_part(self.document)

    @property
    def families(self) -> Mapping[str, Any]:
        """Families by id: name, stage, budget."""
        families: Mapping[str, Any] = self.document["families"]
        return families

    @property
    def chains(self) -> Mapping[str, Any]:
        """Chain types by id: name, story, labels, min_families."""
        chains: Mapping[str, Any] = self.document["chains"]
        return chains

    @property
    def tables(self) -> Mapping[str, Any]:
        """Lookup tables of section 4.7."""
        tables: Mapping[str, Any] = self.document["tables"]
        return tables

    @property
    def availability_basis(self) -> Mapping[str, Any]:
        """The latency model document under which look-backs are cut (signals.md 4.0, Available then)."""
        basis: Mapping[str, Any] = self.document["availability_basis"]
        return basis

    @cached_property
    def patterns(self) -> Mapping[str, re.Pattern[str]]:
        """The compiled regular expressions of the lookup tables, by name."""
        return {
            name: re.compile(entry["expression"], 0 if entry["case_sensitive"] else re.IGNORECASE)
            for name, entry in self.tables["patterns"].items()
        }

    def signal(self, signal_id: str) -> SignalDefinition:
        """Return the definition of `signal_id`; `DefinitionsError` where there is none."""
        entry = self.document["signals"].get(signal_id)
        if entry is None:
            raise DefinitionsError(f"signals.{signal_id}", "a defined signal")
        return SignalDefinition(
            signal_id=signal_id,
            name=entry["name"],
            family=entry["family"],
            source_type=entry["source_type"],
            status=entry["status"],
            tier=entry["tier"],
            half_life_hours=float(entry["half_life_hours"]),
            direction=entry["direction"],
            chain_affinity=entry["chain_affinity"],
            implemented=entry["implemented"],
            source_types=tuple(entry.get("source_types", ())),
            params=entry.get("params", {}),
            tables=tuple(entry.get("tables", ())),
            extractor_version=entry.get("extractor_version"),
        )

    def label(self, event_type: str) -> LabelDefinition:
        """Return the rule of `event_type`; `DefinitionsError` where there is none."""
        entry = self.document["labels"].get(event_type)
        if entry is None:
            raise DefinitionsError(f"labels.{event_type}", "a defined label")
        return LabelDefinition(
            event_type=event_type,
            family_left_out=entry["family_left_out"],
            implemented=entry["implemented"],
            source_types=tuple(entry["source_types"]),
            params=entry.get("params", {}),
            classifier_version=entry.get("classifier_version"),
        )

    def active_signals(self) -> list[str]:
        """Return the ids of the active signals, sorted."""
        return sorted(self.active["signals"])

    def active_labels(self) -> list[str]:
        """Return the event types whose rule is built, sorted."""
        return sorted(self.active["labels"])


def default_document() -> dict[str, Any]:
    """Return the packaged document as written, without code versions. Reads a file."""
    text = files(__package__).joinpath("definitions.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def load_definitions(document: Mapping[str, Any] | None = None) -> SignalDefinitions:
    """Return the definitions with the code versions and named tables of all built extractors and classifiers.

    `document` None stands for the packaged one. Reads the packaged document and the sources of the named modules;
    raises `DefinitionsError` naming the field that is wrong.
    """
    filled = json.loads(json.dumps(default_document() if document is None else document))
    validate_document(filled)
    written: dict[str, set[object]] = {}
    for section, code, version in (
        ("signals", "extractor", "extractor_version"),
        ("labels", "classifier", "classifier_version"),
    ):
        for name, entry in filled[section].items():
            if entry["implemented"]:
                modules = [entry[code], *entry["helpers"]]
                try:
                    entry[version] = code_version(modules)
                    written |= {module: _constants(module) for module in modules if module not in written}
                    asked = set[object]().union(*(written[module] for module in modules))
                    entry["tables"] = tables_named(asked, filled["tables"])
                except ModuleNotFoundError as error:
                    raise DefinitionsError(f"{section}.{name}.{code}", "importable modules", str(error)) from error
    return SignalDefinitions(filled)
