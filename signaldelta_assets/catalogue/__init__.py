"""The catalogue: families, chains, signals, label rules and lookup tables as one versioned document (signals.md).

`definitions.json` holds every number of the design; `load_definitions` checks it, fills in the code versions of the
extractors and classifiers, and names the active part by its canonical hash. No rule is computed here.
"""

from .definitions import (
    LabelDefinition,
    SignalDefinition,
    SignalDefinitions,
    active_part,
    default_document,
    load_definitions,
)
from .describing import catalogue, definition_hash, describe
from .validation import DefinitionsError, validate_document

__all__ = [
    "DefinitionsError",
    "LabelDefinition",
    "SignalDefinition",
    "SignalDefinitions",
    "active_part",
    "catalogue",
    "default_document",
    "definition_hash",
    "describe",
    "load_definitions",
    "validate_document",
]
