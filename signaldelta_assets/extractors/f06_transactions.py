"""F06, corporate transactions and distress, all from 8-K items: S033 to S036 (signals.md 4.4).

Each reads the filing's text where it is recorded, else the index row alone with the lower reliability.
Traps. Financings are told by item 2.03 or RX_FIN; refinancings and closings by the items they are filed with; a
transfer of listing by RX_MOVE; an 8-K/A with the amount restates. Not told apart, for no rule of the text does it
safely: customer and indemnity contracts (S033), shares issued as earn-out or in exchange (S036).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .form8k import EightK, eight_ks, item_text, news, text_wait


class _ItemSignal(ABC):
    """The common course: news of each 8-K, a strength from its items and text, or a counted reason."""

    direction = -1

    @abstractmethod
    def judge(self, filing: EightK, items: frozenset[str], params: SignalParams) -> float | str | None:
        """Return the strength, the reason why a filing with the items yields nothing, or None without them."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and accession."""
        out = Extraction()
        for filing, items, earlier in news(
            eight_ks(records, params.tables, out.counts, text_wait(params.tables)), params.lookback, out.counts
        ):
            found = self.judge(filing, items, params)
            if isinstance(found, str):
                out.counts[found] += 1
            elif found is not None:
                event = params.event(
                    filing.record,
                    filing.key,
                    strength=found,
                    direction=self.direction,
                    reliability=params["reliability" if filing.text else "reliability_index"],
                    inputs=[other.first for other in earlier],
                    attributes={"items": sorted(filing.items), "form": filing.form},
                )
                out.events.append(event)
        return out


def _matches(filing: EightK, item: str, params: SignalParams, pattern: str) -> bool:
    text = item_text(filing.text, item) if filing.text else None
    return text is not None and params.pattern(pattern).search(text) is not None


@register("S033")
class MaterialAgreement(_ItemSignal):
    """Item 1.01: entry into a material definitive agreement; weak where it is a financing."""

    direction = 0

    def judge(self, filing: EightK, items: frozenset[str], params: SignalParams) -> float | str | None:
        """See the class."""
        if "1.01" not in items:
            return None
        if "2.03" in filing.items or _matches(filing, "1.01", params, "RX_FIN"):
            return float(params["financing"])
        return float(params["accompanied" if filing.items & set(params["with_items"]) else "plain"])


@register("S034")
class TerminationOrDefault(_ItemSignal):
    """Items 1.03, 2.04, and 1.02 where it is neither a refinancing nor a closing; the strongest counts."""

    def judge(self, filing: EightK, items: frozenset[str], params: SignalParams) -> float | str | None:
        """See the class."""
        found = items & set(params["strength"])
        if not found:
            return None
        if filing.items & set(params["termination_not_with"]):
            found -= {"1.02"}
        return max((float(params["strength"][item]) for item in found), default=0.0) or "refinancing_or_closing"


@register("S035")
class RestructuringOrImpairment(_ItemSignal):
    """Items 2.05 and 2.06."""

    def judge(self, filing: EightK, items: frozenset[str], params: SignalParams) -> float | str | None:
        """See the class."""
        found = items & set(params["strength"])
        if not found:
            return None
        return float(params["both"]) if len(found) == 2 else float(params["strength"][next(iter(found))])


@register("S036")
class ListingOrDilution(_ItemSignal):
    """Item 3.01 unless a closing or a mere move of the listing, and item 3.02; the stronger counts."""

    def judge(self, filing: EightK, items: frozenset[str], params: SignalParams) -> float | str | None:
        """See the class."""
        found = items & set(params["strength"])
        if not found:
            return None
        if filing.items & set(params["delisting_not_with"]) or _matches(filing, "3.01", params, "RX_MOVE"):
            found -= {"3.01"}
        return max((float(params["strength"][item]) for item in found), default=0.0) or "closing_or_move_of_listing"
