"""The errors that rooms share. An error names the record, the field and what was expected there."""

from __future__ import annotations


class SignalDeltaError(Exception):
    """Root of every error this project raises on purpose."""


class RecordError(SignalDeltaError):
    """A record that cannot be accepted: which one, which field, what was expected, what was found.

    Carries the parts separately so that quarantine can store them as columns.
    """

    def __init__(self, record: str, field: str, expected: str, found: object = None) -> None:
        self.record = record
        self.field = field
        self.expected = expected
        self.found = None if found is None else str(found)[:500]
        tail = "" if self.found is None else f", found {self.found!r}"
        super().__init__(f"{record}: field {field!r}: expected {expected}{tail}")


class DocumentError(SignalDeltaError):
    """A configuration document (model, protocol, definitions) whose named field is wrong."""

    def __init__(self, field: str, expected: str, found: object = None) -> None:
        self.field = field
        self.expected = expected
        self.found = None if found is None else str(found)[:500]
        tail = "" if self.found is None else f", found {self.found!r}"
        super().__init__(f"{field}: expected {expected}{tail}")
