"""SignalDefinitions: the loaded catalogue, its active part and the hash that names it, and a hash per rule.

The whole hash names what a snapshot, a model or a run rests on. Events and labels carry the hash of their own rule
(`rule_document`), so that a change of one rule leaves the events of all others as they are. The active part holds the
rule hashes itself: whoever has the document named by the whole hash knows which events belong to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

from ..versioning import code_version, hash_document
from .lookups import Lookups
from .validation import DefinitionsError, validate_document

# Sections of the document whose entries are rules: the member that names the rule's code, and that of its version.
RULES = {"signals": ("extractor", "extractor_version"), "labels": ("classifier", "classifier_version")}


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
    extractor_version: str | None
    tables: tuple[str, ...] = ()
    rule_hash: str | None = None

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
    tables: tuple[str, ...] = ()
    rule_hash: str | None = None


# What only tells readers something, of an entry and of the document.
PROSE = ("waits_for",)
PROSE_SECTIONS = ("rules",)
PATTERNS = "patterns"


def active_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the definitions hash covers: all but the signals and labels that are not active, and prose.

    Of the lookup tables those that an active signal or label declares: no other can be read.
    """
    part = {name: value for name, value in document.items() if name not in PROSE_SECTIONS}
    part["signals"] = {
        name: _without_prose(signal)
        for name, signal in document["signals"].items()
        if signal["status"] == "v2.0" and signal["implemented"]
    }
    part["labels"] = {name: _without_prose(label) for name, label in document["labels"].items() if label["implemented"]}
    rules = [*part["signals"].values(), *part["labels"].values()]
    part["tables"] = _chosen_tables(document["tables"], {name for rule in rules for name in rule.get("tables", ())})
    return part


def rule_document(document: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    """Return all that decides what one rule makes: what its `rule_hash` covers. `section`: signals or labels.

    Its entry with its code version, the lookup tables and patterns it declares, and the availability rules of its
    source types. Its family and chains enter an event by their ids alone, which stand in the entry.
    """
    entry = {key: value for key, value in _without_prose(document[section][name]).items() if key != "rule_hash"}
    tables, basis = document["tables"], document["availability_basis"]
    known = tables | tables["patterns"]
    return {
        "section": section,
        "name": name,
        "rule": entry,
        "tables": {table: known[table] for table in entry.get("tables", ())},
        "availability": {
            source: basis.get("sources", {}).get(source, basis["default"]) for source in entry.get("source_types", ())
        },
    }


def _with_rule_hashes(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` with the `rule_hash` of every built rule; one that is there already is made anew."""
    filled = dict(document)
    for section in RULES:
        filled[section] = {
            name: entry | {"rule_hash": hash_document(rule_document(document, section, name))}
            if entry["implemented"]
            else entry
            for name, entry in document[section].items()
        }
    return filled


def _without_prose(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in PROSE}


def _chosen_tables(tables: Mapping[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    """Return the lookup tables and patterns called by `names`, in the shape of the document."""
    chosen = {name: value for name, value in tables.items() if name in names}
    return {**chosen, PATTERNS: {name: value for name, value in tables[PATTERNS].items() if name in names}}


@dataclass(frozen=True)
class SignalDefinitions:
    """A checked definitions document (signals.md); immutable by convention, named by `hash`.

    `document` is the given one with the `rule_hash` of every built rule filled in.
    """

    document: Mapping[str, Any]
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        validate_document(self.document)
        object.__setattr__(self, "document", _with_rule_hashes(self.document))
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
            extractor_version=entry.get("extractor_version"),
            tables=tuple(entry.get("tables", ())),
            rule_hash=entry.get("rule_hash"),
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
            tables=tuple(entry.get("tables", ())),
            rule_hash=entry.get("rule_hash"),
        )

    def lookups(self, rule: str, declared: tuple[str, ...]) -> Lookups:
        """Return the lookup tables and patterns that `rule` declares; reading another raises."""
        return Lookups(rule, declared, self.tables, self.patterns)

    def signal_hash(self, signal_id: str) -> str:
        """Return the hash of an active signal's rule, which its events carry; `DefinitionsError` where it has none."""
        return self._rule_hash("signals", signal_id)

    def label_hash(self, event_type: str) -> str:
        """Return the hash of an active label's rule, which its labels carry; `DefinitionsError` where it has none."""
        return self._rule_hash("labels", event_type)

    def signal_hashes(self) -> dict[str, str]:
        """Return the hash of each active signal's rule: the set that `hash` stands for among the events."""
        return {signal_id: self.signal_hash(signal_id) for signal_id in self.active_signals()}

    def label_hashes(self) -> dict[str, str]:
        """Return the hash of each active label's rule."""
        return {event_type: self.label_hash(event_type) for event_type in self.active_labels()}

    def _rule_hash(self, section: str, name: str) -> str:
        if name not in self.active[section]:
            raise DefinitionsError(f"{section}.{name}", "an active rule")
        return str(self.active[section][name]["rule_hash"])

    @cached_property
    def frame_hash(self) -> str:
        """The hash of what is no rule's own: families, chains, correlations, the availability basis."""
        return hash_document({key: value for key, value in self.active.items() if key not in (*RULES, "tables")})

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
    """Return the definitions with the code versions of all built extractors and classifiers.

    A module of several rules counts for each without the classes of the others.

    `document` None stands for the packaged one. Reads the packaged document and the sources of the named modules;
    raises `DefinitionsError` naming the field that is wrong.
    """
    filled = json.loads(json.dumps(default_document() if document is None else document))
    validate_document(filled)
    for section, (code, version) in RULES.items():
        for name, entry in filled[section].items():
            if entry["implemented"]:
                modules = [entry[code], *entry["helpers"]]
                try:
                    entry[version] = code_version(modules, registered_as={entry[code]: name})
                except ModuleNotFoundError as error:
                    raise DefinitionsError(f"{section}.{name}.{code}", "importable modules", str(error)) from error
    return SignalDefinitions(filled)
