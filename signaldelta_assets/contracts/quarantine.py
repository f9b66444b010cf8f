"""QuarantinedRecord: what could not be accepted, with the reason and the hash of the bytes it came from."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RecordError


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A refused record: where it stands (`record`), which `field`, what was `expected`, what was `found`.

    `body_hash` names the archived bytes, so that nothing is lost; None where no body was received.
    """

    source_type: str
    record: str
    field: str
    expected: str
    found: str | None
    body_hash: str | None
    source_url: str

    @classmethod
    def from_error(
        cls, error: RecordError, *, source_type: str, body_hash: str | None, source_url: str
    ) -> QuarantinedRecord:
        """Build the quarantine row for `error`, raised over the document at `source_url`."""
        return cls(source_type, error.record, error.field, error.expected, error.found, body_hash, source_url)
