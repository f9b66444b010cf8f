"""The catalogue: families, chains, signals, label rules and lookup tables as one versioned document (signals.md).

`definitions.json` holds every number of the design; `load_definitions` checks it, fills in the code versions of the
extractors and classifiers, and names the active part, and each rule of it, by a canonical hash. No rule is computed
here.
"""

from .definitions import (
    LabelDefinition,
    SignalDefinition,
    SignalDefinitions,
    active_part,
    default_document,
    load_definitions,
    rule_document,
)
from .describing import catalogue, describe
from .lookups import Lookups, UndeclaredTableError
from .validation import DefinitionsError, validate_document

__all__ = [
    "DefinitionsError",
    "LabelDefinition",
    "Lookups",
    "SignalDefinition",
    "SignalDefinitions",
    "UndeclaredTableError",
    "active_part",
    "catalogue",
    "default_document",
    "describe",
    "load_definitions",
    "rule_document",
    "validate_document",
]
