"""Dagster's entry point: everything found under `signaldelta_assets/defs`, loaded when asked for, not at import."""

from functools import lru_cache
from pathlib import Path

import dagster as dg

from signaldelta_assets.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Load every definition of the skin."""
    return _loaded(load_settings().model_dump_json())


@lru_cache(maxsize=1)
def _loaded(settings: str) -> dg.Definitions:
    """Load once: on its way to a run Dagster asks six times. A process's settings decide what there is."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs")
