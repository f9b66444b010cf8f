"""Validation of a definitions document: each field by its path, families and chains referenced, matrix definite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import DocumentError
from ..versioning import hash_document

SCHEMA = "signaldelta.signal_definitions/1"
STATUSES = ("v2.0", "wired-later", "planned")
# An affinity above 0 opens a chain's gate, so a token affinity would open it for nothing (signals.md 2).
MIN_AFFINITY = 0.2


class DefinitionsError(DocumentError):
    """A definitions document whose named field is wrong."""


def _get(owner: Mapping[str, Any], path: str, key: str, kinds: type | tuple[type, ...]) -> Any:
    if key not in owner:
        raise DefinitionsError(f"{path}.{key}", "a value", None)
    value = owner[key]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise DefinitionsError(f"{path}.{key}", str(kinds), value)
    return value


def _number(owner: Mapping[str, Any], path: str, key: str, low: float, high: float) -> float:
    value = float(_get(owner, path, key, (int, float)))
    if not low <= value <= high:
        raise DefinitionsError(f"{path}.{key}", f"a number in [{low}, {high}]", value)
    return value


def correlation_matrix(families: Mapping[str, Any], correlations: Mapping[str, float]) -> np.ndarray:
    """Return the family correlation matrix (n x n, unit diagonal), families in the order of their ids."""
    names = sorted(families)
    position = {name: i for i, name in enumerate(names)}
    matrix = np.eye(len(names))
    for pair, rho in correlations.items():
        first, _, second = pair.partition("|")
        if first not in position or second not in position or first >= second:
            raise DefinitionsError(f"correlations.{pair}", "two known families in ascending order, F01|F02", pair)
        if not isinstance(rho, int | float) or not -1 <= rho <= 1:
            raise DefinitionsError(f"correlations.{pair}", "a number in [-1, 1]", rho)
        matrix[position[first], position[second]] = matrix[position[second], position[first]] = rho
    return matrix


def _families(document: Mapping[str, Any]) -> None:
    families = _get(document, "$", "families", dict)
    for name, family in families.items():
        path = f"families.{name}"
        _get(family, path, "name", str)
        if _get(family, path, "stage", int) not in (1, 2, 3):
            raise DefinitionsError(f"{path}.stage", "1, 2 or 3", family["stage"])
        _number(family, path, "budget", 1e-9, 100.0)
    least = np.linalg.eigvalsh(correlation_matrix(families, _get(document, "$", "correlations", dict))).min()
    if least <= 1e-9:
        raise DefinitionsError("correlations", "a positive definite matrix", f"least eigenvalue {least:.6f}")


def _signal(path: str, signal: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    for key in ("name", "source_type"):
        _get(signal, path, key, str)
    if _get(signal, path, "family", str) not in document["families"]:
        raise DefinitionsError(f"{path}.family", "a known family", signal["family"])
    if _get(signal, path, "status", str) not in STATUSES:
        raise DefinitionsError(f"{path}.status", " or ".join(STATUSES), signal["status"])
    if _get(signal, path, "tier", int) not in (1, 2, 3):
        raise DefinitionsError(f"{path}.tier", "1, 2 or 3", signal["tier"])
    _number(signal, path, "half_life_hours", 1e-3, 1e5)
    if signal.get("direction") not in (-1, 0, 1, "sign"):
        raise DefinitionsError(f"{path}.direction", "-1, 0, 1 or 'sign'", signal.get("direction"))
    for chain, affinity in _get(signal, path, "chain_affinity", dict).items():
        if chain not in document["chains"]:
            raise DefinitionsError(f"{path}.chain_affinity.{chain}", "a known chain", chain)
        if not isinstance(affinity, int | float) or not MIN_AFFINITY <= affinity <= 1:
            raise DefinitionsError(f"{path}.chain_affinity.{chain}", f"a number in [{MIN_AFFINITY}, 1]", affinity)
    if _get(signal, path, "implemented", bool):
        _get(signal, path, "extractor", str)
        _rule(path, signal, document)
    else:
        _get(signal, path, "waits_for", str)


def _rule(path: str, rule: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    tables = document["tables"]
    # A rule that reads no lookup table need not say so.
    for name in _get({"tables": []} | dict(rule), path, "tables", list):
        if name == "patterns" or name not in tables | tables["patterns"]:
            raise DefinitionsError(f"{path}.tables", "lookup tables and patterns of the definitions", name)
    for key in ("source_types", "helpers"):
        if not all(isinstance(item, str) for item in _get(rule, path, key, list)):
            raise DefinitionsError(f"{path}.{key}", "a list of texts", rule[key])
    _number(_get(rule, path, "params", dict), f"{path}.params", "lookback_days", 0, 10_000)


def _tables(document: Mapping[str, Any]) -> None:
    tables = _get(document, "$", "tables", dict)
    for name, pattern in _get(tables, "tables", "patterns", dict).items():
        path = f"tables.patterns.{name}"
        if name in tables:
            raise DefinitionsError(path, "a name that no other lookup table has", name)
        _get(pattern, path, "case_sensitive", bool)
        try:
            re.compile(_get(pattern, path, "expression", str))
        except re.error as error:
            raise DefinitionsError(f"{path}.expression", "a regular expression", str(error)) from error


def validate_document(document: Mapping[str, Any]) -> None:
    """Raise `DefinitionsError` naming the first field of `document` that is wrong."""
    if document.get("schema") != SCHEMA:
        raise DefinitionsError("schema", SCHEMA, document.get("schema"))
    basis = _get(document, "$", "availability_basis", dict)
    if document.get("availability_basis_hash") != hash_document(basis):
        raise DefinitionsError("availability_basis_hash", hash_document(basis), document.get("availability_basis_hash"))
    _families(document)
    _tables(document)
    labels = _get(document, "$", "labels", dict)
    for name, chain in _get(document, "$", "chains", dict).items():
        path = f"chains.{name}"
        _get(chain, path, "name", str)
        _get(chain, path, "story", str)
        _number(chain, path, "min_families", 1, len(document["families"]))
        for label in _get(chain, path, "labels", list):
            if label not in labels:
                raise DefinitionsError(f"{path}.labels", "known labels", label)
    signals = _get(document, "$", "signals", dict)
    for name, signal in signals.items():
        _signal(f"signals.{name}", signal, document)
    for name in document.get("rules", {}):
        if name not in signals:
            raise DefinitionsError(f"rules.{name}", "a defined signal", name)
        _get(document["rules"], "rules", name, str)
    names = [signal["name"] for signal in signals.values()]
    if len(set(names)) != len(names):
        twice = next(a for a, b in combinations(sorted(names), 2) if a == b)
        raise DefinitionsError("signals", "a name of its own for each signal", twice)
    for name, label in labels.items():
        path = f"labels.{name}"
        if _get(label, path, "family_left_out", str) not in document["families"]:
            raise DefinitionsError(f"{path}.family_left_out", "a known family", label["family_left_out"])
        if _get(label, path, "implemented", bool):
            _get(label, path, "classifier", str)
            _rule(path, label, document)
            _number(label["params"], f"{path}.params", "lookahead_days", 0, 10_000)
        else:
            _get(label, path, "waits_for", str)
