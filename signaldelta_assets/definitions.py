"""Dagster's entry point: everything found under `signaldelta_assets/defs`, loaded when asked for, not at import."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load every definition of the skin."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs")
