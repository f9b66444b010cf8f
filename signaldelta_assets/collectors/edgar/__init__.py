"""EDGAR: submissions, daily index, current feed, ownership, 8-Ks, notices of sale, roles, XBRL facts, releases.

Importing registers the collectors.
"""

from .companyfacts import CompanyFactsCollector
from .current import CurrentFeedCollector
from .daily_index import DailyIndexCollector
from .form_8k import Form8KCollector
from .form_144 import Form144Collector
from .litigation import LitigationCollector
from .ownership import OwnershipCollector
from .roles import RolesCollector
from .submissions import SubmissionsCollector

__all__ = [
    "CompanyFactsCollector",
    "CurrentFeedCollector",
    "DailyIndexCollector",
    "Form8KCollector",
    "Form144Collector",
    "LitigationCollector",
    "OwnershipCollector",
    "RolesCollector",
    "SubmissionsCollector",
]
