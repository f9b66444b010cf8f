"""The errors that rooms share. An error names the record, the field and what was expected there."""

from __future__ import annotations


class SignalDeltaError(Exception):
    """Root of every error this project raises on purpose.

    correlation_id: of the command that it ended, where that is known.
    """

    correlation_id: str | None = None


def _shown(value: object) -> str:
    """Return `value` as text that any store takes: no NUL, no lone surrogate, whatever a document had."""
    try:
        text = str(value)
    except RecursionError:
        text = f"{type(value).__name__} nested too deep to be shown"
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


class RecordError(SignalDeltaError):
    """A record that cannot be accepted: which one, which field, what was expected, what was found.

    Carries the parts separately so that quarantine can store them as columns.
    """

    def __init__(self, record: str, field: str, expected: str, found: object = None) -> None:
        self.record = _shown(record)
        self.field = _shown(field)
        self.expected = _shown(expected)
        self.found = None if found is None else _shown(found)[:500]
        tail = "" if self.found is None else f", found {self.found!r}"
        super().__init__(f"{self.record}: field {self.field!r}: expected {self.expected}{tail}")


class DocumentError(SignalDeltaError):
    """A configuration document (model, protocol, definitions) whose named field is wrong."""

    def __init__(self, field: str, expected: str, found: object = None) -> None:
        self.field = field
        self.expected = expected
        self.found = None if found is None else str(found)[:500]
        tail = "" if self.found is None else f", found {self.found!r}"
        super().__init__(f"{field}: expected {expected}{tail}")
