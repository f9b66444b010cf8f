"""Ethereum over JSON-RPC: Uniswap V2 pairs, events of pools, block headers. Importing registers the collectors.

A day is a range of blocks by their own times. Nothing is collected that lies less deep than the confirmations of the
settings, and what a node said of a block that deep is not asked for again.
"""

from .blocks import BlocksCollector
from .pairs import PairsCollector
from .pool_events import PoolEventsCollector

__all__ = ["BlocksCollector", "PairsCollector", "PoolEventsCollector"]
