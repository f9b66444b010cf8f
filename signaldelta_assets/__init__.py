"""SignalDelta: public traces in, point-in-time signal events, frozen snapshots and repeatable backtests out.

Each sub-package is one room of ``docs/rooms.md``; its ``__init__`` is its whole public face. Importing any of
them does no I/O and reads no environment: settings come from `signaldelta_assets.settings`, on request.
"""

__version__ = "0.1.0"
