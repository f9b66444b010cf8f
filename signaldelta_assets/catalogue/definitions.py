"""SignalDefinitions: the loaded catalogue, its active part and the hash that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

from ..versioning import code_version, hash_document
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


def active_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the definitions hash covers: all but the signals and labels that are not active.

    Texts that only tell readers what a signal still waits for are outside as well.
    """
    part = dict(document)
    part["signals"] = {
        name: signal
        for name, signal in document["signals"].items()
        if signal["status"] == "v2.0" and signal["implemented"]
    }
    part["labels"] = {name: label for name, label in document["labels"].items() if label["implemented"]}
    return part


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
    """Return the definitions with the code versions of all built extractors and classifiers filled in.

    `document` None stands for the packaged one. Reads the packaged document and the sources of the named modules;
    raises `DefinitionsError` naming the field that is wrong.
    """
    filled = json.loads(json.dumps(default_document() if document is None else document))
    validate_document(filled)
    for section, code, version in (
        ("signals", "extractor", "extractor_version"),
        ("labels", "classifier", "classifier_version"),
    ):
        for name, entry in filled[section].items():
            if entry["implemented"]:
                modules = [entry[code], *entry["helpers"]]
                try:
                    entry[version] = code_version(modules)
                except ModuleNotFoundError as error:
                    raise DefinitionsError(f"{section}.{name}.{code}", "importable modules", str(error)) from error
    return SignalDefinitions(filled)
