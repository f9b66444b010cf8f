"""A loopback HTTP server that answers the upstreams' own endpoints from an archive, recorded or simulated.

Collectors run unchanged against it and against the live services: only their base address differs. Here live the
archives (`RecordedArchive` reads files in place, `simulate` writes one with planted effects), the routes of sec.gov,
data.sec.gov, api.polygon.io and an Ethereum node, and faults on request. Nothing here interprets a record.
"""

from .app import create_app
from .archive import Archive, ChainShelf, EdgarShelf, MarketShelf
from .faults import FaultRule
from .recorded import RecordedArchive
from .server import ReplayServer
from .simulated import Effect, SimulatedArchive, SimulationPlan, simulate

__all__ = [
    "Archive",
    "ChainShelf",
    "EdgarShelf",
    "Effect",
    "FaultRule",
    "MarketShelf",
    "RecordedArchive",
    "ReplayServer",
    "SimulatedArchive",
    "SimulationPlan",
    "create_app",
    "simulate",
]
