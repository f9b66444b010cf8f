"""`signaldelta api`: the API as the settings say, or where its command line says."""

from __future__ import annotations

import os

from pydantic import ValidationError

from api.server import Serving, serve
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.settings import load_settings


class RefusedSettingsError(SignalDeltaError):
    """Settings by which the API does not start."""


def run_api(host: str | None, port: int | None, workers: int) -> None:
    """Serve until a signal comes. Raises `RefusedSettingsError` where the settings, or host and port, cannot be."""
    # Judged as settings are, and where workers read them.
    given = {"SIGNALDELTA_API_HOST": host, "SIGNALDELTA_API_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    try:
        settings = load_settings()
    except ValidationError as error:
        # Their words alone: what was found may be a secret.
        words = (": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")]) for one in error.errors())
        raise RefusedSettingsError("; ".join(words)) from None
    serve(Serving.of(settings, workers), settings)
