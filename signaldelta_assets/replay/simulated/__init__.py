"""A simulated archive: fictitious issuers and pools in the upstreams' own formats, with effects planted on purpose.

Chosen signals precede chosen events by known leads and strengths, others are noise; `plan.json` beside the archive
says which. The files have the layout of a recorded archive, so the same adapters read them.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from ..recorded import RecordedArchive
from .plan import Effect, SimulationPlan
from .writer import PLAN_SCHEMA, simulate


class SimulatedArchive(RecordedArchive):
    """The archive that `simulate` wrote into `root`."""

    @property
    def name(self) -> str:
        """What kind of archive this is."""
        return "simulated"

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was planted: the document `simulate` returned."""
        document: dict[str, Any] = json.loads((self.root / "plan.json").read_bytes())
        if document.get("schema") != PLAN_SCHEMA:
            raise ValueError(f"plan.json: field 'schema': expected {PLAN_SCHEMA}, found {document.get('schema')!r}")
        return document


__all__ = ["Effect", "SimulatedArchive", "SimulationPlan", "simulate"]
