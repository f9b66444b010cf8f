"""How the services of a deployment log, by its settings: JSON in <home>/logs, and on the standard error where told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from signaldelta_assets.settings import Settings, secret_values

from .logs import Configured, configure, standard_error


def begin_logging(service: str, settings: Settings, *, stderr: bool = False, fallback: str | None = None) -> Configured:
    """Let this process log as `service` of the deployment; return what undoes it.

    Files are written where the deployment has a home: logging makes none. `fallback`: the id of a process that is one
    action, such as a run.
    """
    return configure(
        service,
        folder=settings.logs_dir if settings.home_dir.is_dir() else None,
        stream=standard_error(stderr),
        form=settings.log_format,
        level=settings.log_level,
        secrets=secret_values(settings),
        fallback=fallback,
    )


@contextmanager
def logging_as(service: str, settings: Settings, *, fallback: str | None = None) -> Iterator[None]:
    """Log as `service` for as long as what is inside takes."""
    made = begin_logging(service, settings, fallback=fallback)
    try:
        yield
    finally:
        made.close()
