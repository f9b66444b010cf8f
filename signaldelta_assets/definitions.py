"""Dagster's entry point: everything found under `signaldelta_assets/defs`, loaded when asked for, not at import."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _kept_for_good():
        return dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs")


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is made here stays while the process lives: looking through it for garbage is a quarter of the loading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Set apart, so that later collections do not look through it either.
        gc.freeze()
        if enabled:
            gc.enable()
