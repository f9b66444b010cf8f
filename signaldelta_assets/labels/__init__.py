"""Labels: raw records in, labeled events out, by rule and with an authoritative time.

Pure, registered per event type (signals.md 5). A label may rest on later records than its event; a signal never does.
What is rejected is counted by reason; no label is ever made by hand. The warehouse freezes datasets.
"""

from . import earnings_surprise, governance_collapse, insider_disclosure, mna_announcement, rug_pull, sec_enforcement
from .base import Classifier, Labeling, LabelParams, get_classifier, register_label, registered_labels
from .frames import Evidence
from .runner import required_label_window, run_classifier

# Importing a rule's module registers its classifier.
RULES = (earnings_surprise, governance_collapse, insider_disclosure, mna_announcement, rug_pull, sec_enforcement)

__all__ = [
    "RULES",
    "Classifier",
    "Evidence",
    "LabelParams",
    "Labeling",
    "get_classifier",
    "register_label",
    "registered_labels",
    "required_label_window",
    "run_classifier",
]
