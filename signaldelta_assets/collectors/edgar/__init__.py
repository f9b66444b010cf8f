"""EDGAR: submissions, ownership documents, 8-Ks. Importing registers the collectors."""

from .form_8k import Form8KCollector
from .ownership import OwnershipCollector
from .submissions import SubmissionsCollector

__all__ = ["Form8KCollector", "OwnershipCollector", "SubmissionsCollector"]
