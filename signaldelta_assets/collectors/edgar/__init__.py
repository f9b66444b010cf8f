"""EDGAR: submissions, ownership documents, 8-Ks, XBRL facts. Importing registers the collectors."""

from .companyfacts import CompanyFactsCollector
from .form_8k import Form8KCollector
from .ownership import OwnershipCollector
from .submissions import SubmissionsCollector

__all__ = ["CompanyFactsCollector", "Form8KCollector", "OwnershipCollector", "SubmissionsCollector"]
