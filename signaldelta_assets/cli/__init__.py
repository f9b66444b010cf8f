"""The `signaldelta` command: the environment for Dagster, the demo, all services together, backtests, the database.

Thin: every command reads settings, calls a room, prints. Nothing runs at import.
"""

from .main import app

__all__ = ["app"]
