"""F02, ownership and activism: S011 activist_13d_initial (signals.md 4.2).

Traps. A company's submissions list mixes the schedules about it with those by it, so only a `filing_role` fires, and
its entity is the subject. An amendment never does. What no percentage is known of (text filings, and a filing so far
only seen in the current feed) has the middling strength of the definition.
"""

from __future__ import annotations

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .frames import first_available, rows
from .scales import ramp


@register("S011")
class ActivistInitial:
    """Somebody declares more than five per cent of a company, with a purpose."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per initial Schedule 13D and subject, keyed by subject and accession."""
        out = Extraction()
        initial = frozenset(params["forms"])
        amended = frozenset(f"{form}/A" for form in initial)
        usual = records["form"].isin(initial)
        for form in records.loc[~usual & records["is_trigger"], "form"]:
            out.counts["amendment" if form in amended else "form_of_another_kind"] += 1
        for record in rows(first_available(records[usual], out.counts)):
            if not record.is_trigger:
                continue
            filers = [filer["cik"] for filer in record.payload["filers"]]
            if not filers:
                out.counts["filed_by_the_subject"] += 1
                continue
            percent, strength = record.payload["percent"], params["unstructured"]
            if percent is not None:
                strength = float(ramp(float(percent), *params["percent_ramp"]))
            event = params.event(
                record,
                [record.entity_id, record.natural_key],
                strength=strength,
                direction=1,
                reliability=params["reliability"],
                attributes={"form": record.form, "percent": percent, "filers": filers},
            )
            out.events.append(event)
        return out
