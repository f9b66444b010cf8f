"""The hard contracts between stages: RawRecord, SignalEvent, LabeledEvent, ScoreSample, and what goes with them.

Plain frozen values that check themselves when made. Nothing here knows where a value comes from or is kept.
"""

from .context import PUBLISHER_ETHEREUM, PUBLISHER_SEC, PUBLISHERS, Pool, Security, SecurityContext
from .labels import LabeledEvent, TimePrecision
from .listings import Holder, Listing, Spell, TickerBook
from .quarantine import QuarantinedRecord
from .raw import CollectionMode, RawRecord
from .scores import Contributor, FamilyDelta, FamilyShapley, ScoreSample
from .signals import FrontierEntry, SignalEvent, merge_frontier
from .values import has_nul, require_utc

__all__ = [
    "PUBLISHERS",
    "PUBLISHER_ETHEREUM",
    "PUBLISHER_SEC",
    "CollectionMode",
    "Contributor",
    "FamilyDelta",
    "FamilyShapley",
    "FrontierEntry",
    "Holder",
    "LabeledEvent",
    "Listing",
    "Pool",
    "QuarantinedRecord",
    "RawRecord",
    "ScoreSample",
    "Security",
    "SecurityContext",
    "SignalEvent",
    "Spell",
    "TickerBook",
    "TimePrecision",
    "has_nul",
    "merge_frontier",
    "require_utc",
]
