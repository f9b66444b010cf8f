"""What can be wrong with what the score is given: its model, or its events and moments."""

from __future__ import annotations

from ..errors import DocumentError, RecordError


class ScoringModelError(DocumentError):
    """A scoring model document that is wrong; `field` is the path of the wrong value, `signals.S001.weight` say."""


class ScoringInputError(RecordError):
    """Events, moments or entities that cannot be scored: which record, which field, what was expected, what found."""
