"""EDGAR: submissions, ownership, 8-Ks, XBRL facts, litigation releases. Importing registers the collectors."""

from .companyfacts import CompanyFactsCollector
from .form_8k import Form8KCollector
from .litigation import LitigationCollector
from .ownership import OwnershipCollector
from .submissions import SubmissionsCollector

__all__ = [
    "CompanyFactsCollector",
    "Form8KCollector",
    "LitigationCollector",
    "OwnershipCollector",
    "SubmissionsCollector",
]
