"""EDGAR: submissions, daily index, ownership, 8-Ks, XBRL facts, litigation releases. Importing registers them."""

from .companyfacts import CompanyFactsCollector
from .daily_index import DailyIndexCollector
from .form_8k import Form8KCollector
from .litigation import LitigationCollector
from .ownership import OwnershipCollector
from .submissions import SubmissionsCollector

__all__ = [
    "CompanyFactsCollector",
    "DailyIndexCollector",
    "Form8KCollector",
    "LitigationCollector",
    "OwnershipCollector",
    "SubmissionsCollector",
]
